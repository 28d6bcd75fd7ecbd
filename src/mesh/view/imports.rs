//! Sidecars by what they show, so that those that show an entry are found without a look at the others.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::iter;
use std::sync::Arc;

use crate::mesh::service_entry::ServiceEntry;
use crate::mesh::sidecar::{Egress, Sidecar};

use super::others::NamespacedName;

/// How many patterns that cover an entry's hosts are looked up: a host of dots has hundreds.
const PATTERNS: usize = 256;

/// How many Sidecars are found of an entry, and how often one is come upon on the way: it may show many of the hosts.
const FOUND: usize = 256;
const MET: usize = 4 * FOUND;

/// How many of those whose egress is written alike: what one namespace has beside its Sidecar, such as a TCP
/// entry of its own, may spare it what befalls the others.
const ALIKE: usize = 4;

/// A hash of their egress → namespace and name, which the hosts of a Sidecar share. Most Sidecars of a mesh come
/// from a few templates. Two egresses of one hash would count as alike: some of theirs might not be found.
type ByEgress = BTreeMap<u64, BTreeSet<Arc<NamespacedName>>>;

/// Namespace, or `*` → host, or a wildcard → the Sidecars that show it on every port.
#[derive(Clone, Debug, Default)]
pub(super) struct Imports(BTreeMap<Box<str>, BTreeMap<Box<str>, ByEgress>>);

impl Imports {
    pub(super) const NONE: Self = Self(BTreeMap::new());

    pub(super) fn link(&mut self, sidecar: &Sidecar) {
        let egress = hash_of(&sidecar.egress);
        let key = Arc::new((sidecar.namespace.clone(), sidecar.name.clone()));
        for (namespace, host) in shown_by(sidecar) {
            let hosts = self.0.entry(namespace.into()).or_default();
            let by_egress = hosts.entry(host.into()).or_default();
            let alike = by_egress.entry(egress).or_default();
            alike.insert(key.clone());
        }
    }

    pub(super) fn unlink(&mut self, sidecar: &Sidecar) {
        let egress = hash_of(&sidecar.egress);
        let key = (sidecar.namespace.clone(), sidecar.name.clone());
        for (namespace, host) in shown_by(sidecar) {
            let Some(hosts) = self.0.get_mut(namespace) else {
                continue;
            };
            if let Some(by_egress) = hosts.get_mut(host) {
                if let Some(alike) = by_egress.get_mut(&egress) {
                    alike.remove(&key);
                    if alike.is_empty() {
                        by_egress.remove(&egress);
                    }
                }
                if by_egress.is_empty() {
                    hosts.remove(host);
                }
            }
            if hosts.is_empty() {
                self.0.remove(namespace);
            }
        }
    }

    /// The first of those that show a host of an entry, those of the narrowest pattern first, and whether there
    /// are no others but such as are written alike.
    pub(super) fn showing(&self, entry: &ServiceEntry) -> (BTreeSet<&NamespacedName>, bool) {
        let mut found = BTreeSet::new();
        let namespaces = [&*entry.namespace, "*"];
        let namespaces: Vec<_> = namespaces
            .iter()
            .filter_map(|own| self.0.get(*own))
            .collect();
        if namespaces.is_empty() {
            return (found, true);
        }
        let mut seen = BTreeSet::new();
        let patterns = entry.hosts.iter().flat_map(|host| patterns(host));
        let patterns = patterns.filter(|pattern| seen.insert(pattern.clone()));
        let by_egress = patterns.take(PATTERNS).flat_map(|pattern| {
            let known = namespaces.iter();
            known.filter_map(move |hosts| hosts.get(&*pattern))
        });
        let alike = by_egress.flat_map(BTreeMap::values);
        let met = alike.flat_map(|alike| alike.iter().take(ALIKE));
        for (met, name) in met.enumerate() {
            if met == MET || found.len() == FOUND {
                return (found, false);
            }
            found.insert(&**name);
        }
        (found, true)
    }
}

/// Computed once for all hosts of a Sidecar: the same in every process, so that the same are found.
fn hash_of(egress: &[Egress]) -> u64 {
    let mut hasher = DefaultHasher::new();
    egress.hash(&mut hasher);
    hasher.finish()
}

/// What a Sidecar shows on every port, each namespace as it is called; nothing where it shows everything, since
/// then it hides nothing.
fn shown_by(sidecar: &Sidecar) -> impl Iterator<Item = (&str, &str)> {
    let of_every_port = || sidecar.egress.iter().filter(|egress| egress.port.is_none());
    let narrows = !of_every_port().any(Egress::shows_everything);
    let shown = of_every_port()
        .filter(move |_| narrows)
        .flat_map(Egress::shown);
    shown.map(|(namespace, host)| match namespace {
        "." => (&*sidecar.namespace, host),
        written => (written, host),
    })
}

