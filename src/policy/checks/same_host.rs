//! TG014: two entries with one host.
//!
//! **What it does.** Reports an entry that claims a proxy and would let its CONNECT through, were
//! there not another entry with the same host.
//!
//! **Why.** The host is the key by which istiod merges entries. Of entries in several namespaces
//! a client keeps one namespace's; of two in one namespace with different ports the second's
//! listener can lose its cluster (flag NC in the access log), and every connection is closed
//! while nothing reports it. "Add a second entry for the proxy's port" is bad advice.
//!
//! **Fix.** None: one entry with both ports, or another host.

use crate::mesh::line::{NAME_CHARACTERS, OBJECT_CHARACTERS, one_line, shown};
use crate::mesh::simulation::simulate;
use crate::mesh::view::Alone;
use crate::mesh::{FieldPath, Outcome};
use crate::policy::check::{Check, CheckId};
use crate::policy::claim::Claim;
use crate::policy::dials::dial;
use crate::policy::finding::{Brief, Finding};
use crate::policy::spec::Mode;
use crate::policy::subject::Subject;
use crate::policy::words::Words;

/// See the module.
pub(super) static CHECK: Check = Check {
    id: CheckId(14),
    title: "two entries with one host, of which one loses",
    ceiling: Mode::Enforce,
    page: include_str!("../../../docs/checks/TG014.md"),
    run,
};

fn run(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let entry = subject.entry;
    for (index, host) in entry.hosts.iter().enumerate() {
        let rivals: Vec<String> = subject
            .rivals(host)
            .map(|rival| {
                one_line(
                    &format!("{}/{}", rival.namespace, rival.name),
                    OBJECT_CHARACTERS,
                )
            })
            .collect();
        let Some(rival) = rivals.first() else {
            continue;
        };
        let host = shown(host, NAME_CHARACTERS);
        for claim in &subject.claims {
            if !loses(subject, claim) {
                continue;
            }
            let edit = "Put both ports into one entry, or give this one another host";
            let words = Words {
                what: format!(
                    "{rival} has the same host {host}, so this entry's cluster is lost and connections to {{proxy}} fail"
                ),
                edit: edit.to_owned(),
                brief: Brief::new(
                    format!("{host} is also in {rival}"),
                    "connections to {proxy} fail",
                    edit,
                ),
            };
            let path = FieldPath::spec().key("hosts").index(index);
            findings.push(claim.as_error(subject.finding(&CHECK, claim, path, words)));
        }
    }
}

/// Whether a dial fails with its rivals in view and tunnels without them.
fn loses(subject: &Subject<'_>, claim: &Claim<'_>) -> bool {
    if !claim.port.protocol.is_tcp() {
        return false;
    }
    let environment = &subject.context.environment;
    let alone = Alone::new(subject.entry, subject.context.mesh);
    let addresses: Vec<_> = claim.reaches.iter().map(|reach| reach.address).collect();
    subject.namespaces().iter().any(|namespace| {
        addresses.iter().any(|address| {
            let dial = dial(namespace, *address, claim.port.number, &claim.proxy);
            let Some(actual) = subject.foresee(&dial) else {
                return false;
            };
            let blamed = actual
                .by
                .is_some_and(|by| std::ptr::eq(by.entry, subject.entry));
            let fails = matches!(actual.outcome, Outcome::NoEndpoints | Outcome::Hijacked)
                || (actual.outcome == Outcome::BlackHole && actual.by.is_none());
            let listed = subject.entry.lists(*address);
            fails
                && (blamed || (actual.by.is_none() && listed))
                && simulate(&alone, &dial, environment).assumed() == Outcome::Tunnel
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::table;

    #[test]
    fn rows() {
        let proxy = "metadata: {name: proxy}\nspec: {hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: TCP}]}";
        let older = |spec: &str| format!("metadata: {{name: older}}\nspec: {spec}\n---\n{proxy}");
        let foreign = |spec: &str| {
            format!("metadata: {{name: older, namespace: team}}\nspec: {spec}\n---\n{proxy}")
        };
        let dns = older(
            "{hosts: [proxy.corp], resolution: DNS, ports: [{number: 8080, name: w, protocol: HTTP}]}",
        );
        let joins =
            older("{hosts: [proxy.corp], ports: [{number: 8080, name: w, protocol: HTTP}]}");
        let other = older(
            "{hosts: [a.corp], resolution: DNS, ports: [{number: 8080, name: w, protocol: HTTP}]}",
        );
        let elsewhere = foreign(
            "{hosts: [proxy.corp], resolution: DNS, ports: [{number: 8080, name: w, protocol: HTTP}]}",
        );
        table(
            &super::CHECK,
            &[
                (
                    "the older one's resolution differs: the cluster is missing",
                    &dns,
                    "error",
                ),
                (
                    "another namespace's is kept, REGISTRY_ONLY",
                    &elsewhere,
                    "error",
                ),
                ("ports that may join", &joins, ""),
                ("another host", &other, ""),
                ("alone", proxy, ""),
            ],
        );
    }
}
