//! A real kube-apiserver, a real istiod, a real Envoy as sidecar, and real connections.

mod child;
mod client;
mod envoy;
mod http;
mod istiod;
mod names;
mod proxies;

use std::ffi::OsStr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use axum::http::Request;
use kube::Client;
use kube::client::Body;
use rustls::ClientConfig;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tunnelguard::mesh::Dial;
use tunnelguard::mesh::simulation::{IstioVersion, OutboundPolicy};

use crate::harness::{Answer, ControlPlane, one_thread};
pub(crate) use child::Child;
pub(crate) use client::Met;
use envoy::Envoy;
use istiod::Istiod;
pub(crate) use istiod::Pin;
pub(crate) use names::names;

/// Of istiod's own namespace; and plaintext is what proxies outside the mesh speak.
const SETUP: &str = r#"
{apiVersion: v1, kind: Namespace, metadata: {name: istio-system}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: a}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: b}}
---
{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: default, namespace: istio-system},
  spec: {mtls: {mode: DISABLE}}}
"#;

/// Where applications and objects are.
const NAMESPACES: [&str; 3] = ["default", "a", "b"];

/// The ServiceEntries of a namespace, in the version that istiods of all ages accept.
fn entries(namespace: &str) -> String {
    format!("/apis/networking.istio.io/v1beta1/namespaces/{namespace}/serviceentries")
}

/// What all istiods share: the API server, the proxies, the names.
pub(crate) struct Site {
    plane: ControlPlane,
    runtime: Runtime,
    client: Client,
    trust: Arc<ClientConfig>,
    /// The same, in PEM.
    authority: String,
    markers: AtomicU16,
}

impl Site {
    /// Starts them.
    pub(crate) fn start(control_plane: &OsStr) -> Self {
        names::serve();
        let runtime = one_thread();
        let (trust, authority) = runtime.block_on(proxies::serve());
        let plane = ControlPlane::start(control_plane);
        plane.apply(SETUP);
        let client = runtime.block_on(plane.client("admin"));
        Self {
            plane,
            runtime,
            client,
            trust,
            authority,
            markers: AtomicU16::new(0),
        }
    }

    fn send(&self, method: &str, path: &str, body: &str) -> Answer {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("content-type", "application/json");
        let request = request.body(Body::from(body.as_bytes().to_vec()));
        let answer = Answer::to(&self.client, request.expect("a request"));
        self.runtime.block_on(answer).expect("an answer")
    }
}

/// A mesh of one istiod and one sidecar, which end with this value.
pub(crate) struct Lab {
    /// The application's sidecar, and the namespace it is in.
    envoy: Mutex<(Box<str>, Option<Envoy>)>,
    outbound: Mutex<OutboundPolicy>,
    istiod: Istiod,
    pub(crate) version: IstioVersion,
    versions: String,
    site: Arc<Site>,
    directory: TempDir,
}

impl Lab {
    /// Starts it, under ALLOW_ANY.
    pub(crate) fn start(site: &Arc<Site>, pin: &Pin) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let kubeconfig = site.plane.file("kubeconfig");
        let istiod = Istiod::start(pin, &kubeconfig, directory.path());
        let envoy = Envoy::start(pin.version, "default", directory.path());
        Self {
            versions: format!("istiod {}; Envoy {}", pin.shown(), Envoy::shown()),
            envoy: Mutex::new(("default".into(), Some(envoy))),
            outbound: Mutex::default(),
            istiod,
            version: pin.version,
            site: site.clone(),
            directory,
        }
    }

    /// What runs here.
    pub(crate) fn versions(&self) -> &str {
        &self.versions
    }

    /// The API server.
    pub(crate) fn plane(&self) -> &ControlPlane {
        &self.site.plane
    }

    /// Whom to trust to reach the origin, in PEM.
    pub(crate) fn authority(&self) -> &str {
        &self.site.authority
    }

    /// Sets the outbound policy of what is settled next.
    pub(crate) fn set_outbound(&self, policy: OutboundPolicy) {
        let mut outbound = self.outbound.lock().expect("a policy");
        if *outbound != policy {
            self.istiod.set_outbound(policy);
            *outbound = policy;
        }
    }

    /// Stores a ServiceEntry. The answer has it as stored, or says why not.
    pub(crate) fn create(&self, entry: &Value) -> Answer {
        let namespace = entry["metadata"]["namespace"].as_str();
        let path = entries(namespace.unwrap_or("default"));
        self.site.send("POST", &path, &entry.to_string())
    }

    /// Takes all of them away.
    pub(crate) fn clear(&self) {
        for namespace in NAMESPACES {
            let answer = self.site.send("DELETE", &entries(namespace), "{}");
            assert!(answer.is_allowed(), "{answer:?}");
        }
    }

    /// What istiod's validating webhook has against a ServiceEntry.
    pub(crate) fn objection(&self, entry: &Value) -> Option<String> {
        self.istiod.objection(entry)
    }

    /// Waits until the sidecar of an application in that namespace acts on all that was stored and set before: istiod sees the writes of
    /// a kind in order, so what has the newest of them has them all.
    pub(crate) fn settle(&self, namespace: &str) {
        let number = self.site.markers.fetch_add(1, Ordering::Relaxed);
        let [high, low] = number.to_be_bytes();
        // Nobody dials 10.40.0.0/16 or a port from 20000 on.
        let (address, port) = (format!("10.40.{high}.{low}"), 20_000 + number);
        let marker = json!({
            "apiVersion": "networking.istio.io/v1beta1", "kind": "ServiceEntry",
            "metadata": {"name": format!("marker-{number}")},
            "spec": {
                "hosts": [format!("marker-{number}.test")], "addresses": [address],
                "ports": [{"name": "tcp", "number": port, "protocol": "TCP"}], "resolution": "NONE",
            },
        });
        let answer = self.create(&marker);
        assert!(answer.is_allowed(), "{answer:?}");
        let mut envoy = self.envoy.lock().expect("a sidecar");
        if *envoy.0 != *namespace {
            // The other one first: they listen on the same port.
            envoy.1 = None;
            let started = Envoy::start(self.version, namespace, self.directory.path());
            *envoy = (namespace.into(), Some(started));
        }
        let envoy = envoy.1.as_ref().expect("it has started");
        envoy.await_listener(&format!("{address}_{port}"));
    }

    /// Opens up to that many connections, and says what the first met that did not end where it was
    /// to: where load is balanced, only some go astray.
    pub(crate) fn dial(&self, dial: &Dial, times: usize) -> Met {
        let dialled = || {
            let dialled = client::dial(dial, &self.site.trust);
            self.site.runtime.block_on(dialled)
        };
        let mut met = (0..times).map(|_| dialled());
        met.find(|met| *met != Met::Tunnel).unwrap_or(Met::Tunnel)
    }
}
