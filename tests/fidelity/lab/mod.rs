//! A real kube-apiserver, a real istiod, a real Envoy as sidecar, and real connections.

mod child;
mod client;
mod configuration;
mod decision;
mod envoy;
mod http;
mod istiod;
mod names;
mod objects;
mod proxies;

use std::ffi::OsStr;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use axum::http::Request;
use futures_util::future::join_all;
use kube::Client;
use kube::client::Body;
use rustls::ClientConfig;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tunnelguard::mesh::Dial;
use tunnelguard::mesh::simulation::{IstioVersion, OutboundPolicy};

use crate::harness::manifests::{component, text_of};
use crate::harness::{Answer, ControlPlane, one_thread};
use crate::text;
pub(crate) use child::Child;
pub(crate) use client::Met;
pub(crate) use configuration::{Configuration, Owner};
pub(crate) use decision::{Counters, Decision};
use envoy::Envoy;
pub(crate) use envoy::{Application, Family};
use istiod::Istiod;
pub(crate) use istiod::{Allocated, Pin, pins};
pub(crate) use names::{names, resolved};

/// Of istiod's own namespace; plaintext is what proxies outside the mesh speak; and Services may have
/// addresses that can be dialled.
const SETUP: &str = r#"
{apiVersion: v1, kind: Namespace, metadata: {name: istio-system}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: a}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: b}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: markers}}
---
{apiVersion: networking.k8s.io/v1, kind: ServiceCIDR, metadata: {name: lab}, spec: {cidrs: [10.96.0.0/16]}}
---
{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: default, namespace: istio-system},
  spec: {mtls: {mode: DISABLE}}}
"#;

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
        plane.apply(&text_of(&component("namespace")));
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

    /// The API server's version.
    fn version(&self) -> String {
        let answer = self.send("GET", "/version", "");
        let version = answer.body["gitVersion"].as_str();
        version.expect("a version").to_owned()
    }

    fn send(&self, method: &str, path: &str, body: &str) -> Answer {
        self.runtime.block_on(self.answer(method, path, body))
    }

    async fn answer(&self, method: &str, path: &str, body: &str) -> Answer {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("content-type", "application/json");
        let request = request.body(Body::from(body.as_bytes().to_vec()));
        let answer = Answer::to(&self.client, request.expect("a request"));
        answer.await.expect("an answer")
    }

    /// Takes all that is stored away, whoever stored it.
    pub(crate) fn clear(&self) {
        for object in self.stored() {
            let answer = self.send("DELETE", &objects::path(&object), "{}");
            assert!(answer.is_allowed(), "{answer:?}");
        }
    }

    /// Every object of the kinds that a shape may hold.
    fn stored(&self) -> Vec<Value> {
        let lists = objects::lists();
        let asked = lists.map(|(kind, path)| async move {
            let answer = self.answer("GET", &path, "").await;
            (kind, answer)
        });
        let lists = self.runtime.block_on(join_all(asked)).into_iter();
        let objects = lists.flat_map(|(kind, answer)| {
            assert!(answer.is_allowed(), "{answer:?}");
            objects::listed(kind, answer.body)
        });
        objects.collect()
    }
}

/// What runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Versions {
    /// As which Istio is predicted.
    #[serde(with = "text")]
    pub(crate) predicted: IstioVersion,
    istiod: String,
    envoy: String,
    kubernetes: String,
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            predicted,
            istiod,
            envoy,
            kubernetes,
        } = self;
        write!(
            f,
            "istiod {istiod}, predicted as {predicted}; Envoy {envoy}; Kubernetes {kubernetes}"
        )
    }
}

/// A mesh of one istiod and one sidecar, which end with this value.
pub(crate) struct Lab {
    /// The sidecar, and whose it is.
    sidecar: Mutex<Option<(Application, Envoy)>>,
    outbound: Mutex<OutboundPolicy>,
    istiod: Istiod,
    pub(crate) version: IstioVersion,
    pub(crate) versions: Versions,
    site: Arc<Site>,
    directory: TempDir,
    /// Objects as they were given, and as they are stored.
    held: Mutex<Option<(Vec<Value>, Vec<Value>)>>,
}

