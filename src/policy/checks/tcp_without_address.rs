//! TG005: TCP without a usable address.
//!
//! **What it does.** Reports a TCP port of a known proxy whose entry has no address that a client
//! can dial: none, `0.0.0.0`, `0.0.0.0/0` or an IPv4-mapped IPv6 address.
//!
//! **Why.** Without an address of its own the port sits on the listener that all destinations of
//! the port share. With resolution NONE it works until any HTTP entry or Service appears on the
//! port. With DNS or STATIC it sends every destination on the port to this entry's endpoints:
//! other proxies, and ordinary HTTP APIs too.
//!
//! **Fix.** The addresses to add, where the policy or the endpoints name them; unsafe.

use crate::mesh::FieldPath;
use crate::mesh::protocol::Protocol;
use crate::mesh::service_entry::Resolution;
use crate::mesh::simulation::Outcome;
use crate::policy::check::{Check, CheckId};
use crate::policy::claim::Claim;
use crate::policy::finding::{Brief, Finding};
use crate::policy::fix::{Edit, Fix};
use crate::policy::repair::address_list;
use crate::policy::spec::Mode;
use crate::policy::subject::Subject;
use crate::policy::words::{
    BRIEF_LIST_CHARACTERS, LIST_CHARACTERS, Words, addresses_field, with_forwarding,
};
use std::net::IpAddr;

/// See the module.
pub(super) static CHECK: Check = Check {
    id: CheckId(5),
    title: "TCP without a usable address",
    ceiling: Mode::Enforce,
    page: include_str!("../../../docs/checks/TG005.md"),
    run,
};

fn run(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let entry = subject.entry;
    let narrowed = entry.addresses.iter().any(|written| {
        let wide = written.text.ends_with("/0");
        written.address.usable().is_some() || (written.text.contains('/') && !wide)
    });
    let rejected = !entry.addresses.is_empty() && !entry.has_services();
    // DYNAMIC_DNS has no addresses at all: TG009.
    if narrowed || rejected || entry.resolution == Resolution::DynamicDns {
        return;
    }
    for claim in &subject.claims {
        if claim.port.protocol == Protocol::Tcp {
            findings.push(without_address(subject, claim));
        }
    }
}

fn without_address(subject: &Subject<'_>, claim: &Claim<'_>) -> Finding {
    let hijacks = subject.hijacks(claim);
    let mut reaches = claim.reaches.iter();
    let captured = reaches.any(|reach| reach.outcome == Outcome::NotFound);
    let resolution = subject.entry.resolution;
    let addresses = known_addresses(subject);
    let port = claim.port.number;
    let what = if hijacks {
        format!(
            "TCP without a usable address and with resolution {} sends every destination on port {port} to {{proxy}}",
            resolution.name()
        )
    } else if captured {
        format!(
            "TCP without a usable address does not protect CONNECT through {{proxy}} from what else is HTTP on port {port}"
        )
    } else if claim.worst().is_some() {
        "TCP without a usable address leaves {proxy} undeclared".to_owned()
    } else {
        format!(
            "TCP without a usable address lets CONNECT through {{proxy}} only until something else on port {port} is HTTP"
        )
    };
    let fate = if hijacks {
        format!("all of port {port} is sent to {{proxy}}")
    } else if captured {
        format!("CONNECT to {{proxy}} gets 404 from what else is HTTP on port {port}")
    } else if claim.worst().is_some() {
        "nothing declares {proxy}".to_owned()
    } else {
        format!("CONNECT to {{proxy}} works until something else on port {port} is HTTP")
    };
    let state = match subject.entry.addresses.is_empty() {
        true => "is not set",
        false => "has no usable IP",
    };
    let path = FieldPath::spec().key("addresses");
    let edit = |longest| {
        let edit = format!("Set {}", addresses_field(&addresses, longest));
        with_forwarding(edit, subject.entry, addresses.len())
    };
    let words = Words {
        what,
        edit: edit(LIST_CHARACTERS),
        brief: Brief::new(state, fate, &edit(BRIEF_LIST_CHARACTERS)),
    };
    let mut finding = subject.finding(&CHECK, claim, path.clone(), words);
    if hijacks || captured {
        finding = claim.as_error(finding);
    }
    // Several addresses take a second edit.
    let fits = resolution == Resolution::None || addresses.len() == 1;
    if !addresses.is_empty() && fits {
        let present = !subject.entry.addresses.is_empty();
        let edit = Edit::set(path, present, address_list(addresses));
        finding.fix = Some(Fix::for_a_person(vec![edit]));
    }
    finding
}

/// What the endpoints say, else the policy.
fn known_addresses(subject: &Subject<'_>) -> Vec<IpAddr> {
    let endpoints = subject.entry.endpoints.iter();
    let mut known: Vec<IpAddr> = endpoints.filter_map(|e| e.address.parse().ok()).collect();
    if known.is_empty() {
        known = subject.known_addresses().to_vec();
    }
    known.dedup();
    known
}

#[cfg(test)]
mod tests {
    use super::super::testing::table;

    #[test]
    fn rows() {
        table(
            &super::CHECK,
            &[
                (
                    "NONE is fragile",
                    "{hosts: [proxy.corp], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "warning, unsafe",
                ),
                (
                    "DNS hijacks",
                    "{hosts: [proxy.corp], resolution: DNS, ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "error, unsafe",
                ),
                (
                    "STATIC hijacks",
                    "{hosts: [proxy.corp], resolution: STATIC, endpoints: [{address: 10.20.0.5}], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "error, unsafe",
                ),
                (
                    "0.0.0.0",
                    "{hosts: [proxy.corp], addresses: [0.0.0.0], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "warning, unsafe",
                ),
                (
                    "0.0.0.0/0",
                    "{hosts: [proxy.corp], addresses: [0.0.0.0/0], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "warning, unsafe",
                ),
                (
                    "IPv4-mapped",
                    "{hosts: [proxy.corp], addresses: ['::ffff:10.20.0.5'], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "warning, unsafe",
                ),
                (
                    "IPv4-mapped, REGISTRY_ONLY",
                    "{hosts: [proxy.corp], addresses: ['::ffff:10.20.0.5'], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "error, unsafe",
                ),
                (
                    "two addresses known, DNS",
                    "{hosts: [pair.corp], resolution: DNS, ports: [{number: 8118, name: p, protocol: TCP}]}",
                    "error",
                ),
                (
                    "an HTTP entry takes the port",
                    "metadata: {name: proxy}\nspec: {hosts: [proxy.corp], ports: [{number: 3128, name: p, protocol: TCP}]}\n---\nmetadata: {name: api}\nspec: {hosts: [api.test], addresses: [10.9.9.9], ports: [{number: 3128, name: p, protocol: HTTP}]}",
                    "error, unsafe",
                ),
                (
                    "one address",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "",
                ),
                (
                    "a range is TG006",
                    "{hosts: [proxy.corp], addresses: [10.20.0.0/24], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "",
                ),
                (
                    "nobody's proxy",
                    "{hosts: [api.test], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "",
                ),
            ],
        );
    }
}
