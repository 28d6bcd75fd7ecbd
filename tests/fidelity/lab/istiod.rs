//! istiod, as a child.

use std::ffi::OsString;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tunnelguard::mesh::simulation::{IstioVersion, OutboundPolicy};

use super::child::Child;
use super::http::{get, post};
use super::objects::Inventory;
use crate::harness::await_some;

/// Where it serves configuration. The namespace is ours alone, so ports are free.
pub(crate) const CONFIGURATION_PORT: u16 = 15010;
const HTTP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8085);

/// The first two, with `defaultProviders: {}`, leave out filters that only Istio's own build of Envoy
/// has. Without a certificate authority, an injector and webhooks nothing else has to be there.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("PILOT_ENABLE_ALPN_FILTER", "false"),
    ("PILOT_ENABLE_METADATA_EXCHANGE", "false"),
    ("PILOT_ENDPOINT_TELEMETRY_LABEL", "false"),
    ("ENABLE_CA_SERVER", "false"),
    ("INJECT_ENABLED", "false"),
    ("VALIDATION_WEBHOOK_CONFIG_NAME", ""),
    ("POD_NAMESPACE", "istio-system"),
    ("POD_NAME", "istiod"),
    ("REVISION", "default"),
    ("PILOT_DEBOUNCE_AFTER", "20ms"),
    ("PILOT_DEBOUNCE_MAX", "200ms"),
];

/// An istiod to run, and which version it is to be predicted as.
pub(crate) struct Pin {
    binary: OsString,
    pub(crate) version: IstioVersion,
}

/// Those that a run asks, the newest last.
///
/// # Panics
/// If the environment names none.
pub(crate) fn pins() -> Vec<Pin> {
    let older = std::env::var_os("ISTIOD_OLDER").map(Pin::oldest);
    let newest = std::env::var_os("ISTIOD").expect("checked before anything is started");
    older.into_iter().chain([Pin::newest(newest)]).collect()
}

impl Pin {
    /// The newer one; `ISTIO_VERSION` says which that is, where it is somebody's own.
    pub(crate) fn newest(binary: OsString) -> Self {
        let version = std::env::var("ISTIO_VERSION").ok();
        let version = version.map(|version| version.parse().expect("ISTIO_VERSION is a version"));
        Self {
            binary,
            version: version.unwrap_or(IstioVersion::NEWEST),
        }
    }

    /// The older one.
    fn oldest(binary: OsString) -> Self {
        Self {
            binary,
            version: IstioVersion::OLDEST,
        }
    }

    /// What the binary calls itself.
    pub(crate) fn shown(&self) -> String {
        let output = Command::new(&self.binary)
            .args(["version", "--short"])
            .output();
        let output = output.expect("ISTIOD is a binary");
        let shown = String::from_utf8_lossy(&output.stdout);
        // The newer one has a word before it.
        let shown = shown.split_whitespace().last().unwrap_or_default();
        shown.to_owned()
    }
}

/// An address that istiod allocated to a host without one.
#[derive(Clone, Debug)]
pub(crate) struct Allocated {
    pub(crate) namespace: String,
    pub(crate) host: String,
    pub(crate) address: IpAddr,
}

impl Allocated {
    /// Those of a service, as `/debug/registryz` shows it.
    fn of(service: &Value) -> Vec<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let addresses = ["autoAllocatedIPv4Address", "autoAllocatedIPv6Address"];
        let addresses = addresses.map(|field| text(&service[field]));
        let known = addresses.iter().filter_map(|address| address.parse().ok());
        let allocated = known.map(|address| Self {
            namespace: text(&service["Attributes"]["Namespace"]),
            host: text(&service["hostname"]),
            address,
        });
        allocated.collect()
    }
}

/// An istiod that serves.
pub(crate) struct Istiod {
    child: Child,
    mesh: PathBuf,
}

