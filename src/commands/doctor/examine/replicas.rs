//! The replicas: what they may do, and which of them leads.

use k8s_openapi::api::coordination::v1::LeaseSpec;

use crate::commands::doctor::Installed;
use crate::commands::doctor::facts::{Facts, Seen, Webhook};
use crate::commands::doctor::rights::Right;
use crate::commands::doctor::shipped;
use crate::mesh::line::one_line;

use super::{Observation, duration};

/// How many missing rights are named.
const NAMED: usize = 8;

/// How much of a holder's name is shown: that of a Pod has at most 253 characters.
const HOLDER_CHARACTERS: usize = 80;

pub(super) fn examine(facts: &Facts, installed: &Installed) -> Vec<Observation> {
    vec![rights(facts, installed), lease(facts, installed)]
}

fn rights(facts: &Facts, installed: &Installed) -> Observation {
    const SUBJECT: &str = "rights of the guard";
    let Installed {
        namespace,
        service_account,
        ..
    } = installed;
    let untold = facts.rights.iter().find_map(|(_, allowed)| match allowed {
        Seen::Found(_) => None,
        Seen::Absent => Some("the API server has no SubjectAccessReview"),
        Seen::Untold(why) => Some(why),
    });
    if let Some(why) = untold {
        return Observation::unchecked(SUBJECT, why);
    }
    let missing = facts.rights.iter();
    let looks_after_certificates = looks_after_certificates(facts);
    let missing = missing.filter(|(right, allowed)| {
        let is_needed = !right.for_certificates || looks_after_certificates;
        is_needed && *allowed == Seen::Found(false)
    });
    let missing: Vec<&Right> = missing.map(|(right, _)| right).collect();
    if missing.is_empty() {
        let told =
            format!("ServiceAccount {namespace}/{service_account} may make every call it makes");
        return Observation::ok(SUBJECT, &told);
    }
    let named = missing.iter().take(NAMED).map(ToString::to_string);
    let mut named = named.collect::<Vec<_>>().join(", ");
    if missing.len() > NAMED {
        named += &format!(", and {} more", missing.len() - NAMED);
    }
    let told = format!("ServiceAccount {namespace}/{service_account} may not {named}");
    // A Secret of another name has to be named again in the Role.
    let remedy = shipped::remedy("rbac", "every name in the roles is the default again");
    Observation::failed(SUBJECT, &told, remedy)
}

/// Whether the guard makes its certificates itself: it is told to; where nobody sees what it is told, it has, or
/// nobody else did.
fn looks_after_certificates(facts: &Facts) -> bool {
    let configurations = [facts.mutating.found(), facts.validating.found()];
    let configurations = configurations.into_iter().flatten();
    let mut webhooks = configurations.flat_map(|configuration| &configuration.webhooks);
    let is_unset = |webhook: &Webhook| webhook.client_config.ca_bundle.is_none();
    facts
        .is_self_managed()
        .unwrap_or_else(|| facts.authority.found().is_some() || webhooks.any(is_unset))
}

fn lease(facts: &Facts, installed: &Installed) -> Observation {
    const SUBJECT: &str = "leader";
    let logs = format!(
        "no replica writes statuses or certificates: kubectl logs -n {} -l app.kubernetes.io/name=tunnelguard",
        installed.namespace
    );
    let spec = match &facts.lease {
        Seen::Found(lease) => lease.spec.clone().unwrap_or_default(),
        Seen::Untold(why) => return Observation::unchecked(SUBJECT, why),
        Seen::Absent => return Observation::failed(SUBJECT, "there never was one", logs),
    };
    match led(&spec, facts.now.as_second()) {
        Ok(told) => Observation::ok(SUBJECT, &told),
        Err(told) => Observation::failed(SUBJECT, &told, logs),
    }
}

/// Who leads, or why nobody does.
fn led(spec: &LeaseSpec, now: i64) -> Result<String, String> {
    let holder = spec.holder_identity.as_deref().unwrap_or_default();
    let renewed = spec.renew_time.as_ref().map(|time| time.0.as_second());
    let (Some(renewed), false) = (renewed, holder.is_empty()) else {
        return Err("nobody holds the Lease: the last replica released it".to_owned());
    };
    let holder = one_line(holder, HOLDER_CHARACTERS);
    let ago = (now - renewed).max(0);
    if ago > i64::from(spec.lease_duration_seconds.unwrap_or_default()) {
        let ago = duration(ago);
        return Err(format!(
            "{holder} renewed the Lease {ago} ago, which has run out"
        ));
    }
    Ok(format!("{holder} holds the Lease"))
}