/// The host itself, and the wildcards that cover it, the narrowest first.
fn patterns(host: &str) -> impl Iterator<Item = Box<str>> {
    let covered = host.strip_prefix('*').unwrap_or(host);
    let wildcards = covered
        .match_indices('.')
        .map(|(dot, _)| format!("*{}", &covered[dot..]).into());
    iter::once(host.into())
        .chain(wildcards)
        .chain(iter::once("*".into()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{ALIKE, FOUND, Imports, MET, Sidecar};

    fn sidecar(namespace: &str, egress: &Value) -> Sidecar {
        let metadata = json!({"namespace": namespace, "name": "default"});
        Sidecar::read(&json!({"metadata": metadata, "spec": {"egress": egress}})).unwrap()
    }

    fn showing(imports: &Imports, hosts: &[&str]) -> (Vec<String>, bool) {
        let metadata = json!({"namespace": "prod", "name": "x"});
        let entry = json!({"metadata": metadata, "spec": {"hosts": hosts}});
        let entry = serde_json::from_value(entry).unwrap();
        let (found, are_all) = imports.showing(&entry);
        let namespaces = found.iter().map(|(namespace, _)| namespace.to_string());
        (namespaces.collect(), are_all)
    }

    #[test]
    fn those_that_show_an_entry_are_found_and_nothing_stays_behind() {
        let port = json!({"number": 3128, "protocol": "TCP"});
        let all = [
            ("a", json!([{"hosts": ["prod/api.test"]}])),
            ("b", json!([{"hosts": ["*/*.test", "./*"]}])),
            ("c", json!([{"hosts": ["prod/*"]}])),
            ("d", json!([{"hosts": ["other/*"]}])),
            ("prod", json!([{"hosts": ["./*"]}])),
            // They hide nothing.
            ("e", json!([{"hosts": ["*/*"]}])),
            ("f", json!([])),
            ("g", json!([{"port": port, "hosts": ["prod/*"]}])),
            (
                "h",
                json!([{"port": port, "hosts": ["prod/*"]}, {"hosts": ["other/*"]}]),
            ),
            ("i", json!([{"hosts": ["*/*", "~other/*"]}])),
        ];
        let all = all.map(|(namespace, egress)| sidecar(namespace, &egress));
        let mut imports = Imports::default();
        for sidecar in &all {
            imports.link(sidecar);
        }
        for (host, expected) in [
            ("api.test", "a b c i prod"),
            ("*.test", "b c i prod"),
            ("api.example", "c i prod"),
        ] {
            let (found, are_all) = showing(&imports, &[host]);
            assert_eq!(found.join(" "), expected, "{host}");
            assert!(are_all, "{host}");
        }
        for sidecar in &all {
            imports.unlink(sidecar);
        }
        assert!(imports.0.is_empty(), "{imports:?}");
    }

    #[test]
    fn many_alike_leave_room_for_others() {
        let mut imports = Imports::default();
        for index in 0..100 {
            imports.link(&sidecar(
                &format!("a-{index:03}"),
                &json!([{"hosts": ["prod/*"]}]),
            ));
        }
        imports.link(&sidecar("b", &json!([{"hosts": ["prod/*", "b/*"]}])));
        let (found, are_all) = showing(&imports, &["api.test"]);
        assert_eq!((found.len(), are_all), (ALIKE + 1, true), "{found:?}");
        assert!(found.contains(&"b".to_owned()), "{found:?}");
        for index in 0..300 {
            let own = format!("own-{index}/*");
            imports.link(&sidecar(
                &format!("c-{index}"),
                &json!([{"hosts": ["prod/*", own]}]),
            ));
        }
        let (found, are_all) = showing(&imports, &["api.test"]);
        assert_eq!((found.len(), are_all), (FOUND, false));
    }

    #[test]
    fn one_that_shows_many_hosts_is_come_upon_often() {
        let hosts = ["a.test", "b.test", "c.test", "d.test", "e.test"];
        let shown = hosts.map(|host| format!("prod/{host}"));
        let most = MET / hosts.len();
        for (sidecars, expected) in [(most, true), (most + 1, false)] {
            let mut imports = Imports::default();
            for index in 0..sidecars {
                let own = [format!("own-{index}/*")];
                let shown: Vec<_> = shown.iter().chain(&own).collect();
                imports.link(&sidecar(&format!("c-{index}"), &json!([{"hosts": shown}])));
            }
            let (found, are_all) = showing(&imports, &hosts);
            assert_eq!((found.len(), are_all), (sidecars, expected));
        }
    }
}
