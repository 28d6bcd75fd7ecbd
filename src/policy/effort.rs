//! How much work one look at an entry may be.
//!
//! A user waits for a review, and whoever may write a ServiceEntry may write one of some megabytes:
//! 256 ports, each the port of a thousand proxies, seen from ten namespaces, at 256 addresses. So
//! what grows with a product of lists is paid for. An entry that cannot pay is judged in part, and
//! said to be: an ordinary one spends about a thousandth.

use std::cell::Cell;

use crate::mesh::ServiceEntry;
use crate::mesh::address::Address;
use crate::mesh::service_entry::Resolution;

/// What there is to spend, in steps of about a nanosecond.
const ALL: u64 = 20_000_000;

/// A host that a Sidecar shows or hides is compared with another: two short strings and a suffix.
const IMPORT: u64 = 10;

/// What is left, and what things cost for the entry at hand.
#[derive(Debug)]
pub(crate) struct Effort {
    left: Cell<Option<u64>>,
    port: u64,
    claim: u64,
    repair: u64,
    dial: u64,
}

impl Effort {
    /// All of it, at the prices of an entry.
    pub(crate) fn new(entry: &ServiceEntry) -> Self {
        Self {
            left: Cell::new(Some(ALL)),
            port: price_of_port(entry),
            claim: price_of_claim(entry),
            repair: price_of_repair(entry),
            dial: price_of_dial(entry),
        }
    }

    /// Pays for finding the proxies that a port claims; false where nothing is left.
    pub(crate) fn for_port(&self) -> bool {
        self.pay(self.port)
    }

    /// Pays for what the checks make of a claim.
    pub(crate) fn for_claim(&self) -> bool {
        self.pay(self.claim)
    }

    /// Pays for working out what stands against the repair of a port.
    pub(crate) fn for_repair(&self) -> bool {
        self.pay(self.repair)
    }

    /// Pays for simulating some dials.
    pub(crate) fn for_dials(&self, count: u64) -> bool {
        self.pay(count.saturating_mul(self.dial))
    }

    /// Whether so many dials would leave at least as much for everything else.
    pub(crate) fn has_room_for_dials(&self, count: u64) -> bool {
        let left = self.left.get().unwrap_or_default();
        count.saturating_mul(self.dial) <= left / 2
    }

    /// Pays for comparing what a Sidecar shows and hides, where that is no more than a sixteenth of what is
    /// left, and neither is a whole look at `look` of them: 40,960 steps for 4,096. So such looks together
    /// leave 655,360 steps for everything else, about 30 times what an ordinary entry spends.
    pub(crate) fn spares_imports(&self, count: usize, look: usize) -> bool {
        let left = self.left.get().unwrap_or_default();
        let most = (count.max(look) as u64).saturating_mul(IMPORT);
        most <= left / 16 && self.pay(count as u64 * IMPORT)
    }

    /// Whether something could not be paid for.
    pub(crate) fn is_spent(&self) -> bool {
        self.left.get().is_none()
    }

    /// Once short, nothing is paid for any more, however small: what is judged is the beginning.
    fn pay(&self, price: u64) -> bool {
        let left = self.left.get().and_then(|left| left.checked_sub(price));
        self.left.set(left);
        left.is_some()
    }
}

/// Hosts, addresses and endpoints are looked up among the proxies' of the port.
fn price_of_port(entry: &ServiceEntry) -> u64 {
    let lists = entry.hosts.len() + entry.addresses.len() + entry.endpoints.len();
    100 + 100 * lists as u64
}

/// A claim has a finding for each address that is no single one, and for each endpoint with ports.
fn price_of_claim(entry: &ServiceEntry) -> u64 {
    let addresses = entry.addresses.iter();
    let odd = addresses.filter(|written| !matches!(written.address, Address::Single(_)));
    let endpoints = entry.endpoints.iter();
    let mapped = endpoints.filter(|endpoint| !endpoint.ports.is_empty());
    let findings = odd.count() + mapped.count();
    10_000 + 5_000 * findings as u64 + 50 * entry.endpoints.len() as u64
}

/// The entry is copied, and validated as it is and as it would be.
fn price_of_repair(entry: &ServiceEntry) -> u64 {
    let lists = entry.hosts.len() + entry.addresses.len() + entry.ports.len();
    let lists = lists + entry.endpoints.len() + entry.export_to.len();
    1_000 + 800 * lists as u64
}

