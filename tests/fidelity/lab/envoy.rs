//! Envoy as the application's sidecar, as a child.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tunnelguard::mesh::simulation::IstioVersion;

use super::child::Child;
use super::http::get;
use super::istiod::CONFIGURATION_PORT;
use crate::harness::await_some;

const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 15000);

/// A sidecar that has its first configuration.
pub(crate) struct Envoy {
    child: Child,
}

impl Envoy {
    /// Starts it, and waits until it captures.
    pub(crate) fn start(version: IstioVersion, namespace: &str, directory: &Path) -> Self {
        let bootstrap = directory.join("bootstrap.json");
        fs::write(&bootstrap, bootstrap_config(version, namespace).to_string()).expect("a file");
        let mut command = Command::new(std::env::var_os("ENVOY").expect("checked outside"));
        command.arg("-c").arg(&bootstrap);
        command.args(["--concurrency", "1", "--disable-hot-restart"]);
        let child = Child::start("Envoy", &command, directory.join("envoy.log"));
        child.await_ready(ADMIN, "/ready");
        let envoy = Self { child };
        envoy.await_listener("virtualOutbound");
        envoy
    }

    /// Waits until a listener is in force, and with it all that came with it or before.
    ///
    /// # Panics
    /// If Envoy refused a listener: what is dialled then would say nothing.
    pub(crate) fn await_listener(&self, name: &str) {
        await_some(&format!("listener {name}"), || {
            self.child.assert_alive();
            let listeners = dump("dynamic_listeners")?;
            let ours = listeners.iter().find(|listener| listener["name"] == name)?;
            ours.get("active_state")?;
            for listener in &listeners {
                let refused = &listener["error_state"];
                assert!(refused.is_null(), "Envoy refused a listener: {refused}");
            }
            let warming = listeners.iter().any(|one| !one["warming_state"].is_null());
            (!warming && dump("dynamic_warming_clusters")?.is_empty()).then_some(())
        });
    }

    /// Its version.
    pub(crate) fn shown() -> String {
        let info = get(ADMIN, "/server_info").unwrap_or_default();
        let info: Value = serde_json::from_str(&info).unwrap_or_default();
        // Commit/version/…
        let version = info["version"].as_str().unwrap_or_default();
        version.split('/').nth(1).unwrap_or(version).to_owned()
    }
}

/// A part of Envoy's configuration.
fn dump(resource: &str) -> Option<Vec<Value>> {
    let text = get(ADMIN, &format!("/config_dump?resource={resource}"))?;
    let mut dump: Value = serde_json::from_str(&text).ok()?;
    // Left out where it is empty.
    match dump["configs"].take() {
        Value::Array(configs) => Some(configs),
        _ => Some(Vec::new()),
    }
}

fn bootstrap_config(version: IstioVersion, namespace: &str) -> Value {
    let from_istiod =
        json!({"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"});
    json!({
        "node": {
            "id": format!("sidecar~10.10.0.1~app.{namespace}~{namespace}.svc.cluster.local"),
            "cluster": format!("app.{namespace}"),
            "metadata": {
                "NAMESPACE": namespace,
                "LABELS": {"app": "app"},
                "ISTIO_VERSION": format!("{version}.0"),
                "MESH_ID": "cluster.local",
                "CLUSTER_ID": "Kubernetes",
                "INSTANCE_IPS": "10.10.0.1",
                "INTERCEPTION_MODE": "REDIRECT",
                "PROXY_CONFIG": {},
            },
        },
        "admin": {"address": socket(ADMIN.port())},
        "dynamic_resources": {
            "lds_config": from_istiod,
            "cds_config": from_istiod,
            "ads_config": {
                "api_type": "GRPC", "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "istiod"}}],
            },
        },
        "static_resources": {"clusters": [{
            "name": "istiod", "type": "STATIC", "connect_timeout": "1s",
            "load_assignment": {"cluster_name": "istiod", "endpoints": [{"lb_endpoints": [
                {"endpoint": {"address": socket(CONFIGURATION_PORT)}},
            ]}]},
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {"http2_protocol_options": {}},
                },
            },
        }]},
    })
}

fn socket(port: u16) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}
