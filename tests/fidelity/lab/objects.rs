//! The kinds of object that a shape may hold: where the API server keeps them, and how istiod shows
//! that it has them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// Each kind with the path of its group, in the version that istiods of all ages accept, and its name
/// in paths.
const KINDS: [(&str, &str, &str); 6] = [
    ("ServiceEntry", ISTIO, "serviceentries"),
    ("DestinationRule", ISTIO, "destinationrules"),
    ("WorkloadEntry", ISTIO, "workloadentries"),
    ("Sidecar", ISTIO, "sidecars"),
    ("Service", "/api/v1", "services"),
    (
        "EndpointSlice",
        "/apis/discovery.k8s.io/v1",
        "endpointslices",
    ),
];
const ISTIO: &str = "/apis/networking.istio.io/v1beta1";

/// The namespace of the markers, which no shape uses.
pub(super) const MARKERS: &str = "markers";

/// The path of all objects of an object's kind and namespace.
pub(super) fn collection(object: &Value) -> String {
    let kind = object["kind"].as_str().unwrap_or_default();
    let known = KINDS.iter().find(|(known, ..)| *known == kind);
    let (_, group, plural) = known.unwrap_or_else(|| panic!("no shape holds a {kind}"));
    format!("{group}/namespaces/{}/{plural}", namespace(object))
}

/// The path of all objects of each kind.
pub(super) fn lists() -> impl Iterator<Item = (&'static str, String)> {
    let kinds = KINDS.iter();
    kinds.map(|(kind, group, plural)| (*kind, format!("{group}/{plural}")))
}

/// The objects of a list, which does not repeat their kind. The API server's own Service is always
/// there.
pub(super) fn listed(kind: &'static str, mut list: Value) -> impl Iterator<Item = Value> {
    let items = list["items"].as_array_mut().map(std::mem::take);
    let items = items
        .into_iter()
        .flatten()
        .filter(|item| !is_own(&item["metadata"]["labels"]));
    items.map(move |mut item| {
        item["kind"] = json!(kind);
        item
    })
}

/// Whether these are the labels of the API server's own Service.
fn is_own(labels: &Value) -> bool {
    labels["provider"] == "kubernetes"
}

/// The path of one object.
pub(super) fn path(object: &Value) -> String {
    format!("{}/{}", collection(object), text(object, "/metadata/name"))
}

fn namespace(object: &Value) -> &str {
    let namespace = object.pointer("/metadata/namespace");
    namespace.and_then(Value::as_str).unwrap_or("default")
}

fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    let text = object.pointer(pointer).and_then(Value::as_str);
    text.unwrap_or_default()
}

fn list<'v>(object: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> {
    let list = object.pointer(pointer).and_then(Value::as_array);
    list.into_iter().flatten()
}

/// Lets a Sidecar's clients see the markers, and whoever is to see nothing nothing else. One without
/// egress listeners imports everything; where none takes what the others leave, one is added that takes
/// nothing but markers.
pub(super) fn with_markers(object: &Value) -> Value {
    let mut object = object.clone();
    if object["kind"] != "Sidecar" {
        return object;
    }
    let Some(egress) = object["spec"]["egress"].as_array_mut() else {
        return object;
    };
    let markers = json!(format!("{MARKERS}/*"));
    let mut listeners = egress.iter_mut();
    let catch_all = listeners.find(|listener| listener.get("port").is_none());
    match catch_all.and_then(|listener| listener["hosts"].as_array_mut()) {
        Some(hosts) => {
            // It hides the markers, too, for newer istiods.
            hosts.retain(|host| host != "~/*");
            hosts.push(markers);
        }
        None => egress.push(json!({"hosts": [markers]})),
    }
    object
}

/// Hosts, each with the addresses behind it.
type Endpoints = BTreeMap<String, BTreeSet<String>>;

/// What istiod is to have, or shows that it has.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    /// Kind, namespace and name, with the version.
    objects: BTreeMap<[String; 3], u64>,
    /// Of Services.
    endpoints: Endpoints,
    /// The addresses of WorkloadEntries, which may be behind any Service.
    workloads: BTreeSet<String>,
    /// The hosts of Services that nobody sees: newer istiods take in no endpoints of theirs.
    unseen: BTreeSet<String>,
}