/// Hosts are compared with each other, and with resolution NONE each may listen on endpoints of its
/// own. The factors are those of a measurement with 1 to 256 hosts, addresses and endpoints.
fn price_of_dial(entry: &ServiceEntry) -> u64 {
    let bytes: usize = entry.hosts.iter().map(|host| host.len()).sum();
    let hosts = entry.hosts.len();
    let mut usable = entry.usable_addresses();
    let listening = match entry.resolution {
        Resolution::None if usable.next().is_none() => hosts,
        _ => 1,
    };
    let compared = hosts * (hosts / 2 + bytes / 64);
    let listed = 10 * entry.addresses.len() + 4 * entry.export_to.len();
    let endpoints = listening * (entry.ports.len() + 120 * entry.endpoints.len());
    (400 + 40 * hosts + compared + listed + endpoints) as u64
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use serde_json::{Value, json};

    use super::{ALL, Effort};
    use crate::mesh::simulation::Environment;
    use crate::mesh::{MeshView, ServiceEntry};
    use crate::policy::check::{CheckId, Context};
    use crate::policy::checks;
    use crate::policy::subject::Subject;
    use crate::policy::verdict::{judge, repair};
    use crate::policy::{PolicySet, evaluate};

    /// 300 proxies, each on the same 256 ports.
    fn policies(mode: &str) -> PolicySet {
        let proxies = (0..300).map(|n| {
            json!({
                "name": format!("proxy-{n}"),
                "hosts": [format!("proxy-{n}.corp")],
                "addresses": [format!("10.20.{}.{}", n / 256, n % 256)],
                "ports": (3000..3256).collect::<Vec<u16>>(),
            })
        });
        let document = json!({
            "apiVersion": "tunnelguard.dev/v1alpha1",
            "kind": "ConnectProxyPolicy",
            "metadata": {"name": "corporate"},
            "spec": {"mode": mode, "proxies": proxies.collect::<Vec<Value>>()},
        });
        PolicySet::compile(&[serde_json::from_value(document).unwrap()]).unwrap()
    }

    fn context<'a>(policies: &'a PolicySet, mesh: &'a MeshView) -> Context<'a> {
        Context {
            policies,
            mesh,
            sees_mesh: false,
            namespaces: None,
            environment: Environment::default(),
        }
    }

    /// HTTP on some ports, with the hosts and addresses of some proxies.
    fn entry(ports: usize, proxies: usize) -> ServiceEntry {
        let hosts = (0..proxies).map(|n| format!("proxy-{n}.corp"));
        let addresses = (0..proxies).map(|n| format!("10.20.0.{n}"));
        let ports = (0..ports)
            .map(|n| json!({"number": 3000 + n, "name": format!("p{n}"), "protocol": "HTTP"}));
        let object = json!({"metadata": {"name": "x"}, "spec": {
            "hosts": hosts.collect::<Vec<_>>(),
            "addresses": addresses.collect::<Vec<_>>(),
            "ports": ports.collect::<Vec<_>>(),
        }});
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn an_ordinary_entry_spends_about_a_thousandth() {
        let (policies, mesh, entry) = (policies("Mutate"), MeshView::new(), entry(1, 1));
        // Without the other proxies of the port, which an HTTP port captures.
        let own = policies.proxies.all()[..1].to_vec();
        let policies = PolicySet {
            proxies: crate::policy::proxy::ProxyIndex::new(own),
            ..policies
        };
        let subject = Subject::new(&entry, context(&policies, &mesh));
        let mut findings = Vec::new();
        for check in checks::ALL {
            (check.run)(&subject, &mut findings);
        }
        assert!(findings[0].has_safe_fix(), "{findings:?}");
        let spent = ALL - subject.effort.left.get().unwrap();
        assert!(spent < ALL / 500, "{spent}");
    }

    #[test]
    fn what_multiplies_is_judged_in_part_and_told() {
        let (mesh, today) = (MeshView::new(), date(2026, 1, 1));
        // (mode, ports, proxies, whether it is told, whether the webhook tells it)
        for (mode, ports, proxies, told, warned) in [
            ("Mutate", 1, 1, false, false),
            ("Mutate", 1, 128, false, false),
            ("Mutate", 4, 32, false, false),
            // Seven of its ports have a safe fix.
            ("Mutate", 12, 32, true, true),
            ("Mutate", 256, 256, true, true),
            ("Audit", 256, 256, true, true),
            ("Off", 256, 256, true, false),
        ] {
            let case = format!("{mode} {ports} {proxies}");
            let (policies, entry) = (policies(mode), entry(ports, proxies));
            let context = context(&policies, &mesh);
            let findings = evaluate(&entry, context);
            let in_part = |check: CheckId| check == checks::unreadable::CHECK.id;
            assert_eq!(findings.iter().any(|f| in_part(f.check)), told, "{case}");
            let first = findings
                .iter()
                .any(|f| f.check == CheckId(1) && f.port == Some(3000));
            assert!(first, "{case}: what could be judged is");
            if told {
                let repair = repair(&findings, &entry, &context, today);
                assert!(repair.is_none(), "{case}: it is left alone");
            }
            let verdict = judge(findings, &entry, None, &context, today);
            assert_eq!(
                verdict.warned.iter().any(|f| in_part(f.check)),
                warned,
                "{case}"
            );
        }
    }

    #[test]
    fn once_short_nothing_is_paid_for() {
        let effort = Effort::new(&entry(1, 1));
        assert!(effort.for_dials(1) && !effort.is_spent());
        assert!(!effort.for_dials(ALL));
        assert!(effort.is_spent() && !effort.for_dials(1) && !effort.for_claim());
    }

    #[test]
    fn sidecars_are_looked_at_only_of_what_is_to_spare() {
        let effort = Effort::new(&entry(1, 1));
        while effort.spares_imports(4_096, 4_096) {}
        assert!(effort.left.get().unwrap() >= 600_000 && !effort.spares_imports(1, 4_096));
        assert!(!effort.is_spent() && effort.for_claim());
    }
}