impl Lab {
    /// Starts it, under ALLOW_ANY.
    pub(crate) fn start(site: &Arc<Site>, pin: &Pin) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let kubeconfig = site.plane.file("kubeconfig");
        let istiod = Istiod::start(pin, &kubeconfig, directory.path());
        let client = Application::default();
        let envoy = Envoy::start(pin.version, &client, directory.path());
        Self {
            versions: Versions {
                predicted: pin.version,
                istiod: pin.shown(),
                envoy: Envoy::shown(),
                kubernetes: site.version(),
            },
            sidecar: Mutex::new(Some((client, envoy))),
            outbound: Mutex::default(),
            istiod,
            version: pin.version,
            site: site.clone(),
            directory,
            held: Mutex::default(),
        }
    }

    /// Whether istiod has ended, and nothing more can be measured.
    pub(crate) fn has_ended(&self) -> bool {
        self.istiod.has_ended()
    }

    /// The API server.
    pub(crate) fn plane(&self) -> &ControlPlane {
        &self.site.plane
    }

    /// Whom to trust to reach the origin, in PEM.
    pub(crate) fn authority(&self) -> &str {
        &self.site.authority
    }

    /// The outbound policy of what is settled next.
    pub(crate) fn outbound(&self) -> OutboundPolicy {
        *self.outbound.lock().expect("a policy")
    }

    /// Sets it.
    pub(crate) fn set_outbound(&self, policy: OutboundPolicy) {
        let mut outbound = self.outbound.lock().expect("a policy");
        if *outbound != policy {
            self.istiod.set_outbound(policy);
            *outbound = policy;
        }
    }

    /// Stores an object. The answer has it as stored, or says why not. A Sidecar lets the markers be
    /// seen, too.
    pub(crate) fn create(&self, object: &Value) -> Answer {
        let object = objects::with_markers(object);
        let path = objects::collection(&object);
        self.site.send("POST", &path, &object.to_string())
    }

    /// Puts an object in the place of the stored one of its name, whatever that has become since.
    pub(crate) fn replace(&self, object: &Value) -> Answer {
        let path = objects::path(object);
        let stored = self.site.send("GET", &path, "");
        let mut object = object.clone();
        object["metadata"]["resourceVersion"] = stored.body["metadata"]["resourceVersion"].clone();
        self.site.send("PUT", &path, &object.to_string())
    }

    /// Takes all that is stored away, whoever stored it.
    pub(crate) fn clear(&self) {
        *self.held.lock().expect("objects") = None;
        self.site.clear();
    }

    /// Waits until the hosts that are named have addresses allocated, and writes into the entries what
    /// istiod allocated: newer ones store it in the status, older ones keep it to themselves.
    pub(crate) fn allocate(
        &self,
        entries: &mut [Value],
        named: &[(Option<Box<str>>, &str)],
    ) -> Vec<Allocated> {
        let allocated = self.istiod.await_allocated(named);
        for entry in entries {
            let own = allocated.iter().filter(|one| {
                let hosts = entry["spec"]["hosts"].as_array();
                let mut hosts = hosts.into_iter().flatten();
                entry["metadata"]["namespace"] == *one.namespace
                    && hosts.any(|host| *host == *one.host)
            });
            let own = own.map(|one| json!({"host": one.host, "value": one.address}));
            let own: Vec<Value> = own.collect();
            if !own.is_empty() {
                entry["status"] = json!({"addresses": own});
            }
        }
        allocated
    }

    /// Remembers that these are stored, and nothing besides.
    pub(crate) fn hold(&self, given: &[Value], stored: &[Value]) {
        *self.held.lock().expect("objects") = Some((given.to_vec(), stored.to_vec()));
    }

    /// These as they are stored, if nothing else is.
    pub(crate) fn holds(&self, given: &[Value]) -> Option<Vec<Value>> {
        let held = self.held.lock().expect("objects");
        let (known, stored) = held.as_ref()?;
        (known == given).then(|| stored.clone())
    }

    /// What istiod's validating webhook has against an object.
    pub(crate) fn objection(&self, object: &Value) -> Option<String> {
        self.istiod.objection(object)
    }

    /// Waits until the sidecar of an application acts on all that was stored and set before: first until
    /// istiod has it, then until Envoy has what came after it.
    pub(crate) fn settle(&self, client: &Application) {
        self.istiod.await_objects(&self.site.stored());
        let number = self.site.markers.fetch_add(1, Ordering::Relaxed);
        // Nobody dials these addresses or a port from 20000 on.
        let address = match client.family {
            Family::V4 => format!("10.40.{}.{}", number >> 8, number & 0xff),
            Family::V6 => format!("fd00:40::{:x}", number + 1),
        };
        let port = 20_000 + number;
        let marker = json!({
            "apiVersion": "networking.istio.io/v1beta1", "kind": "ServiceEntry",
            "metadata": {"name": format!("marker-{number}"), "namespace": objects::MARKERS},
            "spec": {
                "hosts": [format!("marker-{number}.test")], "addresses": [address],
                "ports": [{"name": "tcp", "number": port, "protocol": "TCP"}], "resolution": "NONE",
            },
        });
        let answer = self.create(&marker);
        assert!(answer.is_allowed(), "{answer:?}");
        let sidecar = self.sidecar.lock().expect("a sidecar").take();
        let envoy = match sidecar {
            Some((of, envoy)) if of == *client => envoy,
            other => {
                // The other one first: they listen on the same port.
                drop(other);
                Envoy::start(self.version, client, self.directory.path())
            }
        };
        envoy.await_listener(&format!("{address}_{port}"));
        // One that does not come to rest is not dialled through again.
        *self.sidecar.lock().expect("a sidecar") = Some((client.clone(), envoy));
    }

    /// Opens up to that many connections, and says what the first met that did not end where it was
    /// to: where load is balanced, only some go astray. What went elsewhere tells more than what got there
    /// inside TLS.
    pub(crate) fn dial(&self, dial: &Dial, meant: &[IpAddr], times: usize) -> Met {
        let once = || {
            let dialled = client::dial(dial, meant, &self.site.trust);
            self.site.runtime.block_on(dialled)
        };
        // In sixteen thousand dials one was lost in the namespace; what is really silent is so twice.
        let dialled = || match once() {
            Met::Silence => once(),
            met => met,
        };
        let mut told = Met::Tunnel;
        for _ in 0..times {
            match dialled() {
                Met::Tunnel => {}
                Met::Wrapped => told = Met::Wrapped,
                other => return other,
            }
        }
        told
    }
}
