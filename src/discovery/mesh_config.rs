//! Istio's mesh configuration, as the cluster has it: a ConfigMap of the root namespace, with YAML in it.

use kube::Client;
use kube::api::DynamicObject;

use crate::mesh::MeshConfig;

use super::watch::{Kind, NamespacedName};

/// What the ConfigMap is called; that of another revision of istiod is called `istio-REVISION`.
const NAME: &str = "istio";

/// Its key that holds the configuration.
const KEY: &str = "mesh";

/// A ConfigMap of that name, read; in namespaces other than the root one it means nothing.
pub type ReadConfig = (NamespacedName, Result<MeshConfig, String>);

/// What is followed: the ConfigMap in every namespace, since which one is the root's is for the policies to
/// say, and those may change.
pub fn followed(client: &Client) -> Kind<DynamicObject> {
    let mut kind = Kind::of_any_form(client, "ConfigMaps", "", &["v1"], "ConfigMap");
    kind.called = "mesh configurations";
    kind.name = Some(NAME);
    kind
}

/// Reads one.
pub fn read(object: &DynamicObject) -> ReadConfig {
    let text = object.data["data"][KEY].as_str();
    let config = text.ok_or_else(|| format!("data.{KEY} is not set"));
    let config = config.and_then(|text| {
        serde_saphyr::from_str(text).map_err(|error| format!("data.{KEY}: {error}"))
    });
    let config = config
        .and_then(|value| MeshConfig::read(&value).map_err(|error| format!("data.{KEY}: {error}")));
    (NamespacedName::of(&object.metadata), config)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::read;

    #[test]
    fn a_config_map_says_what_the_mesh_is_set_to() {
        for (data, expected) in [
            (
                json!({"mesh": "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"}),
                "REGISTRY_ONLY",
            ),
            (json!({"mesh": "{}"}), "ALLOW_ANY"),
            (json!({"other": "{}"}), "data.mesh is not set"),
            (json!({"mesh": "- a\n- b"}), "data.mesh: expected a mapping"),
            (json!({"mesh": "a: ["}), "data.mesh: "),
            (json!(null), "data.mesh is not set"),
        ] {
            let object =
                json!({"metadata": {"name": "istio", "namespace": "istio-system"}, "data": data});
            let object = serde_json::from_value(object).expect("an object");
            let (name, config) = read(&object);
            let found = config.map_or_else(|error| error, |config| config.outbound.to_string());
            assert!(found.starts_with(expected), "{data}: {found}");
            assert_eq!(&*name.namespace, "istio-system");
        }
    }
}