impl Istiod {
    /// Starts it, and waits until it serves.
    pub(crate) fn start(pin: &Pin, kubeconfig: &Path, directory: &Path) -> Self {
        let mesh = directory.join("mesh.yaml");
        let networks = directory.join("networks.yaml");
        fs::write(&mesh, mesh_config(OutboundPolicy::AllowAny)).expect("a file");
        fs::write(&networks, "networks: {}").expect("a file");
        let mut command = Command::new(&pin.binary);
        command.arg("discovery").arg("--kubeconfig").arg(kubeconfig);
        command.arg("--meshConfig").arg(&mesh);
        command.arg("--networksConfig").arg(&networks);
        command.args(["--grpcAddr", &format!("127.0.0.1:{CONFIGURATION_PORT}")]);
        command.args(["--httpAddr", &HTTP.to_string()]);
        command.args(["--httpsAddr", "", "--secureGRPCAddr", ""]);
        command.args(["--monitoringAddr", "127.0.0.1:15014", "--ctrlz_port", "0"]);
        command.envs(ENVIRONMENT.iter().copied());
        let child = Child::start("istiod", &command, directory.join("istiod.log"));
        child.await_ready(HTTP, "/ready");
        Self { child, mesh }
    }

    /// Sets the mesh's outbound policy, and waits until it is in force for what is pushed next.
    pub(crate) fn set_outbound(&self, policy: OutboundPolicy) {
        let aside = self.mesh.with_extension("new");
        fs::write(&aside, mesh_config(policy)).expect("a file");
        fs::rename(&aside, &self.mesh).expect("a file");
        await_some("istiod reads its mesh config", || {
            self.child.assert_alive();
            let mesh = get(HTTP, "/debug/mesh")?;
            let mesh: Value = serde_json::from_str(&mesh).ok()?;
            // The zero value is left out.
            let mode = mesh["outboundTrafficPolicy"]["mode"].as_str();
            (mode.unwrap_or("REGISTRY_ONLY") == policy.to_string()).then_some(())
        });
    }

    /// Waits until it has exactly these objects.
    pub(crate) fn await_objects(&self, stored: &[Value]) {
        let wanted = Inventory::of(stored);
        let page = |path| serde_json::from_str::<Value>(&get(HTTP, path)?).ok();
        let mut shown = Inventory::default();
        await_some("istiod has the objects of the shape and no others", || {
            self.child.assert_alive();
            let [configz, registryz, shards] = [
                "/debug/configz",
                "/debug/registryz",
                "/debug/endpointShardz",
            ]
            .map(page);
            shown = Inventory::shown(&configz?, &registryz?, &shards?);
            shown.is_as(&wanted).then_some(())
        });
    }

    /// The addresses that it allocates to hosts, once those that are named have theirs, of entries of the
    /// namespace that stands before them.
    pub(crate) fn await_allocated(&self, named: &[(Option<Box<str>>, &str)]) -> Vec<Allocated> {
        await_some("istiod allocates addresses", || {
            self.child.assert_alive();
            let services: Value = serde_json::from_str(&get(HTTP, "/debug/registryz")?).ok()?;
            let services = services.as_array()?.iter();
            let allocated: Vec<Allocated> = services.flat_map(Allocated::of).collect();
            let has = |(own, host): &(Option<Box<str>>, &str)| {
                let mut of_host = allocated.iter().filter(|one| one.host == *host);
                of_host.any(|one| own.as_ref().is_none_or(|own| *one.namespace == **own))
            };
            named.iter().all(has).then_some(allocated)
        })
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.child.ended().is_some()
    }

    /// What its validating webhook says of an object: nothing, or why not.
    pub(crate) fn objection(&self, object: &Value) -> Option<String> {
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "lab", "operation": "CREATE", "object": object,
                "kind": {"group": "networking.istio.io", "version": "v1beta1", "kind": object["kind"]},
            },
        });
        let answer = post(HTTP, "/validate", review.to_string()).expect("istiod answers");
        let review: Value = serde_json::from_str(&answer).expect("an AdmissionReview");
        let response = &review["response"];
        let allowed = response["allowed"].as_bool().expect("a verdict");
        (!allowed).then(|| response["status"]["message"].to_string())
    }
}

fn mesh_config(policy: OutboundPolicy) -> String {
    json!({
        "accessLogFile": "",
        "defaultProviders": {},
        "enableAutoMtls": false,
        "enablePrometheusMerge": false,
        "outboundTrafficPolicy": {"mode": policy.to_string()},
        "rootNamespace": "istio-system",
        "trustDomain": "cluster.local",
    })
    .to_string()
}
