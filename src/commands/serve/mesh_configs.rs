//! What the mesh is set to, as its control planes say.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use crate::discovery::mesh_config::{ControlPlane, ReadConfig};
use crate::discovery::watch::{NamespacedName, News};
use crate::mesh::MeshConfig;
use crate::mesh::simulation::ROOT_NAMESPACE;

/// The mesh configurations of the cluster.
#[derive(Debug, Default)]
pub(super) struct MeshConfigs {
    /// Each as it was last good.
    configs: BTreeMap<NamespacedName, MeshConfig>,
    /// Those that cannot be read as they are now.
    unreadable: BTreeSet<NamespacedName>,
    /// Those that were last said to differ.
    differing: String,
}

impl MeshConfigs {
    /// What holds in the mesh whose root namespace the policies name, or else the usual one. Which of several
    /// control planes a workload is of, labels of namespaces and Pods decide, and tags: so only what all of them
    /// say is known. DNS may be captured where one of them says so.
    pub(super) fn of(&self, root: Option<&str>) -> Option<MeshConfig> {
        let mut configs = self.in_namespace(root).map(|(_, config)| config);
        let mut known = configs.next()?.clone();
        for other in configs {
            known.outbound = known.outbound.filter(|own| Some(*own) == other.outbound);
            known.captures_dns |= other.captures_dns;
        }
        Some(known)
    }

    fn in_namespace(
        &self,
        root: Option<&str>,
    ) -> impl Iterator<Item = (&NamespacedName, &MeshConfig)> {
        let root = root.unwrap_or(ROOT_NAMESPACE);
        let configs = self.configs.iter();
        configs.filter(move |(name, _)| *name.namespace == *root)
    }

    /// Says so in the log, once, where control planes have different outbound policies.
    pub(super) fn tell_difference(&mut self, root: Option<&str>) {
        let is_known = self.of(root).is_none_or(|known| known.outbound.is_some());
        let differing = match is_known {
            true => String::new(),
            false => self.outbound_policies(root),
        };
        let before = mem::replace(&mut self.differing, differing);
        if before != self.differing && !self.differing.is_empty() {
            tracing::warn!(
                differing = self.differing,
                "control planes differ in outboundTrafficPolicy, and which of them a workload is of is not known; what the policies say under mesh.outboundTrafficPolicy counts"
            );
        }
    }

    /// `istio ALLOW_ANY, istio-canary REGISTRY_ONLY`.
    fn outbound_policies(&self, root: Option<&str>) -> String {
        let told = self.in_namespace(root).filter_map(|(name, config)| {
            let outbound = config.outbound?;
            Some(format!("{} {outbound}", name.name))
        });
        told.collect::<Vec<_>>().join(", ")
    }

    /// How many of them cannot be read.
    pub(super) fn unreadable(&self, control_plane: ControlPlane) -> usize {
        let unreadable = self.unreadable.iter();
        unreadable.filter(|name| control_plane.has(name)).count()
    }

    pub(super) fn take(&mut self, control_plane: ControlPlane, news: News<ReadConfig>) {
        match news {
            News::Listed(configs) => {
                let listed = configs.iter().map(|(name, _)| name.clone());
                let listed: BTreeSet<NamespacedName> = listed.collect();
                self.retain(|name| !control_plane.has(name) || listed.contains(name));
                configs.into_iter().for_each(|config| self.put(config));
            }
            News::Applied(config) => self.put(config),
            // One that was no such ConfigMap may be told by the other control plane.
            News::Deleted(gone) => self.retain(|name| !control_plane.has(name) || *name != gone),
            News::NotInstalled => self.retain(|name| !control_plane.has(name)),
            News::Unanswered | News::LeftOut(_) => {}
        }
    }

    fn retain(&mut self, keep: impl Fn(&NamespacedName) -> bool) {
        self.configs.retain(|name, _| keep(name));
        self.unreadable.retain(keep);
    }

