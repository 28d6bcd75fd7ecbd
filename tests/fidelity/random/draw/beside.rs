//! What stands beside ServiceEntries now and then: a Service with its endpoints, a WorkloadEntry, a
//! DestinationRule, a Sidecar.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

const NAMESPACES: &[&str] = &["default", "default", "a"];

/// Where the Service is dialled.
pub(super) const CLUSTER_IP: &str = "10.96.0.5";

pub(super) fn objects() -> BoxedStrategy<Vec<Value>> {
    let one = prop_oneof![
        2 => service(),
        2 => workload().prop_map(|workload| vec![workload]),
        2 => rule().prop_map(|rule| vec![rule]),
        3 => sidecar().prop_map(|sidecar| vec![sidecar]),
        1 => (service(), rule()).prop_map(|(service, rule)| [service, vec![rule]].concat()),
        1 => (service(), sidecar()).prop_map(|(service, sidecar)| [service, vec![sidecar]].concat()),
        1 => (rule(), sidecar()).prop_map(|(rule, sidecar)| vec![rule, sidecar]),
    ];
    prop_oneof![2 => Just(Vec::new()), 1 => one].boxed()
}

fn object(kind: &str, name: &str, namespace: &str, spec: Value) -> Value {
    let version = match kind {
        "Service" => "v1",
        _ => "networking.istio.io/v1beta1",
    };
    let metadata = json!({"name": name, "namespace": namespace});
    json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})
}

fn service() -> BoxedStrategy<Vec<Value>> {
    let names = [
        None,
        Some("tcp"),
        Some("http"),
        Some("https"),
        Some("squid"),
        Some("grpc-web"),
    ];
    let protocols = [
        None,
        None,
        None,
        Some("http"),
        Some("tcp"),
        Some("kubernetes.io/h2c"),
    ];
    let strategies = (
        select(NAMESPACES),
        select(&[3128, 3128, 8080][..]),
        select(names.to_vec()),
        select(protocols.to_vec()),
        prop::bool::weighted(0.25),
        select(&["10.20.0.5", "10.20.0.6"][..]),
    );
    let objects = strategies.prop_map(|(namespace, number, name, protocol, headless, endpoint)| {
        let mut port = json!({"port": number});
        let mut behind = json!({"port": number});
        if let Some(name) = name {
            port["name"] = json!(name);
            behind["name"] = json!(name);
        }
        if let Some(protocol) = protocol {
            port["appProtocol"] = json!(protocol);
        }
        let address = if headless { "None" } else { CLUSTER_IP };
        let spec = json!({"clusterIP": address, "ports": [port]});
        let service = object("Service", "squid", namespace, spec);
        let labels = json!({"kubernetes.io/service-name": "squid"});
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": "squid-1", "namespace": namespace, "labels": labels},
            "addressType": "IPv4", "ports": [behind], "endpoints": [{"addresses": [endpoint]}],
        });
        vec![service, slice]
    });
    objects.boxed()
}

/// What the selectors of entries select.
fn workload() -> BoxedStrategy<Value> {
    let ports = [None, None, Some(json!({"p3128": 8080}))];
    let addresses = select(&["10.20.0.5", "10.20.0.6"][..]);
    (select(NAMESPACES), addresses, select(ports.to_vec()))
        .prop_map(|(namespace, address, ports)| {
            let mut spec = json!({"address": address, "labels": {"app": "squid"}});
            if let Some(ports) = ports {
                spec["ports"] = ports;
            }
            object("WorkloadEntry", "workload", namespace, spec)
        })
        .boxed()
}

fn rule() -> BoxedStrategy<Value> {
    let hosts = [
        "my-company-proxy.com",
        "a.test",
        "b.test",
        "*.test",
        "squid",
    ];
    // Envoy could not check the proxy's certificate.
    let simple = json!({"mode": "SIMPLE", "insecureSkipVerify": true});
    let port = |tls: &Value| json!({"port": {"number": 3128}, "tls": tls});
    let policies = vec![
        json!({"tls": simple}),
        json!({"tls": simple}),
        json!({"tls": {"mode": "DISABLE"}}),
        json!({"tunnel": {"protocol": "CONNECT", "targetHost": "origin.test", "targetPort": 443}}),
        json!({"portLevelSettings": [port(&simple)]}),
        json!({"tls": simple, "portLevelSettings": [port(&json!({"mode": "DISABLE"}))]}),
    ];
    let exports = prop_oneof![4 => Just(None), 1 => select(&[".", "*", "a"][..]).prop_map(Some)];
    let namespaces = select(&["default", "default", "a", "istio-system"][..]);
    (
        namespaces,
        select(hosts.to_vec()),
        select(policies),
        exports,
    )
        .prop_map(|(namespace, host, policy, exports)| {
            let mut spec = json!({"host": host, "trafficPolicy": policy});
            if let Some(exports) = exports {
                spec["exportTo"] = json!([exports]);
            }
            object("DestinationRule", "rule", namespace, spec)
        })
        .boxed()
}

fn sidecar() -> BoxedStrategy<Value> {
    let listener = |hosts: &[&str]| json!({"hosts": hosts});
    let own = |number: u16, protocol: &str, hosts: &[&str]| {
        let port = json!({"number": number, "protocol": protocol, "name": "egress"});
        json!({"port": port, "hosts": hosts})
    };
    // HTTP_PROXY takes services of any port, even those of the cluster itself, unless hosts are named.
    let egress = vec![
        None,
        Some(json!([listener(&["*/*"])])),
        Some(json!([listener(&["./*"])])),
        Some(json!([listener(&["a/*", "b/*"])])),
        Some(json!([listener(&["*/my-company-proxy.com", "*/*.test"])])),
        Some(json!([listener(&["./my-company-proxy.com", "a/a.test"])])),
        Some(json!([
            listener(&["default/a.test"]),
            own(8080, "TCP", &["*/*"])
        ])),
        Some(json!([own(3128, "HTTP", &["./*"])])),
        Some(json!([own(3128, "TCP", &["*/*"])])),
        Some(json!([own(3128, "HTTP", &["*/*"]), listener(&["*/*"])])),
        Some(json!([own(3128, "TCP", &["./*"]), listener(&["*/*"])])),
        Some(json!([
            own(3128, "HTTP_PROXY", &["*/my-company-proxy.com"]),
            listener(&["./*"])
        ])),
        Some(json!([own(3128, "TLS", &["*/*"]), listener(&["*/*"])])),
    ];
    let outbound = select(&[None, None, Some("ALLOW_ANY"), Some("REGISTRY_ONLY")][..]);
    (select(NAMESPACES), select(egress), outbound)
        .prop_map(|(namespace, egress, outbound)| {
            let mut spec = json!({});
            if let Some(egress) = egress {
                spec["egress"] = egress;
            }
            if let Some(mode) = outbound {
                spec["outboundTrafficPolicy"] = json!({"mode": mode});
            }
            object("Sidecar", "sidecar", namespace, spec)
        })
        .boxed()
}
