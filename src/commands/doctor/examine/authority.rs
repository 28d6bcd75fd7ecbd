//! The authorities that the API server trusts for the guard (`caBundle`).

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::api::core::v1::Secret;
use x509_parser::pem::Pem;

use crate::commands::doctor::Installed;
use crate::commands::doctor::facts::{Facts, Seen};

use super::{Observation, duration};

const SUBJECT: &str = "caBundle";

/// One authority's certificate.
struct Authority {
    der: Vec<u8>,
    begins: i64,
    ends: i64,
}

pub(super) fn examine(facts: &Facts, installed: &Installed) -> Vec<Observation> {
    // A bundle, and whose it is.
    let mut bundles: BTreeMap<&[u8], Vec<&str>> = BTreeMap::new();
    let configurations = [facts.mutating.found(), facts.validating.found()];
    let configurations = configurations.into_iter().flatten();
    for webhook in configurations.flat_map(|configuration| &configuration.webhooks) {
        let bundle = webhook.client_config.ca_bundle.as_ref();
        let bundle = bundle.map_or(&[][..], |bundle| &bundle.0);
        bundles.entry(bundle).or_default().push(&webhook.name);
    }
    let several = bundles.len() > 1;
    let bundles = bundles.into_iter();
    let bundles = bundles.map(|(bundle, webhooks)| {
        let whose = match several {
            true => format!("of {}: ", webhooks.join(", ")),
            false => String::new(),
        };
        trusted(&whose, bundle, facts, installed)
    });
    bundles.collect()
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
    if !trusts_own(&authorities, facts) {
        let secret = &installed.ca_secret;
        let told =
            format!("the authority in Secret {secret} is not in it: what that signs is refused");
        return failed(&told);
    }
    let left = last.ends - now;
    // Whoever renews by itself does so after two thirds of a life, as this guard and cert-manager do.
    if left < (last.ends - last.begins) / 10 {
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
        Seen::Found(_) => format!("; Secret {} is in it", installed.ca_secret),
        Seen::Absent => String::new(),
        Seen::Untold(why) => format!("; not compared with a Secret: {why}"),
    };
    let told = format!("{whose}{more}valid until {last_day}{secret}");
    Observation::ok(SUBJECT, &told)
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

/// Whether the authority that the guard made itself, if it did, is among them.
fn trusts_own(trusted: &[Authority], facts: &Facts) -> bool {
    let own = facts
        .authority
        .found()
        .map(certificates)
        .unwrap_or_default();
    let is_trusted = |own: &Authority| trusted.iter().any(|one| one.der == own.der);
    own.is_empty() || own.iter().any(is_trusted)
}

/// The certificates in a Secret, under whichever keys.
fn certificates(secret: &Secret) -> Vec<Authority> {
    let values = secret.data.iter().flat_map(|data| data.values());
    let certificates = values.filter_map(|value| read(&value.0).ok());
    certificates.flatten().collect()
}

fn remedy(facts: &Facts, installed: &Installed) -> String {
    let Installed {
        namespace,
        webhook_configuration,
        ..
    } = installed;
    match &facts.authority {
        // It is the leader that writes it.
        Seen::Found(_) => format!(
            "the leader puts it right: kubectl logs -n {namespace} -l app.kubernetes.io/name=tunnelguard"
        ),
        _ => format!(
            "cert-manager and OpenShift write it by themselves; else put it into both configurations called {webhook_configuration}: certs/README.md"
        ),
    }
}
