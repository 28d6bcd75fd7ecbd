//! The authorities that the API server trusts for the guard (`caBundle`).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::api::core::v1::Secret;
use x509_parser::pem::Pem;

use crate::commands::doctor::Installed;
use crate::commands::doctor::facts::{Facts, Seen, Webhook};
use crate::pki::authorities::CERTIFICATE;

use super::{Observation, State, duration};

const SUBJECT: &str = "caBundle";

/// The most days before its end at which an authority has to be renewed.
const LATE_DAYS: i64 = 30;

/// One authority's certificate.
struct Authority {
    der: Vec<u8>,
    begins: i64,
    ends: i64,
}

pub(super) fn examine(facts: &Facts, installed: &Installed) -> Vec<Observation> {
    // A bundle, and whose it is.
    let mut bundles: BTreeMap<&[u8], Vec<&Webhook>> = BTreeMap::new();
    let configurations = [facts.mutating.found(), facts.validating.found()];
    let configurations = configurations.into_iter().flatten();
    for webhook in configurations.flat_map(|configuration| &configuration.webhooks) {
        let bundle = webhook.client_config.ca_bundle.as_ref();
        let bundle = bundle.map_or(&[][..], |bundle| &bundle.0);
        bundles.entry(bundle).or_default().push(webhook);
    }
    let each = bundles.iter().map(|(bundle, webhooks)| {
        let whose = match bundles.len() {
            1 => String::new(),
            _ => format!("of {}: ", names(webhooks)),
        };
        trusted(&whose, bundle, facts, installed)
    });
    let mut all: Vec<Observation> = each.collect();
    // Where one of them is wrong, that says more.
    if all.iter().all(|one| one.state == State::Ok) {
        all.extend(difference(&bundles, facts, installed));
    }
    all
}

fn names(webhooks: &[&Webhook]) -> String {
    let names: Vec<&str> = webhooks.iter().map(|one| one.name.as_str()).collect();
    names.join(", ")
}

/// What is to be said where one Service is to show certificates of different authorities. The order and the form
/// of a bundle do not matter.
fn difference(
    bundles: &BTreeMap<&[u8], Vec<&Webhook>>,
    facts: &Facts,
    installed: &Installed,
) -> Option<Observation> {
    let asks_guard = |webhook: &&Webhook| {
        let service = webhook.client_config.service.as_ref();
        service.is_some_and(|service| installed.is_service(service))
    };
    let ours = bundles
        .iter()
        .filter(|(_, webhooks)| webhooks.iter().any(asks_guard));
    let trusted: BTreeSet<BTreeSet<Vec<u8>>> = ours
        .map(|(bundle, _)| {
            let authorities = read(bundle).unwrap_or_default().into_iter();
            authorities.map(|one| one.der).collect()
        })
        .collect();
    if trusted.len() < 2 {
        return None;
    }
    let told = "the webhooks of one Service trust different authorities: what one takes another may refuse";
    let remedy = format!(
        "look again, for both configurations are written one after the other; if it stays so:\n{}",
        remedy(facts, installed)
    );
    Some(Observation::failed(SUBJECT, told, remedy))
}

fn trusted(whose: &str, bundle: &[u8], facts: &Facts, installed: &Installed) -> Observation {
    let failed = |fault: &str| {
        let told = format!("{whose}{fault}");
        Observation::failed(SUBJECT, &told, remedy(facts, installed))
    };
    if bundle.is_empty() {
        return failed(
            "not set: the API server takes the guard's certificate from nobody it knows",
        );
    }
    let authorities = match read(bundle) {
        Ok(authorities) => authorities,
        Err(fault) => return failed(&format!("cannot be read: {fault}")),
    };
    let now = facts.now.as_second();
    let last_day = last_day(&authorities);
    let valid = authorities.iter();
    let valid = valid.filter(|one| (one.begins..=one.ends).contains(&now));
    let Some(last) = valid.max_by_key(|one| one.ends) else {
        return failed(&format!(
            "nothing in it is valid now; it goes until {last_day}"
        ));
    };
    if let Some(fault) = own_fault(&authorities, facts, installed) {
        return failed(&fault);
    }
    let left = last.ends - now;
    if left < late(last) {
        return failed(&format!(
            "ends in {} ({last_day}): it was not renewed in time",
            duration(left)
        ));
    }
    let more = match authorities.len() {
        1 => String::new(),
        count => format!("{count} authorities, the last "),
    };
    let secret = match &facts.authority {
        Seen::Found(_) if is_left_over(facts) => {
            format!("; Secret {} is left over", installed.ca_secret)
        }
        Seen::Found(_) => format!("; Secret {} is in it", installed.ca_secret),
        Seen::Absent => String::new(),
        Seen::Untold(why) => format!("; not compared with a Secret: {why}"),
    };
    let told = format!("{whose}{more}valid until {last_day}{secret}");
    Observation::ok(SUBJECT, &told)
}

