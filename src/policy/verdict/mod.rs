//! What is done about findings: modes, ceilings, exemptions, the [`ratchet`].
//!
//! Two questions, one a webhook path. `/mutate` asks [`repair`]: may this object be changed?
//! `/validate` asks [`judge`]: may the final object be stored? The second never trusts the first,
//! because a mutation that failed open never happened.

mod expired;
mod ratchet;

use jiff::civil::Date;

use crate::mesh::ServiceEntry;

use super::check::Context;
use super::checks;
use super::compile::Policy;
use super::evaluator::evaluate;
use super::finding::{Finding, Severity};
use super::fix::Edit;
use super::repair::repaired;
use super::spec::{Existing, Mode, OnUnsafe};
pub use expired::Expired;
use ratchet::Ratchet;

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
    /// Whether a repair was still to be made.
    pub missed: bool,
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
    for (policy, mode) in policies_with_a_say(finding, entry, context, today) {
        // None of them holds, or the policy had no say.
        let expired = policy.exemptions(&entry.namespace, &entry.name, finding.check);
        let notes = expired.map(|exemption| Expired::new(exemption, policy, finding.check));
        in_force.expired.extend(notes);
        in_force.rules.push(Rule {
            mode,
            on_unsafe: policy.on_unsafe,
            existing: policy.existing,
        });
    }
    in_force
}

/// The policies that are neither off nor exempt a finding on `today`, each with the mode that holds after every
/// ceiling, and once for each proxy about which it has a say.
pub fn policies_with_a_say<'a>(
    finding: &'a Finding,
    entry: &'a ServiceEntry,
    context: &'a Context<'_>,
    today: Date,
) -> impl Iterator<Item = (&'a Policy, Mode)> {
    let namespace = context.namespace(&entry.namespace);
    let concerned = finding.proxies.iter();
    // What is wrong with the object's shape is the API server's to say.
    let concerned = concerned.filter(|_| !is_about_shape(finding));
    concerned.flat_map(move |concerned| {
        let policies = context.policies.about(&concerned.proxy);
        policies.filter_map(move |policy| {
            let mut exemptions = policy.exemptions(&entry.namespace, &entry.name, finding.check);
            let exempt = exemptions.any(|exemption| exemption.holds(today));
            let mode = policy.mode_for(namespace, finding.check, concerned.proxy.evidence);
            (!exempt && mode != Mode::Off).then_some((policy, mode))
        })
    })
}

fn is_about_shape(finding: &Finding) -> bool {
    finding.check == checks::unreadable::CHECK.id
}

/// Whether some policy is on in the entry's namespace.
fn is_watched(entry: &ServiceEntry, context: &Context<'_>) -> bool {
    let mut policies = context.policies.policies.iter();
    let namespace = context.namespace(&entry.namespace);
    policies.any(|policy| policy.mode_in(namespace) != Mode::Off)
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
    // Nor is an object changed that was not read or not judged in full.
    if findings.iter().any(is_about_shape) {
        return None;
    }
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
    let missed = would_be_repaired(&findings, entry, context, today);
    let mut verdict = Verdict {
        missed,
        ..Verdict::default()
    };
    let ratchet = old.map(|(old, known)| Ratchet::new(entry, old, known));
    for finding in findings {
        if is_about_shape(&finding) {
            // That it was judged in part, nobody else can say.
            if finding.severity == Severity::Warning && is_watched(entry, context) {
                verdict.warned.push(finding);
            }
            continue;
        }
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
        let known = ratchet.as_ref().is_some_and(|old| old.knows(&finding));
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

#[cfg(test)]
mod tests;
