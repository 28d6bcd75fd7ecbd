//! The shapes that the lab draws at random, as far as they need no lab.

#[path = "../fidelity/random/draw/mod.rs"]
mod draw;

use std::collections::BTreeSet;

use serde_json::Value;
use tunnelguard::mesh::protocol::Protocol;
use tunnelguard::mesh::simulation::OutboundPolicy;

use draw::{Drawn, draw, file, smallest};

#[test]
fn a_seed_always_gives_the_same_shapes() {
    let some: Vec<Drawn> = draw(7, 20).collect();
    assert_eq!(some, draw(7, 20).collect::<Vec<_>>());
    assert_ne!(some, draw(27, 20).collect::<Vec<_>>());
    // So that one can be run again alone.
    assert_eq!(draw(some[13].seed, 1).next().as_ref(), Some(&some[13]));
}

/// Lines of shape files that the mix must have; every protocol comes in addition.
const MIX: &[&str] = &[
    "- \"10.20.0.5\"",
    "- \"10.20.0.6\"",
    "- 10.20.0.0/24",
    "- 10.30.0.0/16",
    "- 0.0.0.0/0",
    "- \"0.0.0.0\"",
    "- fd00:20::5",
    "- \"10.20.0.500\"",
    "resolution: NONE",
    "resolution: STATIC",
    "resolution: DNS",
    "resolution: DNS_ROUND_ROBIN",
    "resolution: DYNAMIC_DNS",
    "location: MESH_EXTERNAL",
    "location: MESH_INTERNAL",
    "- address: \"10.20.0.5\"",
    "- address: b.test",
    "- my-company-proxy.com",
    "- \"*.test\"",
    "namespace: default",
    "namespace: a",
    "number: 8080",
    "targetPort: 3128",
    "protocol: connect",
    "in-one-second: true",
    "- to: 10.20.0.5:3128",
    "to: 10.20.0.6:8080",
    "speaks: HTTP/1.0",
    "speaks: TLS",
    "server-name: a.test",
    "kind: Service",
    "kind: WorkloadEntry",
    "workloadSelector:",
    "clusterIP: None",
    "- appProtocol: kubernetes.io/h2c",
    "kind: DestinationRule",
    "mode: SIMPLE",
    "targetHost: origin.test",
    "kind: Sidecar",
    "mode: REGISTRY_ONLY",
    "- to: 10.96.0.5:3128",
];

/// Fields that some do without.
const OPTIONAL: &[&str] = &[
    "addresses",
    "resolution",
    "location",
    "endpoints",
    "exportTo",
];

#[test]
fn the_mix_has_everything() {
    let drawn: Vec<Drawn> = draw(0, 1000).collect();
    let text: String = drawn.iter().map(|drawn| file(&drawn.shape)).collect();
    let lines: BTreeSet<&str> = text.lines().map(str::trim).collect();
    let protocols = Protocol::KNOWN.map(|(name, _)| format!("protocol: {name}"));
    let wanted = protocols
        .iter()
        .map(String::as_str)
        .chain(MIX.iter().copied());
    let missing: Vec<&str> = wanted.filter(|line| !lines.contains(line)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    for field in OPTIONAL {
        let mut all = drawn.iter().flat_map(entries);
        let one = all.any(|entry| entry["spec"].get(field).is_none());
        assert!(one, "always {field}");
    }
    for (name, policy) in OutboundPolicy::ALL {
        assert!(drawn.iter().any(|drawn| drawn.outbound == policy), "{name}");
    }
    for count in 1..=4 {
        let one = drawn.iter().any(|drawn| entries(drawn).count() == count);
        assert!(one, "{count} entries");
    }
    assert!(drawn.iter().any(|drawn| drawn.on_older) && drawn.iter().any(|drawn| !drawn.on_older));
}

/// A shape, and what is left of it where only the tunnel and the range make it fail.
const LARGE: &str = "
in-one-second: true
objects:
- {metadata: {name: one, namespace: b}, spec: {hosts: [a.test, b.test], ports: [{number: 3128, name: a, protocol: TCP}]}}
- metadata: {name: two, namespace: a}
  spec:
    hosts: [a.test]
    location: MESH_EXTERNAL
    addresses: [10.20.0.5, 10.20.0.0/24]
    ports: [{number: 3128, name: a, protocol: HTTP, targetPort: 8080}, {number: 8080, name: b}]
- {metadata: {name: three, namespace: default}, spec: {hosts: [b.test], ports: [{number: 8080, name: b}]}}
dials:
- {to: '10.20.0.5:3128', from: a}
- {to: '10.20.0.6:3128', from: a}
- {to: '10.20.0.6:3128', from: a, speaks: TLS}
";
const SMALL: &str = "\
objects:
- metadata:
    name: two
    namespace: default
  spec:
    addresses:
    - 10.20.0.0/24
    hosts:
    - a.test
    ports:
    - name: a
      number: 3128
      protocol: HTTP
dials:
- to: 10.20.0.6:3128
";

#[test]
fn what_is_left_is_what_it_takes() {
    let large = serde_saphyr::from_str(LARGE).expect("YAML");
    let fails = |shape: &Value| {
        let dials = shape["dials"].as_array().expect("dials");
        let is_http = |entry: &&Value| entry["spec"]["ports"][0]["protocol"] == "HTTP";
        let http = objects(shape).iter().find(is_http);
        dials.iter().any(|dial| dial["to"] == "10.20.0.6:3128")
            && http.is_some_and(|entry| entry["spec"]["addresses"].to_string().contains('/'))
    };
    assert_eq!(file(&smallest(&large, 300, fails)), SMALL);
}

#[test]
fn making_smaller_has_an_end() {
    let shape = draw(3, 1).next().expect("one").shape;
    let mut attempts = 0;
    smallest(&shape, 20, |_| {
        attempts += 1;
        // As an outcome that comes and goes.
        attempts % 3 == 0
    });
    assert_eq!(attempts, 20);
    assert_eq!(smallest(&shape, 300, |_| false), shape);
}

fn entries(drawn: &Drawn) -> impl Iterator<Item = &Value> {
    let objects = objects(&drawn.shape).iter();
    objects.filter(|object| object["kind"] == "ServiceEntry")
}

fn objects(shape: &Value) -> &[Value] {
    shape["objects"].as_array().expect("objects")
}
