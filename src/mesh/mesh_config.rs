//! Istio's mesh configuration, as far as a CONNECT notices it (`MeshConfig` in
//! `mesh/v1alpha1/config.proto` of istio/api).

use serde_json::Value;

use super::simulation::OutboundPolicy;

/// What the mesh is set to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeshConfig {
    /// `outboundTrafficPolicy.mode`, which is ALLOW_ANY where it is absent; `None` where control planes differ.
    pub outbound: Option<OutboundPolicy>,
    /// `rootNamespace`.
    pub root_namespace: Option<Box<str>>,
    /// Whether `defaultConfig.proxyMetadata.ISTIO_META_DNS_CAPTURE` is `true`. Where it is not, single
    /// workloads may be set to capture DNS all the same.
    pub captures_dns: bool,
}

impl MeshConfig {
    /// Reads the document.
    ///
    /// # Errors
    /// The field that cannot be read, and why: istiod would not read it either.
    pub fn read(config: &Value) -> Result<Self, String> {
        if !config.is_object() {
            return Err("expected a mapping".to_owned());
        }
        let outbound = match &config["outboundTrafficPolicy"]["mode"] {
            Value::Null => OutboundPolicy::AllowAny,
            mode => {
                let mode = mode.as_str().unwrap_or_default().parse();
                mode.map_err(|error| format!("outboundTrafficPolicy.mode: {error}"))?
            }
        };
        let root = config["rootNamespace"].as_str();
        let capture = &config["defaultConfig"]["proxyMetadata"]["ISTIO_META_DNS_CAPTURE"];
        Ok(Self {
            outbound: Some(outbound),
            root_namespace: root.filter(|root| !root.is_empty()).map(Into::into),
            captures_dns: capture.as_str() == Some("true"),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::MeshConfig;

    #[test]
    fn reads_what_is_set() {
        let capture = |value: &str| json!({"defaultConfig": {"proxyMetadata": {"ISTIO_META_DNS_CAPTURE": value}}});
        for (config, expected) in [
            (json!({}), "ALLOW_ANY - false"),
            (
                json!({"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}}),
                "REGISTRY_ONLY - false",
            ),
            (
                json!({"outboundTrafficPolicy": {}, "rootNamespace": ""}),
                "ALLOW_ANY - false",
            ),
            (json!({"rootNamespace": "mesh"}), "ALLOW_ANY mesh false"),
            (capture("true"), "ALLOW_ANY - true"),
            (capture("false"), "ALLOW_ANY - false"),
        ] {
            let read = MeshConfig::read(&config).expect("it can be read");
            let root = read.root_namespace.as_deref().unwrap_or("-");
            let outbound = read.outbound.expect("it is one mesh's");
            let found = format!("{outbound} {root} {}", read.captures_dns);
            assert_eq!(found, expected, "{config}");
        }
        for (config, expected) in [
            (json!("text"), "expected a mapping"),
            (
                json!({"outboundTrafficPolicy": {"mode": "SOME"}}),
                "outboundTrafficPolicy.mode: \"SOME\" is not",
            ),
            (
                json!({"outboundTrafficPolicy": {"mode": 7}}),
                "outboundTrafficPolicy.mode: \"\" is not",
            ),
        ] {
            let error = MeshConfig::read(&config).expect_err("it cannot be read");
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
