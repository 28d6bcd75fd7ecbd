//! Envoy as the application's sidecar, as a child.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tunnelguard::mesh::simulation::IstioVersion;

use super::child::Child;
use super::http::get;
use super::istiod::CONFIGURATION_PORT;
use crate::harness::await_some;

const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 15000);

/// Who dials, as far as istiod tells sidecars apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Application {
    pub(crate) namespace: Box<str>,
    pub(crate) labels: BTreeMap<Box<str>, Box<str>>,
    pub(crate) family: Family,
    /// Whether it asks the sidecar for names, so that entries get addresses allocated.
    pub(crate) dns_capture: bool,
}

/// Which addresses it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    #[default]
    V4,
    V6,
}

impl Default for Application {
    fn default() -> Self {
        Self {
            namespace: "default".into(),
            labels: BTreeMap::new(),
            family: Family::V4,
            dns_capture: false,
        }
    }
}

impl Family {
    /// That of an address which is dialled.
    pub(crate) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The application's own address.
    pub(crate) fn own(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::new(10, 10, 0, 1).into(),
            Self::V6 => Ipv6Addr::new(0xfd00, 0x10, 0, 0, 0, 0, 0, 1).into(),
        }
    }
}

/// A sidecar that has its first configuration.
pub(crate) struct Envoy {
    child: Child,
}

impl Envoy {
    /// Starts it, and waits until it captures.
    pub(crate) fn start(version: IstioVersion, client: &Application, directory: &Path) -> Self {
        let bootstrap = directory.join("bootstrap.json");
        fs::write(&bootstrap, bootstrap_config(version, client).to_string()).expect("a file");
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

/// The counters that ever counted whose names match a percent-encoded expression, one a line.
pub(super) fn counters(expression: &str) -> String {
    let path = format!("/stats?usedonly&type=Counters&filter={expression}");
    get(ADMIN, &path).expect("Envoy answers")
}

/// A part of Envoy's configuration.
pub(super) fn dump(resource: &str) -> Option<Vec<Value>> {
    let text = get(ADMIN, &format!("/config_dump?resource={resource}"))?;
    let mut dump: Value = serde_json::from_str(&text).ok()?;
    // Left out where it is empty.
    match dump["configs"].take() {
        Value::Array(configs) => Some(configs),
        _ => Some(Vec::new()),
    }
}

fn bootstrap_config(version: IstioVersion, client: &Application) -> Value {
    let namespace = &client.namespace;
    let own = client.family.own();
    let from_istiod =
        json!({"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"});
    json!({
        "node": {
            "id": format!("sidecar~{own}~app.{namespace}~{namespace}.svc.cluster.local"),
            "cluster": format!("app.{namespace}"),
            "metadata": metadata(version, client),
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

/// What istiod is told of the application.
fn metadata(version: IstioVersion, client: &Application) -> Value {
    let mut metadata = json!({
        "NAMESPACE": client.namespace,
        "LABELS": client.labels,
        "ISTIO_VERSION": format!("{version}.0"),
        "MESH_ID": "cluster.local",
        "CLUSTER_ID": "Kubernetes",
        "INSTANCE_IPS": client.family.own(),
        "INTERCEPTION_MODE": "REDIRECT",
        "PROXY_CONFIG": {},
    });
    if client.dns_capture {
        metadata["DNS_CAPTURE"] = json!("true");
        // Newer istiods allocate by themselves.
        metadata["DNS_AUTO_ALLOCATE"] = json!("true");
    }
    metadata
}

fn socket(port: u16) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}
