//! What is done about findings: modes, ceilings, exemptions, the ratchet.
//!
//! Two questions, one a webhook path. `/mutate` asks [`repair`]: may this object be changed?
//! `/validate` asks [`judge`]: may the final object be stored? The second never trusts the first,
//! because a mutation that failed open never happened.

use jiff::civil::Date;

use crate::mesh::ServiceEntry;

use super::check::{CheckId, Context};
use super::checks;
use super::compile::{Exemption, Policy};
use super::finding::{Finding, Severity};
use super::fix::Edit;
use super::proxy::Proxy;
use super::spec::{Existing, Mode, OnUnsafe};

/// What the policies say about one finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// The strictest mode that holds, after every ceiling; Off where all are exempt.
    pub mode: Mode,
    /// What Mutate does without a safe fix, as the strictest has it.
    pub on_unsafe: OnUnsafe,
    /// What happens to it if the object already had it.
    pub existing: Existing,
    /// What to say about exemptions that no longer hold.
    pub expired: Vec<String>,
}

/// The outcome of a review of the final object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The findings for which the object is denied; empty: allowed.
    pub denied: Vec<Finding>,
    /// The findings that are warned about.
    pub warned: Vec<Finding>,
    /// What to say about exemptions that no longer hold.
    pub expired: Vec<String>,
}

impl Verdict {
    /// Whether the object may be stored.
    pub fn is_allowed(&self) -> bool {
        self.denied.is_empty()
    }
}

/// What the policies say about a finding on `today`.
///
/// Each finding is judged under the policies whose proxy it is about; the strictest wins.
pub fn in_force(
    finding: &Finding,
    entry: &ServiceEntry,
    context: &Context<'_>,
    today: Date,
) -> InForce {
    let mut strictest = InForce {
        mode: Mode::Off,
        on_unsafe: OnUnsafe::Audit,
        existing: Existing::Tolerate,
        expired: Vec::new(),
    };
    // What is wrong with the object's shape is the API server's to say.
    if finding.check == checks::unreadable::CHECK.id {
        return strictest;
    }
    for concerned in &finding.proxies {
        for policy in context.policies.about(&concerned.proxy) {
            let mode = mode_under(policy, &concerned.proxy, finding.check, entry);
            let (holding, expired): (Vec<_>, Vec<_>) = policy
                .exemptions(&entry.namespace, &entry.name, finding.check)
                .partition(|exemption| exemption.holds(today));
            if !holding.is_empty() || mode == Mode::Off {
                continue;
            }
            strictest
                .expired
                .extend(expired.into_iter().map(|e| expired_note(e, finding.check)));
            if policy.on_unsafe == OnUnsafe::Enforce {
                strictest.on_unsafe = OnUnsafe::Enforce;
            }
            if policy.existing == Existing::Enforce {
                strictest.existing = Existing::Enforce;
            }
            strictest.mode = strictest.mode.max(mode);
        }
    }
    strictest
}

fn mode_under(policy: &Policy, proxy: &Proxy, check: CheckId, entry: &ServiceEntry) -> Mode {
    policy
        .mode_in(&entry.namespace)
        .min(policy.ceiling(check))
        .min(policy.evidence_ceiling(proxy.evidence))
}

fn expired_note(exemption: &Exemption, check: CheckId) -> String {
    let owner = exemption.owner.as_deref().unwrap_or("nobody");
    let date = exemption
        .expires
        .map(|date| date.to_string())
        .unwrap_or_default();
    format!(
        "the exemption from {check} of {owner} expired on {date} ({})",
        exemption.reason
    )
}

