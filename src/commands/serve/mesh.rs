//! The mesh of the cluster: which of its objects are followed, and what it is set to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::discovery::mesh::{self, KnownMesh, MeshKind};
use crate::discovery::mesh_config::{self, ReadConfig};
use crate::discovery::watch::News;
use crate::mesh::MeshConfig;
use crate::mesh::simulation::ROOT_NAMESPACE;

use super::cluster::Cluster;
use super::policies::Policies;

/// Keeps the view of the mesh as the cluster has it. What is returned is done once that is whole.
pub(super) fn follow(cluster: &mut Cluster, policies: &Arc<Policies>) -> oneshot::Receiver<()> {
    let configured = Arc::clone(policies);
    cluster.follow(
        mesh_config::followed(cluster.client()),
        |object| Ok(Some(mesh_config::read(&object))),
        move |news| configured.mesh_configured(news),
    );

    let (whole, first_view) = oneshot::channel();
    let whole = std::sync::Mutex::new(Some(whole));
    let policies = Arc::clone(policies);
    let telling = mesh::keep_view(move |known: KnownMesh| {
        let is_whole = known.is_whole;
        policies.mesh_changed(known);
        let whole = whole.lock().ok().filter(|_| is_whole);
        if let Some(whole) = whole.and_then(|mut whole| whole.take()) {
            // Nobody has to wait for it.
            let _ = whole.send(());
        }
    });
    for kind in MeshKind::ALL {
        let telling = telling.clone();
        let followed = kind.followed(cluster.client());
        cluster.follow(
            followed,
            move |object| Ok(kind.read(object)),
            // Where nobody keeps the view any more, the log has said so.
            move |news| drop(telling.send((kind, news))),
        );
    }
    first_view
}

/// The mesh configurations of the cluster, by namespace, each as it was last good.
#[derive(Debug, Default)]
pub(super) struct MeshConfigs(BTreeMap<Box<str>, MeshConfig>);

impl MeshConfigs {
    /// That of the mesh whose root namespace the policies name, or else the usual one.
    pub(super) fn of(&self, root: Option<&str>) -> Option<&MeshConfig> {
        self.0.get(root.unwrap_or(ROOT_NAMESPACE))
    }

    pub(super) fn take(&mut self, news: News<ReadConfig>) {
        match news {
            News::Listed(configs) => {
                let names = configs.iter().map(|(name, _)| &*name.namespace);
                let listed: BTreeSet<&str> = names.collect();
                self.0.retain(|namespace, _| listed.contains(&**namespace));
                configs.into_iter().for_each(|config| self.put(config));
            }
            News::Applied(config) => self.put(config),
            News::Deleted(name) => drop(self.0.remove(&name.namespace)),
            News::NotInstalled => self.0.clear(),
            News::Unanswered | News::LeftOut(_) => {}
        }
    }

    fn put(&mut self, (name, config): ReadConfig) {
        match config {
            Ok(config) => drop(self.0.insert(name.namespace, config)),
            Err(error) => tracing::error!(
                object = format!("{}/{}", name.namespace, name.name),
                error,
                "the mesh configuration cannot be read; what was read of it last stays in force"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MeshConfig, MeshConfigs, News, ReadConfig};
    use crate::discovery::watch::NamespacedName;

    fn config(namespace: &str, root: Result<&str, &str>) -> ReadConfig {
        let name = NamespacedName {
            namespace: namespace.into(),
            name: "istio".into(),
        };
        let config = root.map(|root| MeshConfig {
            root_namespace: Some(root.into()),
            ..MeshConfig::default()
        });
        (name, config.map_err(ToOwned::to_owned))
    }

    #[test]
    fn the_root_namespaces_is_in_force_as_it_was_last_good() {
        let mut configs = MeshConfigs::default();
        let both = vec![config("istio-system", Ok("a")), config("mesh", Ok("b"))];
        for (news, root, expected) in [
            (News::Listed(both), None, Some("a")),
            (
                News::Applied(config("mesh", Ok("c"))),
                Some("mesh"),
                Some("c"),
            ),
            (
                News::Applied(config("mesh", Err("no"))),
                Some("mesh"),
                Some("c"),
            ),
            (News::Unanswered, Some("other"), None),
            (
                News::Listed(vec![config("istio-system", Err("no"))]),
                None,
                Some("a"),
            ),
            (News::Unanswered, Some("mesh"), None),
            (News::Deleted(config("istio-system", Err("")).0), None, None),
            (
                News::Applied(config("istio-system", Ok("d"))),
                None,
                Some("d"),
            ),
            (News::NotInstalled, None, None),
        ] {
            let step = format!("{news:?}");
            configs.take(news);
            let found = configs
                .of(root)
                .and_then(|own| own.root_namespace.as_deref());
            assert_eq!(found, expected, "{step}");
        }
    }
}