impl Inventory {
    /// Of objects as the API server stored them.
    pub(super) fn of(stored: &[Value]) -> Self {
        let (slices, others): (Vec<_>, Vec<_>) = stored
            .iter()
            .partition(|object| object["kind"] == "EndpointSlice");
        let mut inventory = Self::default();
        for object in others {
            let version = text(object, "/metadata/resourceVersion");
            let name = text(object, "/metadata/name");
            inventory.add(text(object, "/kind"), namespace(object), name, version);
            if object["kind"] == "WorkloadEntry" {
                let address = text(object, "/spec/address");
                inventory.workloads.insert(address.to_owned());
            }
            let exported = "/metadata/annotations/networking.istio.io~1exportTo";
            if text(object, exported) == "~" {
                inventory.unseen.insert(host(name, object));
            }
        }
        for slice in slices {
            let service = text(slice, "/metadata/labels/kubernetes.io~1service-name");
            let host = host(service, slice);
            let endpoints = list(slice, "/endpoints");
            let addresses = endpoints.flat_map(|endpoint| list(endpoint, "/addresses"));
            let addresses = addresses.filter_map(Value::as_str).map(str::to_owned);
            let known = inventory.endpoints.entry(host).or_default();
            known.extend(addresses);
        }
        inventory.endpoints.retain(|_, known| !known.is_empty());
        inventory
    }

    /// Of istiod's answers: its objects (`/debug/configz`), the services that it makes
    /// (`/debug/registryz`) and the endpoints that it sends (`/debug/endpointShardz`).
    pub(super) fn shown(configz: &Value, registryz: &Value, shards: &Value) -> Self {
        let mut inventory = Self::default();
        for object in list(configz, "") {
            let kind = text(object, "/kind");
            if KINDS.iter().any(|(known, ..)| *known == kind) {
                let version = text(object, "/metadata/resourceVersion");
                let name = text(object, "/metadata/name");
                inventory.add(kind, namespace(object), name, version);
            }
        }
        for service in list(registryz, "") {
            let attribute = |name| text(service, name);
            let is_own = is_own(&service["Attributes"]["Labels"]);
            if attribute("/Attributes/ServiceRegistry") == "Kubernetes" && !is_own {
                let (namespace, name) = ("/Attributes/Namespace", "/Attributes/Name");
                let version = attribute("/ResourceVersion");
                inventory.add("Service", attribute(namespace), attribute(name), version);
            }
        }
        for (host, namespaces) in shards.as_object().into_iter().flatten() {
            inventory.add_shards(host, namespaces);
        }
        inventory
    }

    fn add(&mut self, kind: &str, namespace: &str, name: &str, version: &str) {
        let key = [kind, namespace, name].map(str::to_owned);
        self.objects.insert(key, version.parse().unwrap_or(0));
    }

    fn add_shards(&mut self, host: &str, namespaces: &Value) {
        for shards in namespaces.as_object().into_iter().flatten() {
            for endpoint in list(shards.1, "/Shards/Kubernetes~1Kubernetes") {
                let several = list(endpoint, "/Addresses").filter_map(Value::as_str);
                // Older istiods have one address an endpoint.
                let one = endpoint["Address"].as_str().into_iter();
                let known = self.endpoints.entry(host.to_owned()).or_default();
                known.extend(several.chain(one).map(str::to_owned));
            }
        }
    }

    /// Whether it is what it is to be: no object too few or too many, and none older. istiod itself
    /// writes the status of some, so one may be newer.
    pub(super) fn is_as(&self, wanted: &Self) -> bool {
        let is_there = |(key, version): (&[String; 3], &u64)| {
            let shown = self.objects.get(key);
            shown.is_some_and(|shown| shown >= version)
        };
        self.objects.len() == wanted.objects.len()
            && wanted.objects.iter().all(is_there)
            && wanted.told(&self.endpoints) == wanted.told(&wanted.endpoints)
    }

    /// What is for the slices to tell of endpoints.
    fn told<'e>(&self, endpoints: &'e Endpoints) -> BTreeSet<(&'e str, &'e str)> {
        let seen = endpoints
            .iter()
            .filter(|(host, _)| !self.unseen.contains(*host));
        let pairs = seen.flat_map(|(host, addresses)| {
            let addresses = addresses.iter();
            addresses.map(move |address| (host.as_str(), address.as_str()))
        });
        pairs
            .filter(|(_, address)| !self.workloads.contains(*address))
            .collect()
    }
}

/// The host of the Service of that name, in the namespace of an object.
fn host(service: &str, object: &Value) -> String {
    format!("{service}.{}.svc.cluster.local", namespace(object))
}
