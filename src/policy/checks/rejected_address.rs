//! TG007: an address that istiod rejects.
//!
//! **What it does.** Reports an entry that claims a proxy and lists a host name, a bracketed or
//! zero-padded IP, or, with a DNS resolution, anything with a slash.
//!
//! **Why.** istiod's validation refuses the object. Where it gets in all the same, istiod drops
//! the address without a word, and with it the protection; an entry whose addresses are all bad
//! vanishes.
//!
//! **Fix.** The bare IP, where it is plain what was meant; unsafe.

use crate::mesh::FieldPath;
use crate::mesh::address::{Address, intended_ip};
use crate::mesh::line::{NAME_CHARACTERS, quoted};
use crate::policy::check::{Check, CheckId};
use crate::policy::finding::{Brief, Finding};
use crate::policy::fix::{Edit, Fix};
use crate::policy::spec::Mode;
use crate::policy::subject::Subject;
use crate::policy::words::{BRIEF_LIST_CHARACTERS, Words, ip_list};

/// See the module.
pub(super) static CHECK: Check = Check {
    id: CheckId(7),
    title: "an address that istiod rejects",
    ceiling: Mode::Enforce,
    page: include_str!("../../../docs/checks/TG007.md"),
    run,
};

fn run(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let resolution = subject.entry.resolution;
    for (index, written) in subject.entry.addresses.iter().enumerate() {
        let text = &*written.text;
        let quoted = quoted(text, NAME_CHARACTERS);
        let slash = text.contains('/') && resolution.is_dns();
        if written.address != Address::Invalid && !slash {
            continue;
        }
        let name = resolution.name();
        let (reason, state) = match slash && written.address != Address::Invalid {
            true => (
                format!("a slash is not allowed with resolution {name}"),
                format!("{quoted} has a slash, which {name} does not allow"),
            ),
            false => (
                "it is neither an IP nor a prefix".to_owned(),
                format!("{quoted} is no IP"),
            ),
        };
        let meant = intended_ip(text);
        let edit = match (meant, subject.known_addresses()) {
            (Some(ip), _) => format!("Write {ip}"),
            (None, [ip]) => format!("Write {ip}"),
            (None, []) => "Write the proxy's IP address".to_owned(),
            (None, known) => {
                let known = ip_list(known, BRIEF_LIST_CHARACTERS);
                format!("Write the proxy's IPs: {known}")
            }
        };
        for claim in &subject.claims {
            let path = FieldPath::spec().key("addresses").index(index);
            let words = Words {
                what: format!("istiod rejects the address {quoted} of {{proxy}}: {reason}"),
                edit: edit.clone(),
                brief: Brief::new(&*state, "istiod rejects the entry of {proxy}", &edit),
            };
            let mut finding = subject.finding(&CHECK, claim, path.clone(), words);
            finding.fix =
                meant.map(|ip| Fix::for_a_person(vec![Edit::set(path, true, ip.to_string())]));
            findings.push(finding);
        }
    }
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
                    "a host name",
                    "{hosts: [proxy.corp], addresses: [proxy.corp], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "warning",
                ),
                (
                    "a host name, REGISTRY_ONLY",
                    "{hosts: [proxy.corp], addresses: [proxy.corp], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "error",
                ),
                (
                    "brackets",
                    "{hosts: [proxy.corp], addresses: ['[fd00::5]'], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "warning, unsafe",
                ),
                (
                    "zero-padded",
                    "{hosts: [proxy.corp], addresses: ['010.020.0.5'], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "warning, unsafe",
                ),
                (
                    "a slash with DNS",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5/32], resolution: DNS, ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "warning, unsafe",
                ),
                (
                    "a range with DNS",
                    "{hosts: [proxy.corp], addresses: [10.20.0.0/24], resolution: DNS, ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "warning",
                ),
                (
                    "a bare IP with DNS",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], resolution: DNS, ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "",
                ),
                (
                    "a slash with NONE",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5/32], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "",
                ),
                (
                    "nobody's proxy",
                    "{hosts: [api.test], addresses: [api.test], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "",
                ),
            ],
        );
    }
}
