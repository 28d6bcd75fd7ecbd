//! TG022: the entry does not list every address of the proxy.
//!
//! **What it does.** Reports a TCP entry with addresses that claims a proxy whose policy knows
//! more addresses than the entry lists, or other ones, unless another entry in view declares them.
//!
//! **Why.** A sidecar decides by the IP dialled. A proxy's name often resolves to several; the
//! one that is not listed is undeclared: closed under REGISTRY_ONLY, and defenceless against any
//! HTTP entry on the port under ALLOW_ANY (istio/istio#31830).
//!
//! **Fix.** The addresses to list, where the resolution is NONE; unsafe.

use std::net::IpAddr;

use crate::mesh::FieldPath;
use crate::mesh::service_entry::Resolution;
use crate::mesh::simulation::Outcome;
use crate::policy::check::{Check, CheckId};
use crate::policy::claim::Claim;
use crate::policy::dials::{ADDRESSES_A_PROXY, dial};
use crate::policy::finding::{Brief, Finding, Severity};
use crate::policy::fix::{Edit, Fix};
use crate::policy::proxy::Evidence;
use crate::policy::repair::address_list;
use crate::policy::spec::Mode;
use crate::policy::subject::Subject;
use crate::policy::words::{BRIEF_LIST_CHARACTERS, LIST_CHARACTERS, Words, as_dialled, ip_list};

/// See the module.
pub(super) static CHECK: Check = Check {
    id: CheckId(22),
    title: "the entry does not list every address of the proxy",
    ceiling: Mode::Enforce,
    page: include_str!("../../../docs/checks/TG022.md"),
    run,
};

fn run(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let entry = subject.entry;
    let mut usable = entry.usable_addresses();
    if usable.next().is_none() {
        return;
    }
    for claim in &subject.claims {
        if !claim.port.protocol.is_tcp() || claim.proxy.evidence == Evidence::Suspected {
            continue;
        }
        let missing: Vec<(IpAddr, Outcome)> = missing(subject, claim);
        if !missing.is_empty() {
            findings.push(incomplete(subject, claim, &missing));
        }
    }
}

/// The proxy's addresses that neither this entry nor another one in view declares. With only the
/// object at hand others may, so only an entry that lists none of them is reported.
fn missing(subject: &Subject<'_>, claim: &Claim<'_>) -> Vec<(IpAddr, Outcome)> {
    let entry = subject.entry;
    let known: Vec<IpAddr> = claim
        .proxy
        .single_addresses()
        .take(ADDRESSES_A_PROXY)
        .collect();
    // One in a range that the policy declares is the proxy's as well.
    let lists_some = known.iter().any(|ip| entry.lists(*ip))
        || entry.usable_addresses().any(|ip| claim.proxy.is_at(ip));
    if !subject.context.sees_mesh && lists_some {
        return Vec::new();
    }
    let unlisted = known.into_iter().filter(|ip| !entry.lists(*ip));
    let undeclared = unlisted.filter_map(|ip| {
        let namespaces = subject.namespaces().iter();
        let mut predictions = namespaces.filter_map(|namespace| {
            let dial = dial(namespace, ip, claim.port.number, &claim.proxy);
            let prediction = subject.foresee(&dial)?;
            Some((prediction.assumed(), prediction.by.is_some()))
        });
        predictions
            .find(|(outcome, declared)| *outcome != Outcome::Tunnel || !declared)
            .map(|(outcome, _)| (ip, outcome))
    });
    undeclared.collect()
}

fn incomplete(subject: &Subject<'_>, claim: &Claim<'_>, missing: &[(IpAddr, Outcome)]) -> Finding {
    let entry = subject.entry;
    let ips: Vec<IpAddr> = missing.iter().map(|(ip, _)| *ip).collect();
    let listed = |longest| match ips.as_slice() {
        [only] => (only.to_string(), "it"),
        several => (ip_list(several, longest), "them"),
    };
    let forward = as_dialled(entry).map_or(String::new(), |forward| format!(", and {forward}"));
    let broken = missing
        .iter()
        .any(|(_, outcome)| !matches!(outcome, Outcome::Tunnel | Outcome::Unknown));
    let (fate, brief_fate) = match broken {
        true => ("fail", "CONNECT to {proxy} fails there"),
        false => (
            "pass only by the outbound policy",
            "CONNECT to {proxy} works there only by chance",
        ),
    };
    let ((all, _), (few, it)) = (listed(LIST_CHARACTERS), listed(BRIEF_LIST_CHARACTERS));
    let path = FieldPath::spec().key("addresses");
    let words = Words {
        what: format!("the addresses lack {all} of {{proxy}}, so connections there {fate}"),
        edit: format!("Add {all} to the addresses{forward}"),
        brief: Brief::new(
            format!("lacks {few}"),
            brief_fate,
            &format!("add {it}{forward}"),
        ),
    };
    let mut finding = subject.finding(&CHECK, claim, path.clone(), words);
    finding = finding.rated(if broken {
        Severity::Error
    } else {
        Severity::Warning
    });
    if entry.resolution == Resolution::None {
        let all = entry
            .usable_addresses()
            .chain(missing.iter().map(|(ip, _)| *ip));
        finding.fix = Some(Fix::for_a_person(vec![Edit::set(
            path,
            true,
            address_list(all),
        )]));
    }
    finding
}

#[cfg(test)]
mod tests {
    use super::super::testing::table;

    #[test]
    fn rows() {
        let other = "\n---\nmetadata: {name: other}\nspec: {hosts: [second.corp], addresses: [10.20.0.8], ports: [{number: 8118, name: p, protocol: TCP}]}";
        let half = "metadata: {name: half}\nspec: {hosts: [pair.corp], addresses: [10.20.0.7], ports: [{number: 8118, name: p, protocol: TCP}]}";
        let both = format!("{half}{other}");
        table(
            &super::CHECK,
            &[
                ("one of two", half, "warning, unsafe"),
                ("one of two, REGISTRY_ONLY", half, "error, unsafe"),
                (
                    "another address than the proxy's",
                    "{hosts: [proxy.corp], addresses: [10.20.0.99], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "warning, unsafe",
                ),
                (
                    "one of two, with DNS",
                    "{hosts: [pair.corp], addresses: [10.20.0.7], resolution: DNS, ports: [{number: 8118, name: p, protocol: TCP}]}",
                    "warning",
                ),
                ("another entry declares the rest", &both, ""),
                (
                    "both",
                    "{hosts: [pair.corp], addresses: [10.20.0.7, 10.20.0.8], ports: [{number: 8118, name: p, protocol: TCP}]}",
                    "",
                ),
                (
                    "the only one",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "",
                ),
                (
                    "none at all is TG005",
                    "{hosts: [pair.corp], ports: [{number: 8118, name: p, protocol: TCP}]}",
                    "",
                ),
                (
                    "HTTP is TG001 first",
                    "{hosts: [pair.corp], addresses: [10.20.0.7], ports: [{number: 8118, name: p, protocol: HTTP}]}",
                    "",
                ),
            ],
        );
    }
}
