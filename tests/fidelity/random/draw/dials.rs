//! The dials of a shape.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use super::beside::CLUSTER_IP;

/// Those beside the plain ones: to where, and how it is spoken there, with which server name.
const OTHERS: &[(&str, &str, Option<&str>)] = &[
    ("10.99.0.1:3128", "HTTP/1.1", None),
    ("10.20.0.8:3128", "HTTP/1.1", None),
    ("10.20.0.5:3128", "HTTP/1.0", None),
    ("10.20.0.6:3128", "HTTP/1.0", None),
    ("10.20.0.5:8080", "HTTP/1.0", None),
    ("10.20.0.5:3128", "TLS", None),
    ("10.20.0.5:3128", "TLS", Some("my-company-proxy.com")),
    ("10.20.0.5:3128", "TLS", Some("a.test")),
    ("10.20.0.6:3128", "TLS", Some("a.test")),
    ("10.20.0.6:8080", "TLS", Some("my-company-proxy.com")),
];

/// What is dialled besides, and another namespace to dial from.
pub(super) type Others = (Vec<usize>, Option<&'static str>);

pub(super) fn others() -> impl Strategy<Value = Others> {
    let indices: Vec<usize> = (0..OTHERS.len()).collect();
    // A sidecar elsewhere takes a second to start.
    let second =
        prop_oneof![7 => Just(None), 1 => select(&["default", "a", "b"][..]).prop_map(Some)];
    (subsequence(indices, 0..=3), second)
}

/// The declared proxy and the undeclared one on every port, and the others.
pub(super) fn of(from: &str, (others, second): Others) -> Vec<Value> {
    let proxies = [
        "10.20.0.5:3128",
        "10.20.0.6:3128",
        "10.20.0.5:8080",
        "10.20.0.6:8080",
    ];
    let plain = proxies.map(|proxy| (proxy, "HTTP/1.1", None));
    let first = plain
        .into_iter()
        .chain(others.into_iter().map(|index| OTHERS[index]));
    let mut dials: Vec<Value> = first.map(|dial| written(from, dial)).collect();
    if let Some(second) = second.filter(|second| *second != from) {
        dials.extend(plain.map(|dial| written(second, dial)));
    }
    dials
}

/// Those of the Service.
pub(super) fn of_service(from: &str) -> Vec<Value> {
    let ports = [3128, 8080].map(|port| format!("{CLUSTER_IP}:{port}"));
    let dials = ports.iter().map(|to| written(from, (to, "HTTP/1.1", None)));
    dials.collect()
}

fn written(from: &str, (to, speaks, server_name): (&str, &str, Option<&str>)) -> Value {
    let mut dial = json!({"to": to});
    if from != "default" {
        dial["from"] = json!(from);
    }
    if speaks != "HTTP/1.1" {
        dial["speaks"] = json!(speaks);
    }
    if let Some(name) = server_name {
        dial["server-name"] = json!(name);
    }
    dial
}