    fn put(&mut self, (name, config): ReadConfig) {
        match config {
            Ok(config) => {
                self.unreadable.remove(&name);
                self.configs.insert(name, config);
            }
            Err(error) => {
                tracing::error!(
                    object = format!("{}/{}", name.namespace, name.name),
                    error,
                    "the mesh configuration cannot be read; what was read of it last stays in force"
                );
                self.unreadable.insert(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ControlPlane::{self, Revisioned, Unrevisioned};
    use super::{MeshConfig, MeshConfigs, News, ReadConfig};
    use crate::discovery::watch::NamespacedName;

    fn named(name: &str) -> NamespacedName {
        let (namespace, name) = name.split_once('/').expect("a namespace");
        NamespacedName {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// `istio-system/istio REGISTRY_ONLY dns`; `bad` for one that cannot be read.
    fn config(told: &str) -> ReadConfig {
        let (name, settings) = told.split_once(' ').expect("settings");
        let (outbound, capture) = settings.split_once(' ').unwrap_or((settings, ""));
        let config = match outbound {
            "bad" => Err("bad".to_owned()),
            outbound => Ok(MeshConfig {
                outbound: Some(outbound.parse().expect("an outbound policy")),
                root_namespace: None,
                captures_dns: capture == "dns",
            }),
        };
        (named(name), config)
    }

    fn told(config: Option<MeshConfig>) -> String {
        config.map_or_else(String::new, |config| {
            let outbound = config.outbound.map(|outbound| outbound.to_string());
            let outbound = outbound.unwrap_or_else(|| "differ".to_owned());
            outbound + if config.captures_dns { " dns" } else { "" }
        })
    }

    fn listed(all: &[&str]) -> News<ReadConfig> {
        News::Listed(all.iter().map(|told| config(told)).collect())
    }

    /// What comes, the root namespace, what is in force then, and how many of each cannot be read.
    #[test]
    fn what_all_control_planes_of_the_root_namespace_say_is_in_force_as_it_was_last_good() {
        let now = |told: &str| News::Applied(config(told));
        let gone = |name: &str| News::Deleted(named(name));
        let mesh = Some("mesh");
        let rows = [
            (
                Unrevisioned,
                listed(&["istio-system/istio ALLOW_ANY", "mesh/istio REGISTRY_ONLY"]),
                None,
                "ALLOW_ANY",
                [0, 0],
            ),
            (
                Unrevisioned,
                News::Unanswered,
                mesh,
                "REGISTRY_ONLY",
                [0, 0],
            ),
            (
                Unrevisioned,
                now("mesh/istio ALLOW_ANY dns"),
                mesh,
                "ALLOW_ANY dns",
                [0, 0],
            ),
            (
                Unrevisioned,
                now("mesh/istio bad"),
                mesh,
                "ALLOW_ANY dns",
                [1, 0],
            ),
            (Unrevisioned, News::Unanswered, Some("other"), "", [1, 0]),
            (
                Unrevisioned,
                listed(&["istio-system/istio bad"]),
                None,
                "ALLOW_ANY",
                [1, 0],
            ),
            (Unrevisioned, News::Unanswered, mesh, "", [1, 0]),
            (
                Revisioned,
                listed(&["mesh/istio-1 REGISTRY_ONLY"]),
                mesh,
                "REGISTRY_ONLY",
                [1, 0],
            ),
            (Revisioned, News::Unanswered, None, "ALLOW_ANY", [1, 0]),
            (Unrevisioned, gone("istio-system/istio"), None, "", [0, 0]),
            (
                Revisioned,
                now("mesh/istio-2 REGISTRY_ONLY dns"),
                mesh,
                "REGISTRY_ONLY dns",
                [0, 0],
            ),
            (
                Revisioned,
                now("mesh/istio-2 ALLOW_ANY dns"),
                mesh,
                "differ dns",
                [0, 0],
            ),
            (
                Revisioned,
                now("mesh/istio-2 bad"),
                mesh,
                "differ dns",
                [0, 1],
            ),
            (
                Revisioned,
                gone("mesh/istio-2"),
                mesh,
                "REGISTRY_ONLY",
                [0, 0],
            ),
            (
                Unrevisioned,
                now("mesh/istio ALLOW_ANY"),
                mesh,
                "differ",
                [0, 0],
            ),
            // It has the label of revisions, and is none.
            (Revisioned, gone("mesh/istio"), mesh, "differ", [0, 0]),
            (Revisioned, News::NotInstalled, mesh, "ALLOW_ANY", [0, 0]),
            (Unrevisioned, News::NotInstalled, mesh, "", [0, 0]),
        ];
        let mut configs = MeshConfigs::default();
        for (row, (control_plane, news, root, expected, unreadable)) in rows.into_iter().enumerate()
        {
            configs.take(control_plane, news);
            assert_eq!(told(configs.of(root)), expected, "row {row}");
            let found = ControlPlane::ALL.map(|control_plane| configs.unreadable(control_plane));
            assert_eq!(found, unreadable, "row {row}");
        }
    }
}
