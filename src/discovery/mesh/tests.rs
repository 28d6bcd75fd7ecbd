//! News, and the view that comes of them.

use serde_json::{Value, json};

use super::{KnownMesh, MeshKind, MeshObjects};
use crate::discovery::watch::{NamespacedName, News};
use crate::mesh::Mesh as _;

use MeshKind::{DestinationRule, EndpointSlice, Service, ServiceEntry, Sidecar, WorkloadEntry};

fn object(name: &str, rest: Value) -> super::MeshObject {
    let (kind, mut object) = (rest["read as"].clone(), rest);
    object["metadata"]["namespace"] = "team".into();
    object["metadata"]["name"] = name.into();
    let kind = MeshKind::ALL.into_iter().find(|own| own.called() == kind);
    let object = serde_json::from_value(object).expect("an object");
    let read = kind.expect("a kind").read(object);
    read.expect("readable").expect("it matters")
}

fn entry(name: &str) -> super::MeshObject {
    object(name, spec_of(json!([format!("{name}.test")])))
}

fn spec_of(hosts: Value) -> Value {
    json!({"read as": "ServiceEntries", "spec": {"hosts": hosts, "ports": [{"number": 3128, "name": "p", "protocol": "TCP"}]}})
}

fn service(name: &str) -> super::MeshObject {
    object(
        name,
        json!({"read as": "Services", "spec": {"clusterIP": "10.96.0.5", "selector": {"app": "a"}, "ports": [{"port": 3128}]}}),
    )
}

fn slice(name: &str, service: &str, address: &str) -> super::MeshObject {
    object(
        name,
        json!({
            "read as": "EndpointSlices", "metadata": {"labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4", "ports": [{"port": 3128}], "endpoints": [{"addresses": [address]}],
        }),
    )
}

fn other(kind: MeshKind, name: &str) -> super::MeshObject {
    let spec = json!({"host": "a.test", "egress": [{"port": {"number": 3128}, "hosts": ["*/*"]}]});
    object(name, json!({"read as": kind.called(), "spec": spec}))
}

/// `squid(10.244.0.1) entry-a`: what is in view, a Service with its endpoints.
fn shown(known: &KnownMesh) -> String {
    let view = &known.view;
    let mut shown: Vec<String> = view
        .entries()
        .map(|entry| {
            let endpoints = entry.endpoints.iter().map(|endpoint| &*endpoint.address);
            let endpoints: Vec<&str> = endpoints.collect();
            match endpoints.is_empty() {
                true => entry.name.to_string(),
                false => format!("{}({})", entry.name, endpoints.join(",")),
            }
        })
        .collect();
    let others = view.others();
    let rules = others.destination_rules("team", "a.test").len();
    let sidecars = others.sidecars_parsing(3128).count();
    let workloads = others.workload_entries("team").len();
    shown.sort();
    shown.push(format!("{rules}/{sidecars}/{workloads}"));
    shown.join(" ")
}

#[test]
fn the_view_follows_the_news() {
    let gone = |name: &str| {
        News::Deleted(NamespacedName {
            namespace: "team".into(),
            name: name.into(),
        })
    };
    let mut objects = MeshObjects::default();
    // Each news, and what is in view after it.
    let rows = [
        (
            ServiceEntry,
            News::Listed(vec![entry("a"), entry("b")]),
            "a b 0/0/0",
        ),
        // An endpoint may be known before its Service.
        (
            EndpointSlice,
            News::Listed(vec![slice("squid-1", "squid", "10.244.0.1")]),
            "a b 0/0/0",
        ),
        (
            Service,
            News::Listed(vec![service("squid")]),
            "a b squid(10.244.0.1) 0/0/0",
        ),
        (
            EndpointSlice,
            News::Applied(slice("squid-2", "squid", "10.244.0.2")),
            "a b squid(10.244.0.1,10.244.0.2) 0/0/0",
        ),
        // Of another Service now.
        (
            EndpointSlice,
            News::Applied(slice("squid-1", "other", "10.244.0.1")),
            "a b squid(10.244.0.2) 0/0/0",
        ),
        (
            Service,
            News::Applied(service("other")),
            "a b other(10.244.0.1) squid(10.244.0.2) 0/0/0",
        ),
        (
            EndpointSlice,
            gone("squid-2"),
            "a b other(10.244.0.1) squid 0/0/0",
        ),
        (Service, gone("other"), "a b squid 0/0/0"),
        // Gone, or left out, which is told alike; there again, and gone from a list.
        (ServiceEntry, gone("a"), "b squid 0/0/0"),
        (ServiceEntry, News::Applied(entry("a")), "a b squid 0/0/0"),
        (
            ServiceEntry,
            News::Listed(vec![entry("c")]),
            "c squid 0/0/0",
        ),
        (
            DestinationRule,
            News::Listed(vec![
                other(DestinationRule, "a"),
                other(DestinationRule, "b"),
            ]),
            "c squid 2/0/0",
        ),
        (
            Sidecar,
            News::Listed(vec![other(Sidecar, "a")]),
            "c squid 2/1/0",
        ),
        (WorkloadEntry, News::NotInstalled, "c squid 2/1/0"),
        (
            WorkloadEntry,
            News::Applied(other(WorkloadEntry, "a")),
            "c squid 2/1/1",
        ),
        (DestinationRule, gone("a"), "c squid 1/1/1"),
        (DestinationRule, News::NotInstalled, "c squid 0/1/1"),
        (Sidecar, gone("a"), "c squid 0/0/1"),
        (WorkloadEntry, gone("a"), "c squid 0/0/0"),
        (ServiceEntry, News::Unanswered, "c squid 0/0/0"),
        (ServiceEntry, News::NotInstalled, "squid 0/0/0"),
        (Service, News::Listed(Vec::new()), "0/0/0"),
    ];
    let mut kinds = std::collections::BTreeSet::new();
    for (row, (kind, news, expected)) in rows.into_iter().enumerate() {
        let changes = objects.take(kind, news);
        let known = objects.apply(changes);
        kinds.insert(kind);
        assert_eq!(shown(&known), expected, "row {row}");
        assert_eq!(
            known.is_whole,
            kinds.len() == MeshKind::ALL.len(),
            "row {row}"
        );
    }
    let empty = objects.apply(Vec::new());
    assert_eq!(
        empty.counts,
        MeshKind::ALL.map(|kind| (kind, usize::from(kind == EndpointSlice)))
    );
}

/// A view that somebody reads stays as it is, however many take its place.
#[test]
fn what_is_read_does_not_change() {
    let mut objects = MeshObjects::default();
    let mut read = Vec::new();
    for number in 0..3 {
        let news = News::Applied(entry(&format!("e{number}")));
        let changes = objects.take(ServiceEntry, news);
        read.push(objects.apply(changes));
    }
    let lengths: Vec<usize> = read.iter().map(|known| known.view.len()).collect();
    assert_eq!(lengths, [1, 2, 3]);
}