/// The edits of a repair, with the findings they mend; `None` where the object is left alone.
///
/// An object is repaired only where its effective mode, the highest among its findings in force,
/// is Mutate. Whether the result is free of errors is for [`leaves_an_error`] to say.
pub fn repair(
    findings: &[Finding],
    entry: &ServiceEntry,
    context: &Context<'_>,
    today: Date,
) -> Option<(Vec<Edit>, Vec<Finding>)> {
    let mut modes = findings
        .iter()
        .map(|finding| in_force(finding, entry, context, today).mode);
    let effective = modes.clone().max()?;
    if effective != Mode::Mutate {
        return None;
    }
    let mut edits: Vec<Edit> = Vec::new();
    let mut mended = Vec::new();
    for finding in findings {
        let mode = modes.next()?;
        let Some(fix) = finding.fix.as_ref().filter(|fix| fix.is_safe()) else {
            continue;
        };
        if mode != Mode::Mutate {
            continue;
        }
        // Two ports bring the same edit of the location.
        edits.extend(
            fix.edits
                .iter()
                .filter(|edit| !edits.contains(edit))
                .cloned()
                .collect::<Vec<_>>(),
        );
        mended.push(finding.clone());
    }
    (!edits.is_empty()).then_some((edits, mended))
}

/// Whether a repaired object still has an error in force: then the repair is not sent. Exempt,
/// Off and Audit-capped findings do not stand in the way.
pub fn leaves_an_error(
    findings: &[Finding],
    entry: &ServiceEntry,
    context: &Context<'_>,
    today: Date,
) -> bool {
    findings.iter().any(|finding| {
        finding.severity == Severity::Error
            && in_force(finding, entry, context, today).mode >= Mode::Mutate
    })
}

/// Judges the final object. `old` is what it replaces, with its findings under the same context.
pub fn judge(
    findings: Vec<Finding>,
    entry: &ServiceEntry,
    old: Option<(&ServiceEntry, &[Finding])>,
    context: &Context<'_>,
    today: Date,
) -> Verdict {
    let mut verdict = Verdict::default();
    for finding in findings {
        let rules = in_force(&finding, entry, context, today);
        if rules.mode == Mode::Off {
            continue;
        }
        for note in rules.expired {
            if !verdict.expired.contains(&note) {
                verdict.expired.push(note);
            }
        }
        let tolerated = rules.existing == Existing::Tolerate
            && old.is_some_and(|(old, known)| is_known(&finding, entry, old, known));
        let denies = match rules.mode {
            _ if finding.severity == Severity::Warning || tolerated => false,
            Mode::Enforce => true,
            // A safe fix that is still to be made: the mutation was missed.
            Mode::Mutate => finding.has_safe_fix() || rules.on_unsafe == OnUnsafe::Enforce,
            Mode::Audit | Mode::Off => false,
        };
        if denies {
            verdict.denied.push(finding);
        } else {
            verdict.warned.push(finding);
        }
    }
    verdict
}

/// The ratchet: whether the old object had this finding, for the same port and every one of its
/// proxies, at least as bad. An entry that widened its hosts, addresses or exportTo has it anew.
fn is_known(
    finding: &Finding,
    entry: &ServiceEntry,
    old: &ServiceEntry,
    known: &[Finding],
) -> bool {
    if widens(entry, old) {
        return false;
    }
    finding.proxies.iter().all(|concerned| {
        known.iter().any(|known| {
            family(known.check) == family(finding.check)
                && known.port == finding.port
                && known.severity >= finding.severity
                && known.proxies.contains(concerned)
        })
    })
}

/// TG001 to TG004 are one: which wrong value the protocol has does not matter.
fn family(check: CheckId) -> CheckId {
    match check.0 {
        1..=4 => CheckId(1),
        _ => check,
    }
}

fn widens(entry: &ServiceEntry, old: &ServiceEntry) -> bool {
    let hosts = entry.hosts.iter().any(|host| !old.hosts.contains(host));
    // No address is every address.
    let addresses = !old.addresses.is_empty()
        && (entry.addresses.is_empty()
            || entry
                .addresses
                .iter()
                .any(|new| !old.addresses.contains(new)));
    let exported = !old.is_public()
        && (entry.is_public() || entry.export_to.iter().any(|to| !old.export_to.contains(to)));
    hosts || addresses || exported
}

#[cfg(test)]
mod tests;
