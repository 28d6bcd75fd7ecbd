//! ServiceEntries: few values of each field, so that entries meet on a port, an address or a host.
//! What stands in a list more than once comes more often.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

const NAMESPACES: &[&str] = &["default", "default", "default", "a", "a", "b"];

const HOSTS: &[&[&str]] = &[
    &["my-company-proxy.com"],
    &["my-company-proxy.com"],
    &["my-company-proxy.com"],
    &["a.test"],
    &["a.test"],
    &["b.test"],
    &["b.test"],
    &["my-company-proxy.com", "a.test"],
    &["b.test", "a.test"],
    &["*.test"],
];

const SINGLE: &[&str] = &["10.20.0.5", "10.20.0.5", "10.20.0.6", "10.20.0.8"];

/// What people write that is not one IPv4 address. What a range takes is dialled, so it is one of the lab's network.
const ODD: &[&str] = &[
    "10.20.0.0/24",
    "10.20.0.0/24",
    "10.20.0.5/32",
    "10.0.0.0/8",
    "10.30.0.0/16",
    "0.0.0.0/0",
    "0.0.0.0",
    "::",
    "fd00:20::5",
    "fd00:20::/64",
    "::ffff:10.20.0.5",
    "[fd00:20::5]",
    "10.20.0.500",
    "my-company-proxy.com",
];

const PROTOCOLS: &[&str] = &[
    "TCP",
    "TCP",
    "TCP",
    "TCP",
    "HTTP",
    "HTTP",
    "HTTP",
    "TLS",
    "TLS",
    "HTTPS",
    "HTTP2",
    "GRPC",
    "GRPC-Web",
    "HTTP_PROXY",
    "UDP",
    "Mongo",
    "Redis",
    "MySQL",
];

/// Spellings that Istio forgives or does not know.
const SPELLINGS: &[&str] = &["tcp", "http", "", "HTTP ", "connect", "SOCKS5"];

const RESOLUTIONS: &[&str] = &[
    "NONE",
    "NONE",
    "STATIC",
    "STATIC",
    "DNS",
    "DNS",
    "DNS",
    "DNS_ROUND_ROBIN",
    "DYNAMIC_DNS",
];

const EXPORTS: &[&[&str]] = &[
    &["."],
    &["*"],
    &["a"],
    &["default"],
    &["default", "a"],
    &["~"],
];

pub(super) fn entry() -> BoxedStrategy<Value> {
    let addresses = prop_oneof![
        4 => select(SINGLE).prop_map(|one| Some(json!([one]))),
        4 => Just(None),
        3 => select(ODD).prop_map(|one| Some(json!([one]))),
        2 => (select(SINGLE), select([SINGLE, ODD].concat())).prop_map(|(one, two)| Some(json!([one, two]))),
    ];
    let ports = subsequence(vec![3128, 8080], 1..=2);
    let ports = prop_oneof![2 => Just(vec![3128]), 1 => ports];
    let ports = (ports, vec(port(), 2));
    let location = prop_oneof![3 => Just(None), 1 => select(&["MESH_EXTERNAL", "MESH_INTERNAL"][..]).prop_map(Some)];
    let exports = prop_oneof![4 => Just(None), 1 => select(EXPORTS).prop_map(Some)];
    let strategies = (
        select(NAMESPACES),
        select(HOSTS),
        addresses,
        ports,
        prop_oneof![1 => Just(None), 6 => select(RESOLUTIONS).prop_map(Some)],
        location,
        endpoints(),
        exports,
        // Whether it may be what the API server refuses.
        prop::bool::weighted(0.03),
    );
    strategies
        .prop_map(
            |(
                namespace,
                hosts,
                addresses,
                (numbers, ports),
                resolution,
                location,
                endpoints,
                exports,
                free,
            )| {
                let mut spec = json!({"hosts": hosts, "ports": written(&numbers, ports)});
                let mut set = |field: &str, value: Option<Value>| {
                    if let Some(value) = value {
                        spec[field] = value;
                    }
                };
                set("addresses", addresses);
                set("resolution", resolution.map(Value::from));
                set("location", location.map(Value::from));
                set("endpoints", endpoints);
                set("exportTo", exports.map(|exports| json!(exports)));
                if !free {
                    make_storable(&mut spec);
                }
                json!({
                    "apiVersion": "networking.istio.io/v1beta1", "kind": "ServiceEntry",
                    "metadata": {"namespace": namespace}, "spec": spec,
                })
            },
        )
        .boxed()
}

/// A protocol, a target port, and whether the port has an unusual name.
fn port() -> impl Strategy<Value = (Option<&'static str>, Option<u16>, bool)> {
    let protocol = prop_oneof![
        3 => Just(None),
        16 => select(PROTOCOLS).prop_map(Some),
        1 => select(SPELLINGS).prop_map(Some),
    ];
    let target = prop_oneof![12 => Just(None), 1 => select(&[3128, 8080][..]).prop_map(Some)];
    (protocol, target, prop::bool::weighted(0.1))
}

