//! Istio's mesh configuration, as the cluster has it: a ConfigMap of the root namespace for each control plane,
//! with YAML in it.

use kube::Client;
use kube::api::DynamicObject;

use crate::mesh::MeshConfig;

use super::watch::{Kind, NamespacedName, everything};

/// What the ConfigMap of the default revision is called; those of others are called `istio-REVISION`.
const NAME: &str = "istio";

/// The label with which Istio's chart says whose it is.
const REVISION: &str = "istio.io/rev";

/// Its key that holds the configuration.
const KEY: &str = "mesh";

/// A ConfigMap of that name, read; in namespaces other than the root one it means nothing.
pub type ReadConfig = (NamespacedName, Result<MeshConfig, String>);

/// Whose ConfigMaps are followed, in every namespace: which one is the root's is for the policies to say, and
/// those may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlPlane {
    /// That of the default revision, labelled or not.
    Unrevisioned,
    /// Those of other revisions: an upgrade has two side by side, some installations no default one.
    Revisioned,
}

impl ControlPlane {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Unrevisioned, Self::Revisioned];

    /// In words, in the plural.
    pub fn called(self) -> &'static str {
        match self {
            Self::Unrevisioned => "mesh configurations",
            Self::Revisioned => "mesh configurations of revisions",
        }
    }

    /// What is followed.
    pub fn followed(self, client: &Client) -> Kind<DynamicObject> {
        let all = everything();
        Kind {
            called: self.called(),
            selection: match self {
                Self::Unrevisioned => all.fields(&format!("metadata.name={NAME}")),
                Self::Revisioned => all.labels(REVISION),
            },
            ..Kind::of_any_form(client, "ConfigMaps", "", &["v1"], "ConfigMap")
        }
    }

    /// Whether one of that name is told here.
    pub fn has(self, name: &NamespacedName) -> bool {
        (&*name.name == NAME) == (self == Self::Unrevisioned)
    }

    /// Reads one; nothing where it is none. That of the sidecar injector has the label, too.
    pub fn read(self, object: &DynamicObject) -> Option<ReadConfig> {
        let name = NamespacedName::of(&object.metadata);
        if self == Self::Revisioned {
            let revision = object.metadata.labels.as_ref()?.get(REVISION)?;
            let own = name.name.strip_prefix(NAME)?.strip_prefix('-')?;
            (own == revision).then_some(())?;
        }
        Some((name, read(object)))
    }
}

fn read(object: &DynamicObject) -> Result<MeshConfig, String> {
    let text = object.data["data"][KEY].as_str();
    let text = text.ok_or_else(|| format!("data.{KEY} is not set"))?;
    let value = serde_saphyr::from_str(text).map_err(|error| format!("data.{KEY}: {error}"))?;
    MeshConfig::read(&value).map_err(|error| format!("data.{KEY}: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::ControlPlane::{self, Revisioned, Unrevisioned};

    #[test]
    fn a_config_map_says_what_the_mesh_is_set_to() {
        for (data, expected) in [
            (
                json!({"mesh": "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"}),
                "Some(RegistryOnly)",
            ),
            (json!({"mesh": "{}"}), "Some(AllowAny)"),
            (json!({"other": "{}"}), "data.mesh is not set"),
            (json!({"mesh": "- a\n- b"}), "data.mesh: expected a mapping"),
            (json!({"mesh": "a: ["}), "data.mesh: "),
            (json!(null), "data.mesh is not set"),
        ] {
            let object =
                json!({"metadata": {"name": "istio", "namespace": "istio-system"}, "data": data});
            let object = serde_json::from_value(object).expect("an object");
            let (name, config) = Unrevisioned.read(&object).expect("it is one");
            let found =
                config.map_or_else(|error| error, |config| format!("{:?}", config.outbound));
            assert!(found.starts_with(expected), "{data}: {found}");
            assert_eq!(&*name.namespace, "istio-system");
        }
    }

    #[test]
    fn that_of_a_revision_has_its_name() {
        for (control_plane, name, revision, is_one) in [
            (Unrevisioned, "istio", Some("default"), true),
            (Unrevisioned, "istio", None, true),
            (Revisioned, "istio", Some("default"), false),
            (Revisioned, "istio-1-30", Some("1-30"), true),
            (Revisioned, "istio-1-30", Some("1-31"), false),
            (Revisioned, "istio-1-30", None, false),
            (Revisioned, "istio-sidecar-injector", Some("default"), false),
            (
                Revisioned,
                "istio-sidecar-injector-1-30",
                Some("1-30"),
                false,
            ),
        ] {
            let object = json!({
                "metadata": {"name": name, "labels": {"istio.io/rev": revision}},
                "data": {"mesh": "{}"},
            });
            let mut object = object;
            if revision.is_none() {
                object["metadata"]["labels"] = json!(null);
            }
            let object = serde_json::from_value(object).expect("an object");
            let read = ControlPlane::read(control_plane, &object);
            assert_eq!(
                read.is_some(),
                is_one,
                "{control_plane:?} {name} {revision:?}"
            );
            if let Some((name, _)) = read {
                let has = ControlPlane::ALL.map(|own| (own, own.has(&name)));
                assert_eq!(
                    has,
                    ControlPlane::ALL.map(|own| (own, own == control_plane))
                );
            }
        }
    }
}
