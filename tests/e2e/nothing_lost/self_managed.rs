//! Certificates look after themselves under load: replicas begin on an empty cluster, renew what they serve,
//! replace their authority, get an old Secret back and lose it, while users write and others call with a new handshake for
//! every call.

use std::net::{Ipv4Addr, SocketAddr};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::Api;
use serde_json::Value;

use super::caller::Caller;
use super::scene::{POLICY, Unanswered, are_asked};
use super::stranger::Stranger;
use super::users::Users;
use crate::harness::{
    Balancer, ControlPlane, FailurePolicy, Guard, Replicas, Stage, await_some, free_address,
    one_thread, repository, run,
};

/// Renewed after 7 to 8 s.
const FLAGS: [&str; 4] = ["--leaf-life", "12s", "--ca-life", "1h"];

const USERS: usize = 4;

const CALLERS: usize = 2;

const RENEWALS: f64 = 5.0;

/// Both configurations, by short names.
const KINDS: [&str; 2] = [
    "validatingwebhookconfiguration",
    "mutatingwebhookconfiguration",
];

const ROTATE: &str =
    "-n tunnelguard-system annotate secret tunnelguard-ca tunnelguard.dev/rotate=now";

pub(super) fn play(plane: &ControlPlane) {
    let replicas = Replicas::new(plane);
    plane.forget_authority();
    let stage = Stage::new(plane, "self-managed");
    let balancer = Balancer::start(stage.address);
    stage.register_without_authority(FailurePolicy::Fail);
    let policy = repository(POLICY);
    let policy = ["--policy", policy.to_str().expect("UTF-8")];
    let flags = [&policy[..], &FLAGS].concat();
    // At once, so that both find nothing.
    let mut guards = [1, 2].map(|number| {
        let address = free_address(Ipv4Addr::new(127, 20, 1, number));
        replicas.start_self_managed(address, &flags)
    });
    guards.iter_mut().for_each(Guard::await_ready);
    assert_eq!(each(&guards, GENERATION), [1.0, 1.0]);
    assert_eq!(bundles(plane)[0].matches("BEGIN CERTIFICATE").count(), 1);

    balancer.forward_to(guards.iter().map(Guard::address));
    stage.await_reviews(|| are_asked(&guards));
    let before = Unanswered::until_now(plane);
    let dialled = balancer.dialled();
    let users = Users::begin_apart(plane, "self-managed", USERS);
    let callers = [(); CALLERS].map(|()| call(plane, stage.address));

    // Another authority.
    let backup = plane.prints("-n tunnelguard-system get secret tunnelguard-ca -o json");
    plane.prints(ROTATE);
    await_some(
        "both replicas serve a certificate of the next authority",
        || (each(&guards, GENERATION) == [2.0, 2.0]).then_some(()),
    );
    await_some("the previous authority is retired", || {
        (each(&guards, TRUSTED) == [1.0, 1.0]).then_some(())
    });
    // The Secret is replaced by one from a backup, whose authority nobody trusts any more.
    restore(plane, &backup);
    await_some(
        "there is a new authority, beside the one of the backup and the one that signed",
        || (each(&guards, TRUSTED) == [3.0, 3.0]).then_some(()),
    );
    assert_eq!(
        each(&guards, "tunnelguard_authority_generation"),
        [2.0, 2.0],
        "one more than the backup's"
    );
    await_some("both are retired", || {
        (each(&guards, TRUSTED) == [1.0, 1.0]).then_some(())
    });
    // The Secret is lost, and with it the authority's key.
    plane.prints("-n tunnelguard-system delete secret tunnelguard-ca");
    await_some(
        "there is an authority again, and both replicas have a certificate of it",
        || {
            let trusted = each(&guards, TRUSTED) == [2.0, 2.0];
            (trusted && each(&guards, GENERATION) == [1.0, 1.0]).then_some(())
        },
    );
    // With each authority came certificates; these are renewed by one and the same.
    let signed = signed(&guards);
    await_some("certificates are renewed", || {
        (self::signed(&guards) >= signed + RENEWALS).then_some(())
    });

    let tally = users.end();
    let calls: usize = callers.into_iter().map(Caller::end).sum();
    let unanswered = Unanswered::until_now(plane) - before;
    let handshakes = balancer.dialled() - dialled - calls;
    println!(
        "{} certificates, {tally}; {unanswered:?}",
        self::signed(&guards)
    );
    println!("{calls} calls with a handshake each, and {handshakes} handshakes of the API server");
    tally.assert_nothing_lost();
    assert!(handshakes > 0, "the API server has made no handshake");
    assert_eq!(unanswered, Unanswered::default());
    foreign_change(plane, &guards);
    plane.forget_authority();
}