/// How long before its end an authority should have been renewed. Whoever renews by itself does so after two thirds
/// of a life, as this guard and cert-manager do. An authority of ten years is renewed by people, who need no year.
fn late(authority: &Authority) -> i64 {
    let life = authority.ends - authority.begins;
    (life / 10).min(LATE_DAYS * 86_400)
}

/// Every certificate of a bundle.
fn read(bundle: &[u8]) -> Result<Vec<Authority>, String> {
    let mut authorities = Vec::new();
    for pem in Pem::iter_from_buffer(bundle) {
        let pem = pem.map_err(|_| "it is no PEM".to_owned())?;
        if pem.label != "CERTIFICATE" {
            continue;
        }
        let certificate = pem.parse_x509();
        let certificate = certificate.map_err(|_| "a certificate in it is damaged".to_owned())?;
        let validity = certificate.validity();
        authorities.push(Authority {
            begins: validity.not_before.timestamp(),
            ends: validity.not_after.timestamp(),
            der: pem.contents.clone(),
        });
    }
    match authorities.is_empty() {
        true => Err("it holds no certificate".to_owned()),
        false => Ok(authorities),
    }
}

fn last_day(authorities: &[Authority]) -> String {
    let last = authorities.iter().map(|one| one.ends).max();
    let last = last.and_then(|last| Timestamp::from_second(last).ok());
    last.map_or_else(
        || "never".to_owned(),
        |last| last.to_zoned(TimeZone::UTC).date().to_string(),
    )
}

/// Whether the guard once made its certificates, and does no more: Helm does not delete the Secret.
fn is_left_over(facts: &Facts) -> bool {
    facts.is_self_managed() == Some(false)
}

/// What is wrong about the authority that the guard made itself, if it did. The one that signs has to be among
/// them: those that the Secret has before and after it sign nothing that is served.
fn own_fault(trusted: &[Authority], facts: &Facts, installed: &Installed) -> Option<String> {
    let kept = facts.authority.found().filter(|_| !is_left_over(facts))?;
    let secret = &installed.ca_secret;
    let Some(own) = signing(kept) else {
        return Some(format!(
            "Secret {secret} has no {CERTIFICATE} that can be read"
        ));
    };
    let is_trusted = trusted.iter().any(|one| one.der == own.der);
    (!is_trusted).then(|| {
        format!("the authority in Secret {secret} is not in it: what that signs is refused")
    })
}

fn signing(secret: &Secret) -> Option<Authority> {
    let certificate = secret.data.as_ref()?.get(CERTIFICATE)?;
    read(&certificate.0).ok()?.into_iter().next()
}

fn remedy(facts: &Facts, installed: &Installed) -> String {
    let Installed {
        namespace,
        webhook_configuration,
        ..
    } = installed;
    match &facts.authority {
        // It is the leader that writes it.
        Seen::Found(_) if !is_left_over(facts) => format!(
            "the leader puts it right: kubectl logs -n {namespace} -l app.kubernetes.io/name=tunnelguard"
        ),
        _ => format!(
            "cert-manager and OpenShift write it by themselves; else put it into both configurations called {webhook_configuration}: certs/README.md"
        ),
    }
}
