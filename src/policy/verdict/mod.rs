//! What is done about findings: modes, ceilings, exemptions, the ratchet.
//!
//! Two questions, one a webhook path. `/mutate` asks [`repair`]: may this object be changed?
//! `/validate` asks [`judge`]: may the final object be stored? The second never trusts the first,
//! because a mutation that failed open never happened.

mod expired;

use jiff::civil::Date;

use crate::mesh::ServiceEntry;
use crate::mesh::address::Address;

use super::check::{CheckId, Context};
use super::checks;
use super::evaluator::evaluate;
use super::finding::{Finding, Severity};
use super::fix::Edit;
use super::proxy::normal_host;
use super::repair::repaired;
use super::spec::{Existing, Mode, OnUnsafe};
pub use expired::Expired;

/// What one policy says about one finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The mode that holds, after every ceiling.
    pub mode: Mode,
    /// What Mutate does without a safe fix.
    pub on_unsafe: OnUnsafe,
    /// What happens to it if the object already had it.
    pub existing: Existing,
}

/// What the policies say about one finding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InForce {
    /// One rule a policy that is neither off nor exempts it; several proxies bring several.
    pub rules: Vec<Rule>,
    /// Exemptions that no longer hold.
    pub expired: Vec<Expired>,
}

impl InForce {
    /// The strictest mode; Off where no policy has a say.
    pub fn mode(&self) -> Mode {
        self.rules
            .iter()
            .map(|rule| rule.mode)
            .max()
            .unwrap_or(Mode::Off)
    }
}

/// The outcome of a review of the final object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The findings for which the object is denied; empty: allowed.
    pub denied: Vec<Finding>,
    /// The findings that are warned about.
    pub warned: Vec<Finding>,
    /// Exemptions that no longer hold.
    pub expired: Vec<Expired>,
}

impl Verdict {
    /// Whether the object may be stored.
    pub fn is_allowed(&self) -> bool {
        self.denied.is_empty()
    }
}

/// What the policies say about a finding on `today`: each proxy is judged under the policies that
/// have a say about it, and the strictest decision wins.
pub fn in_force(
    finding: &Finding,
    entry: &ServiceEntry,
    context: &Context<'_>,
    today: Date,
) -> InForce {
    let mut in_force = InForce::default();
    // What is wrong with the object's shape is the API server's to say.
    if finding.check == checks::unreadable::CHECK.id {
        return in_force;
    }
    for concerned in &finding.proxies {
        for policy in context.policies.about(&concerned.proxy) {
            let evidence = concerned.proxy.evidence;
            let mode = policy.mode_for(&entry.namespace, finding.check, evidence);
            let (holding, expired): (Vec<_>, Vec<_>) = policy
                .exemptions(&entry.namespace, &entry.name, finding.check)
                .partition(|exemption| exemption.holds(today));
            if !holding.is_empty() || mode == Mode::Off {
                continue;
            }
            let notes = expired.into_iter();
            let notes = notes.map(|exemption| Expired::new(exemption, policy, finding.check));
            in_force.expired.extend(notes);
            in_force.rules.push(Rule {
                mode,
                on_unsafe: policy.on_unsafe,
                existing: policy.existing,
            });
        }
    }
    in_force
}

/// The finding, for those of its proxies about which a policy has a say.
fn with_a_say(
    finding: Finding,
    entry: &ServiceEntry,
    context: &Context<'_>,
    today: Date,
) -> Option<Finding> {
    let mut single = finding.clone();
    finding.keeping(|concerned| {
        single.proxies = vec![concerned.clone()];
        in_force(&single, entry, context, today).mode() != Mode::Off
    })
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
        .map(|finding| in_force(finding, entry, context, today).mode());
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

/// Whether the object as it stands would be repaired: then its safe fixes are still to be made,
/// because the mutation was missed. A repair that is withheld for another error was not.
fn would_be_repaired(
    findings: &[Finding],
    entry: &ServiceEntry,
    context: &Context<'_>,
    today: Date,
) -> bool {
    let Some((_, mended)) = repair(findings, entry, context, today) else {
        return false;
    };
    let ports: Vec<u16> = mended.iter().filter_map(|finding| finding.port).collect();
    let mut after = entry.clone();
    for port in entry
        .ports
        .iter()
        .filter(|port| ports.contains(&port.number))
    {
        after = repaired(&after, port);
    }
    !leaves_an_error(&evaluate(&after, *context), &after, context, today)
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
            && in_force(finding, entry, context, today).mode() >= Mode::Mutate
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
    let missed = would_be_repaired(&findings, entry, context, today);
    for finding in findings {
        let Some(finding) = with_a_say(finding, entry, context, today) else {
            continue;
        };
        let in_force = in_force(&finding, entry, context, today);
        if in_force.mode() == Mode::Off {
            continue;
        }
        for note in &in_force.expired {
            if !verdict.expired.contains(note) {
                verdict.expired.push(note.clone());
            }
        }
        let known = old.is_some_and(|(old, known)| is_known(&finding, entry, old, known));
        if in_force
            .rules
            .iter()
            .any(|rule| rule.denies(&finding, known, missed))
        {
            verdict.denied.push(finding);
        } else {
            verdict.warned.push(finding);
        }
    }
    verdict
}

impl Rule {
    /// `known`: the old object had it; `missed`: the object would have been repaired.
    fn denies(&self, finding: &Finding, known: bool, missed: bool) -> bool {
        let tolerated = known && self.existing == Existing::Tolerate;
        if finding.severity == Severity::Warning || tolerated {
            return false;
        }
        match self.mode {
            Mode::Enforce => true,
            Mode::Mutate => {
                (finding.has_safe_fix() && missed) || self.on_unsafe == OnUnsafe::Enforce
            }
            Mode::Audit | Mode::Off => false,
        }
    }
}

/// The ratchet: whether the old object had this finding, for every one of its proxies on the same
/// port, at least as bad. An entry that widened its hosts, addresses or exportTo has it anew.
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
        let mut family = known
            .iter()
            .filter(|known| family(known.check) == family(finding.check));
        family.any(|known| {
            let mut proxies = known.proxies.iter();
            proxies.any(|own| own.is_same(concerned) && own.severity >= concerned.severity)
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

/// Whether an entry reaches further than it did: to another host, to an address that no old one
/// covers, or to a namespace that did not see it.
fn widens(entry: &ServiceEntry, old: &ServiceEntry) -> bool {
    let old_hosts: Vec<Box<str>> = old.hosts.iter().map(|host| normal_host(host)).collect();
    let hosts = entry
        .hosts
        .iter()
        .any(|host| !old_hosts.contains(&normal_host(host)));
    // No address is every address.
    let addresses = !old.addresses.is_empty()
        && (entry.addresses.is_empty()
            || entry
                .addresses
                .iter()
                .any(|new| !is_covered(new.address, old)));
    let sees = |to: &str| match to {
        "." => old.is_visible_from(&entry.namespace),
        "~" => true,
        to => old.is_visible_from(to),
    };
    let exported =
        !old.is_public() && (entry.is_public() || entry.export_to.iter().any(|to| !sees(to)));
    hosts || addresses || exported
}

fn is_covered(new: Address, old: &ServiceEntry) -> bool {
    old.addresses.iter().any(|old| match (new, old.address) {
        (Address::Single(ip), old) => old.contains(ip),
        (Address::Range(new), Address::Range(old)) => old.contains(&new),
        (Address::Invalid, _) => true,
        (Address::Range(_), _) => false,
    })
}

#[cfg(test)]
mod tests;
