//! TG006: an address range wider than the policy allows.
//!
//! **What it does.** Reports a range in `addresses` of an entry that claims a proxy, where its
//! prefix is shorter than the policy's `ranges`; and an IPv6 address that ends in `/32`.
//!
//! **Why.** A range pins every destination inside it, on the port, to this entry. `/32` is a
//! single host in IPv4; in IPv6 it is 2^96 hosts, and is nearly always a slip of the pen.
//!
//! **Fix.** None: only the author knows which hosts are meant.

use ipnet::IpNet;

use crate::mesh::FieldPath;
use crate::mesh::address::Address;
use crate::policy::check::{Check, CheckId};
use crate::policy::finding::{Brief, Finding};
use crate::policy::spec::Mode;
use crate::policy::subject::Subject;
use crate::policy::words::{
    BRIEF_LIST_CHARACTERS, LIST_CHARACTERS, Words, capitalised, ip_list, with_forwarding,
};

/// See the module.
pub(super) static CHECK: Check = Check {
    id: CheckId(6),
    title: "an address range wider than the policy allows",
    ceiling: Mode::Enforce,
    page: include_str!("../../../docs/checks/TG006.md"),
    run,
};

fn run(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let ranges = subject.context.policies.ranges();
    for (index, written) in subject.entry.addresses.iter().enumerate() {
        let Address::Range(net) = written.address else {
            continue;
        };
        let shortest = if net.addr().is_ipv4() {
            ranges.ipv4
        } else {
            ranges.ipv6
        };
        // The whole address space is no range but "no address": TG005.
        if net.prefix_len() >= shortest || net.prefix_len() == 0 {
            continue;
        }
        for claim in &subject.claims {
            let path = FieldPath::spec().key("addresses").index(index);
            let hijacks = claim.port.protocol.is_tcp() && subject.hijacks(claim);
            let words = words(subject, &written.text, net, shortest, hijacks);
            let mut finding = subject.finding(&CHECK, claim, path, words);
            if hijacks {
                finding = claim.as_error(finding);
            }
            findings.push(finding);
        }
    }
}

fn words(subject: &Subject<'_>, text: &str, net: IpNet, shortest: u8, hijacks: bool) -> Words {
    let slip = net.addr().is_ipv6() && net.prefix_len() == 32;
    let bare = text.trim_end_matches("/32");
    let (edit, brief_edit) = match (slip, subject.known_addresses()) {
        (true, _) => (
            format!("Write {bare} or its /128: /32 is a single host in IPv4 only"),
            format!("write {bare}/128"),
        ),
        (false, []) => (
            "List the proxy's own IPs".to_owned(),
            "list the proxy's own IPs".to_owned(),
        ),
        (false, known) => {
            let list = |longest| {
                let edit = format!("list the proxy's own IPs: {}", ip_list(known, longest));
                with_forwarding(edit, subject.entry, known.len())
            };
            (
                capitalised(&list(LIST_CHARACTERS)),
                list(BRIEF_LIST_CHARACTERS),
            )
        }
    };
    let (deed, fate) = match hijacks {
        true => (
            format!("{text} sends every address of the range to {{proxy}}"),
            "every IP in it is sent to {proxy}",
        ),
        false => (
            format!("{text} takes every address of the range for {{proxy}}"),
            "every IP in it is taken for {proxy}",
        ),
    };
    Words {
        what: format!("{deed}, and the policies allow /{shortest} at the widest"),
        edit,
        brief: Brief::new(text, fate, &brief_edit),
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
                    "a range",
                    "{hosts: [proxy.corp], addresses: [10.20.0.0/24], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "warning",
                ),
                (
                    "IPv6 /32",
                    "{hosts: [proxy.corp], addresses: ['2001:db8::7/32'], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "warning",
                ),
                (
                    "STATIC forwards the range to its endpoints",
                    "{hosts: [proxy.corp], addresses: [10.20.0.0/24], resolution: STATIC, endpoints: [{address: 10.20.0.5}], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "error",
                ),
                (
                    "beside HTTP",
                    "{hosts: [proxy.corp], addresses: [10.20.0.0/24], ports: [{number: 3128, name: p, protocol: HTTP}]}",
                    "error",
                ),
                (
                    "IPv4 /32",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5/32], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "",
                ),
                (
                    "IPv6 /128",
                    "{hosts: [proxy.corp], addresses: ['2001:db8::7/128'], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "",
                ),
                (
                    "nobody's proxy",
                    "{hosts: [api.test], addresses: [10.20.0.0/24], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "",
                ),
            ],
        );
    }
}