fn written(numbers: &[u16], ports: Vec<(Option<&str>, Option<u16>, bool)>) -> Vec<Value> {
    let pairs = numbers.iter().zip(ports);
    let ports = pairs.map(|(number, (protocol, target, renamed))| {
        // Endpoints are found by it.
        let name = if renamed {
            format!("other-{number}")
        } else {
            format!("p{number}")
        };
        let mut port = json!({"number": number, "name": name});
        if let Some(protocol) = protocol {
            port["protocol"] = json!(protocol);
        }
        if let Some(target) = target {
            port["targetPort"] = json!(target);
        }
        port
    });
    ports.collect()
}

fn endpoints() -> BoxedStrategy<Option<Value>> {
    let address = select(&["10.20.0.5", "10.20.0.5", "10.20.0.6", "10.20.0.8", "b.test"][..]);
    let port = prop_oneof![8 => Just(None), 1 => select(&[3128, 8080][..]).prop_map(Some)];
    let endpoint = (address, port).prop_map(|(address, port)| {
        let mut endpoint = json!({"address": address});
        if let Some(port) = port {
            endpoint["ports"] = json!({"p3128": port});
        }
        endpoint
    });
    prop_oneof![
        3 => Just(None),
        3 => vec(endpoint.clone(), 1).prop_map(|list| Some(json!(list))),
        1 => vec(endpoint, 2).prop_map(|list| Some(json!(list))),
    ]
    .boxed()
}

/// Takes away most of what the API server would refuse, since nothing could be dialled then.
fn make_storable(spec: &mut Value) {
    let fields = spec.as_object_mut().expect("an object");
    let resolution = fields
        .get("resolution")
        .and_then(Value::as_str)
        .unwrap_or("NONE")
        .to_owned();
    let has_wildcard = texts(fields, "hosts")
        .iter()
        .any(|host| host.starts_with('*'));
    match &*resolution {
        "NONE" => drop(fields.remove("endpoints")),
        "STATIC" => {}
        "DYNAMIC_DNS" if has_wildcard => {
            fields.remove("addresses");
            fields.remove("endpoints");
        }
        "DYNAMIC_DNS" => drop(fields.remove("resolution")),
        _ => {
            if texts(fields, "addresses")
                .iter()
                .any(|address| address.contains('/'))
            {
                fields.remove("addresses");
            }
            let endpoints = fields.get_mut("endpoints").and_then(Value::as_array_mut);
            if let Some(endpoints) = endpoints
                && resolution == "DNS_ROUND_ROBIN"
            {
                endpoints.truncate(1);
            }
        }
    }
    if !fields.contains_key("resolution") {
        fields.remove("endpoints");
    }
}

fn texts(fields: &Map<String, Value>, field: &str) -> Vec<String> {
    let list = fields.get(field).and_then(Value::as_array);
    let texts = list.into_iter().flatten().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

/// Lets the entries of a workload's namespace select it that can: of pods, which others may select, the
/// lab has none.
pub(super) fn select_workload(entries: &mut [Value], workload: &Value) {
    for entry in entries {
        let has_endpoints = entry["spec"].get("endpoints").is_some();
        let is_near = entry["metadata"]["namespace"] == workload["metadata"]["namespace"];
        if is_near && !has_endpoints && !is_dynamic(entry) {
            entry["spec"]["workloadSelector"] = json!({"labels": workload["spec"]["labels"]});
        }
    }
}

/// Whether older istiods send a host name among the IPs of its endpoints.
pub(super) fn mixes_names_and_ips(entry: &Value) -> bool {
    let endpoints = entry["spec"]["endpoints"].as_array();
    let mut endpoints = endpoints.into_iter().flatten();
    entry["spec"]["resolution"] == "STATIC" && endpoints.any(|one| one["address"] == "b.test")
}

/// Takes away those that have the namespace and a host of one before them.
pub(super) fn drop_alike(entries: &mut Vec<Value>) {
    let mut seen = BTreeSet::new();
    entries.retain(|entry| {
        let hosts = entry["spec"]["hosts"].as_array().expect("hosts");
        let namespace = &entry["metadata"]["namespace"];
        let mut names = hosts.iter().map(|host| format!("{namespace} {host}"));
        names.all(|name| seen.insert(name))
    });
}

/// Only newer istiods know its resolution.
pub(super) fn is_dynamic(entry: &Value) -> bool {
    entry["spec"]["resolution"] == "DYNAMIC_DNS"
}

/// Gives an entry the name of its place.
pub(super) fn named((index, mut entry): (usize, Value)) -> Value {
    entry["metadata"]["name"] = json!(format!("entry-{}", index + 1));
    entry
}
