//! Runs the checks over one entry, or over what only the whole mesh can show.

use std::collections::BTreeMap;

use crate::mesh::service_entry::Registry;
use crate::mesh::{FieldPath, ServiceEntry};

use super::check::{CheckId, Context};
use super::checks::unreadable::judged_in_part;
use super::checks::{self, captures_proxy, service_port, undeclared_proxy};
use super::finding::Finding;
use super::fix::{Fix, Safety};
use super::spec::Mode;
use super::subject::Subject;

/// Every finding about one entry, or one Service, in the order of check and field; one a check and field.
///
/// The same context and entry always give the same findings.
pub fn evaluate(entry: &ServiceEntry, context: Context<'_>) -> Vec<Finding> {
    if entry.registry == Registry::Kubernetes {
        return merge(about_service(entry, context));
    }
    if is_nobodys_business(entry, &context) {
        return Vec::new();
    }
    let subject = Subject::new(entry, context);
    let mut findings = Vec::new();
    for check in checks::ALL {
        (check.run)(&subject, &mut findings);
    }
    if subject.is_cut_short() {
        findings.push(judged_in_part());
    }
    merge(findings)
}

/// What a Service does to the proxies that it stands before, and to all others on its ports.
fn about_service(service: &ServiceEntry, context: Context<'_>) -> Vec<Finding> {
    let mut findings = service_port::run(service, context);
    let subject = Subject::new(service, context);
    captures_proxy::run(&subject, &mut findings);
    findings
}

/// Most entries of a mesh are on no proxy's port and suggest none: they cost a look at each port.
fn is_nobodys_business(entry: &ServiceEntry, context: &Context<'_>) -> bool {
    let proxies = &context.policies.proxies;
    let mut ports = entry.ports.iter();
    entry.problems.is_empty()
        && ports.all(|port| {
            proxies.on_port(port.number).next().is_none()
                && super::suspicion::suspect(entry, port).is_none()
        })
}

/// What no single entry is to blame for: declared proxies that nothing in view lets through.
pub fn evaluate_mesh(context: Context<'_>, findings: &[Finding]) -> Vec<Finding> {
    merge(undeclared_proxy::run(context, findings))
}

/// One finding a check and field: the proxies joined, the worst severity, and a fix only as safe
/// as the least safe of them.
fn merge(findings: Vec<Finding>) -> Vec<Finding> {
    let mut merged: BTreeMap<(CheckId, FieldPath, String), Finding> = BTreeMap::new();
    for finding in findings {
        // Findings without a place, such as TG017, are told apart by their proxies.
        let place = match finding.path.segments() {
            [] => finding.message(),
            _ => String::new(),
        };
        let key = (finding.check, finding.path.clone(), place);
        match merged.get_mut(&key) {
            Some(known) => join(known, finding),
            None => {
                merged.insert(key, finding);
            }
        }
    }
    merged.into_values().collect()
}

fn join(known: &mut Finding, other: Finding) {
    // The words follow the worst.
    if other.severity > known.severity {
        known.severity = other.severity;
        known.what = other.what;
        known.edit = other.edit;
        known.brief = other.brief;
    }
    known.fix = match (known.fix.take(), other.fix) {
        (Some(a), Some(b)) if a.edits == b.edits => Some(less_safe(a, b)),
        _ => None,
    };
    for concerned in other.proxies {
        if !known.proxies.iter().any(|own| own.is_same(&concerned)) {
            known.proxies.push(concerned);
        }
    }
}

fn less_safe(a: Fix, b: Fix) -> Fix {
    match a.safety {
        Safety::Safe => b,
        Safety::Unsafe { .. } => a,
    }
}

/// The findings that `lint` reports: without those that a policy switches off or exempts on
/// `today`. Lint knows no other mode.
pub fn in_force(
    findings: Vec<Finding>,
    entry: Option<&ServiceEntry>,
    context: &Context<'_>,
    today: jiff::civil::Date,
) -> Vec<Finding> {
    let (namespace, name) = entry.map_or(("", ""), |e| (&*e.namespace, &*e.name));
    let place = context.namespace(namespace);
    let kept = findings.into_iter().filter_map(|finding| {
        let check = finding.check;
        finding.keeping(|concerned| {
            let mut policies = context.policies.about(&concerned.proxy);
            policies.any(|policy| {
                let mut exemptions = policy.exemptions(namespace, name, check);
                let exempt = entry.is_some() && exemptions.any(|e| e.holds(today));
                !exempt && policy.mode_for(place, check, concerned.proxy.evidence) != Mode::Off
            })
        })
    });
    kept.collect()
}
