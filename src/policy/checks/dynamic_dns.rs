//! TG009: DYNAMIC_DNS cannot be TCP.
//!
//! **What it does.** Reports an entry with resolution DYNAMIC_DNS (Istio 1.28 and newer) that
//! claims a proxy.
//!
//! **Why.** It forwards by what HTTP or TLS names, which an opaque CONNECT does not. HTTP there
//! answers `404`; TCP has no cluster, so every connection is closed, and istiod rejects it.
//!
//! **Fix.** None: the entry needs another resolution and addresses.

use crate::mesh::FieldPath;
use crate::mesh::service_entry::Resolution;
use crate::policy::check::{Check, CheckId};
use crate::policy::finding::{Brief, Finding};
use crate::policy::spec::Mode;
use crate::policy::subject::Subject;
use crate::policy::words::{BRIEF_LIST_CHARACTERS, LIST_CHARACTERS, Words, addresses_field};

/// See the module.
pub(super) static CHECK: Check = Check {
    id: CheckId(9),
    title: "DYNAMIC_DNS cannot be TCP",
    ceiling: Mode::Enforce,
    page: include_str!("../../../docs/checks/TG009.md"),
    run,
};

fn run(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    if subject.entry.resolution != Resolution::DynamicDns {
        return;
    }
    let edit = |longest| {
        let addresses = addresses_field(subject.known_addresses(), longest);
        format!("Set resolution: NONE, protocol: TCP and {addresses}")
    };
    for claim in &subject.claims {
        let words = Words {
            what: "DYNAMIC_DNS forwards to whatever host HTTP or TLS names, and cannot forward a CONNECT through {proxy}".to_owned(),
            edit: edit(LIST_CHARACTERS),
            brief: Brief::new(
                "DYNAMIC_DNS",
                "no CONNECT to {proxy} can be forwarded",
                &edit(BRIEF_LIST_CHARACTERS),
            ),
        };
        let path = FieldPath::spec().key("resolution");
        findings.push(subject.finding(&CHECK, claim, path, words));
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
                    "TCP is closed",
                    "{hosts: ['*.proxy.corp'], resolution: DYNAMIC_DNS, ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "error",
                ),
                (
                    "HTTP is 404",
                    "{hosts: ['*.proxy.corp'], resolution: DYNAMIC_DNS, ports: [{number: 3128, name: p, protocol: HTTP}]}",
                    "error",
                ),
                (
                    "NONE",
                    "{hosts: ['*.proxy.corp'], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "",
                ),
                (
                    "nobody's proxy",
                    "{hosts: ['*.api.test'], resolution: DYNAMIC_DNS, ports: [{number: 3128, name: p, protocol: HTTP}]}",
                    "",
                ),
            ],
        );
    }
}