/// Puts a Secret in place of the one that is there.
fn restore(plane: &ControlPlane, backup: &str) {
    let mut secret: Value = serde_json::from_str(backup).expect("a Secret");
    let metadata = secret["metadata"].as_object_mut().expect("metadata");
    metadata.retain(|field, _| {
        ["name", "namespace", "labels", "annotations"].contains(&field.as_str())
    });
    run(
        &mut plane.kubectl(["replace", "-f", "-"]),
        &secret.to_string(),
    );
}

/// What others write into a `caBundle` is put right, and nothing else is.
fn foreign_change(plane: &ControlPlane, guards: &[Guard; 2]) {
    let right = bundles(plane);
    let patch = r#"--type=json -p [{"op":"replace","path":"/webhooks/0/clientConfig/caBundle","value":""},{"op":"replace","path":"/webhooks/0/timeoutSeconds","value":7}]"#;
    plane.prints(&format!("patch {} tunnelguard {patch}", KINDS[0]));
    await_some("the caBundle is put right", || {
        (bundles(plane) == right).then_some(())
    });
    let path = "jsonpath={.webhooks[0].timeoutSeconds}";
    assert_eq!(
        plane.prints(&format!("get {} tunnelguard -o {path}", KINDS[0])),
        "7"
    );
    let counted = each(guards, "tunnelguard_ca_bundle_foreign_changes_total");
    assert_eq!(
        counted.iter().sum::<f64>(),
        1.0,
        "the leader has counted it"
    );
}

/// Of the authority that has signed what a replica serves.
const GENERATION: &str = "tunnelguard_certificate_generation";
const TRUSTED: &str = "tunnelguard_trusted_authorities";

fn each(guards: &[Guard; 2], metric: &str) -> [f64; 2] {
    guards.each_ref().map(|guard| guard.metric(metric))
}

/// How many certificates both have had.
fn signed(guards: &[Guard; 2]) -> f64 {
    let signed = "tunnelguard_certificate_reloads_total{result=\"success\"}";
    each(guards, signed).iter().sum()
}

/// The `caBundle` of each webhook, in PEM.
pub(crate) fn bundles(plane: &ControlPlane) -> Vec<String> {
    let mut bundles = Vec::new();
    for kind in KINDS {
        let printed = plane.prints(&format!("get {kind} tunnelguard -o json"));
        let object: Value = serde_json::from_str(&printed).expect("JSON");
        for webhook in object["webhooks"].as_array().expect("webhooks") {
            let text = webhook["clientConfig"]["caBundle"]
                .as_str()
                .unwrap_or_default();
            let bundle = BASE64_STANDARD.decode(text).expect("base64");
            bundles.push(String::from_utf8(bundle).expect("PEM"));
        }
    }
    bundles
}

/// Calls the webhook with a new handshake each time, and trusts what its configuration says at that moment.
fn call(plane: &ControlPlane, address: SocketAddr) -> Caller {
    let runtime = one_thread();
    let client = runtime.block_on(plane.client("admin"));
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(client);
    let stranger = move || {
        let configurations = configurations.clone();
        async move {
            let configuration = configurations.get("tunnelguard").await;
            let webhooks = configuration.expect("a configuration").webhooks;
            let webhook = webhooks.into_iter().flatten().next();
            let bundle = webhook.and_then(|webhook| webhook.client_config.ca_bundle);
            Stranger::trusting(&bundle.expect("a bundle").0)
        }
    };
    Caller::begin(runtime, address, stranger)
}
