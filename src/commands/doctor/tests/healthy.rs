//! A healthy install, and the API server's answers in it.

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::version::Info;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::commands::crd;
use crate::commands::doctor::Installed;
use crate::commands::doctor::attempts::{Attempt, Reaction};
use crate::commands::doctor::facts::{Answer, Configuration, Facts, Seen, Tried};
use crate::commands::doctor::rights::rights;
use crate::commands::doctor::shipped::shipped;
use crate::pki::Authority;

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

/// The API server's answer where everything works.
pub(super) fn as_expected(attempt: Attempt) -> Tried {
    let answer = answer(attempt.expected);
    Tried { attempt, answer }
}

pub(super) fn answer(reaction: Reaction) -> Answer {
    let created = |object, warnings: &[&str]| Answer::Created {
        object,
        warnings: warnings.iter().map(ToString::to_string).collect(),
    };
    let repaired = json!({"metadata": {"annotations": {"tunnelguard.dev/repaired": "TG001"}}});
    match reaction {
        Reaction::Nothing => created(json!({}), &["another webhook's"]),
        Reaction::Warned => created(json!({}), &["TG001 a", "policy tunnelguard-doctor b"]),
        Reaction::Repaired => created(repaired, &["TG001 a"]),
        Reaction::Denied => Answer::Refused {
            code: 403,
            message:
                "admission webhook \"validate.tunnelguard.dev\" denied the request: TG001 default/a"
                    .to_owned(),
        },
    }
}

pub(super) fn healthy() -> Facts {
    let mut facts = Facts {
        now: Timestamp::from_second(NOW).expect("a time"),
        server: "https://10.0.0.1".to_owned(),
        version: Info {
            major: "1".to_owned(),
            minor: "36".to_owned(),
            git_version: "v1.36.3".to_owned(),
            ..Info::default()
        },
        entry_versions: Seen::Found(vec!["v1".to_owned()]),
        definition: Seen::Found(crd::definition().expect("it is made")),
        policies: Seen::Found(vec![json!({
            "apiVersion": "tunnelguard.dev/v1alpha1", "kind": "ConnectProxyPolicy",
            "metadata": {"name": "corporate", "generation": 2},
            "spec": {"mode": "Mutate", "proxies": [
                {"name": "corp-squid", "hosts": ["proxy.corp"], "addresses": ["10.20.0.5"], "ports": [3128]}]},
            "status": {"conditions": [
                {"type": "Ready", "status": "True", "reason": "InForce", "message": "in force", "observedGeneration": 2}]},
        })]),
        policy_files: Seen::Absent,
        mutating: Seen::Found(configuration("MutatingWebhookConfiguration")),
        validating: Seen::Found(configuration("ValidatingWebhookConfiguration")),
        deployment: Seen::Found(object(of_kind("Deployment"))),
        authority: Seen::Absent,
        service: Seen::Found(object(
            json!({"spec": {"clusterIP": "10.0.0.9", "ports": [{"port": 443}]}}),
        )),
        slices: Seen::Found(vec![slice(true), slice(false)]),
        lease: Seen::Found(object(json!({"spec": {
            "holderIdentity": "a", "leaseDurationSeconds": 15, "renewTime": "2027-01-15T07:59:50.000000Z"}}))),
        rights: rights(&installed())
            .into_iter()
            .map(|right| (right, Seen::Found(true)))
            .collect(),
        namespace: Seen::Found(object(json!({}))),
    };
    let own = authority(0, 30);
    trust(&mut facts, own.as_bytes());
    own_authority(&mut facts, own);
    assert!(facts.rights.len() > 20);
    facts
}

pub(super) fn installed() -> Installed {
    #[derive(clap::Parser)]
    struct Defaults {
        #[command(flatten)]
        installed: Installed,
    }
    let defaults: Defaults = clap::Parser::parse_from(["doctor"]);
    defaults.installed
}

pub(super) fn object<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object of that kind")
}

fn configuration(kind: &str) -> Configuration {
    object(of_kind(kind))
}

fn of_kind(kind: &str) -> Value {
    let shipped = shipped(&[kind]).into_iter().next();
    shipped.expect("it is shipped")
}

/// Has the certificate come from elsewhere, as the chart does where its type is another than `self-managed`.
pub(super) fn certificate_from_elsewhere(facts: &mut Facts) {
    let Seen::Found(deployment) = &mut facts.deployment else {
        panic!("there is one");
    };
    let pods = deployment
        .spec
        .as_mut()
        .and_then(|spec| spec.template.spec.as_mut());
    for container in &mut pods.expect("a Pod").containers {
        let arguments = container.args.iter_mut().flatten();
        for argument in arguments.filter(|argument| *argument == "--self-managed") {
            *argument = "--tls-cert=tls.crt".to_owned();
        }
    }
    // Helm takes the roles away, and leaves the Secret.
    for (right, allowed) in &mut facts.rights {
        *allowed = Seen::Found(!right.for_certificates);
    }
}

pub(super) fn slice<T: DeserializeOwned>(ready: bool) -> T {
    object(json!({
        "addressType": "IPv4", "metadata": {},
        "endpoints": [{"addresses": ["10.244.0.9"], "conditions": {"ready": ready}}],
    }))
}

/// An authority that began so many days ago and lives so many, in PEM.
pub(super) fn authority(begins: i64, days: u16) -> String {
    let begins = OffsetDateTime::from_unix_timestamp(NOW + begins * DAY).expect("a time");
    let authority =
        Authority::mint(begins, time::Duration::days(days.into())).expect("an authority");
    authority.certificate_pem()
}

pub(super) fn trust(facts: &mut Facts, bundle: &[u8]) {
    for configuration in [&mut facts.mutating, &mut facts.validating] {
        let Seen::Found(configuration) = configuration else {
            continue;
        };
        for webhook in &mut configuration.webhooks {
            webhook.client_config.ca_bundle = Some(ByteString(bundle.to_vec()));
        }
    }
    facts.authority = Seen::Absent;
}

pub(super) fn own_authority(facts: &mut Facts, pem: String) {
    let data = [("ca.crt".to_owned(), ByteString(pem.into_bytes()))];
    facts.authority = Seen::Found(k8s_openapi::api::core::v1::Secret {
        data: Some(data.into()),
        ..Default::default()
    });
}

/// Puts another certificate into the Secret.
pub(super) fn keep(facts: &mut Facts, key: &str, pem: String) {
    let Seen::Found(secret) = &mut facts.authority else {
        panic!("there is one");
    };
    let data = secret.data.get_or_insert_default();
    data.insert(key.to_owned(), ByteString(pem.into_bytes()));
}

/// Has one of the webhooks trust others than the rest.
pub(super) fn trust_of_one(facts: &mut Facts, bundle: &str) {
    let config = &mut validating(facts).webhooks[0].client_config;
    config.ca_bundle = Some(ByteString(bundle.as_bytes().to_vec()));
}

pub(super) fn policy(facts: &mut Facts) -> &mut Value {
    match &mut facts.policies {
        Seen::Found(policies) => &mut policies[0],
        _ => panic!("there is one"),
    }
}

pub(super) fn validating(facts: &mut Facts) -> &mut Configuration {
    match &mut facts.validating {
        Seen::Found(configuration) => configuration,
        _ => panic!("there is one"),
    }
}
