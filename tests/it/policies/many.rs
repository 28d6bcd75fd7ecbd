//! A policy file with 10,000 proxies: single addresses, ranges inside ranges, names and wildcards.

use std::fmt::Write as _;
use std::net::IpAddr;

use serde_json::{Value, json};
use tunnelguard::admission::Webhook;
use tunnelguard::policy::proxy::Proxy;
use tunnelguard::state::{self, Snapshot};

use super::answer;
use crate::support::{Files, entry};

/// How many it declares.
pub(crate) const PROXIES: usize = 10_000;

/// The policy.
pub(crate) fn document() -> String {
    let mut text = String::from(
        "apiVersion: tunnelguard.dev/v1alpha1\nkind: ConnectProxyPolicy\nmetadata: {name: large}\n\
         spec:\n  mode: Enforce\n  proxies:\n",
    );
    for index in 0..PROXIES {
        let (high, low) = (index / 256, index % 256);
        let place = match index % 5 {
            0 => format!("addresses: [10.{high}.{low}.5]"),
            1 => format!("addresses: [10.{high}.0.0/{}]", 8 + index % 17),
            2 => format!("hosts: [p{index}.squid.corp]"),
            3 => format!("hosts: ['*.w{}.corp']", index % 100),
            _ => format!("addresses: ['2001:db8:{index:x}::/48'], hosts: [v{index}.corp.]"),
        };
        let port = 3128 + index % 3;
        writeln!(
            text,
            "    - {{name: p{index}, {place}, ports: [{port}, 8080]}}"
        )
        .expect("a text");
    }
    text
}

/// Whether the proxy is that host's or address's, by the letter of the policy.
fn is_that(proxy: &Proxy, host: &str, address: IpAddr) -> bool {
    let matches = |own: &str| match own.strip_prefix("*.") {
        Some(domain) => host
            .strip_suffix(domain)
            .is_some_and(|rest| rest.ends_with('.')),
        None => own == host,
    };
    proxy.is_at(address) || proxy.hosts.iter().any(|own| matches(own))
}

#[test]
fn ten_thousand_proxies_are_claimed_as_if_each_was_looked_at() {
    let files = Files::new(&[("large.yaml", document())]);
    let policies = state::load(&[files.path().join("large.yaml")]).expect("a good one");
    assert_eq!(policies.proxies.all().len(), PROXIES);
    let snapshot = Snapshot {
        policies: policies.into(),
        ..Snapshot::default()
    };
    // Host, address, port, and at how many proxies at least.
    for (host, address, port, least) in [
        ("elsewhere.example", "10.3.7.5", 3128, 100),
        ("elsewhere.example", "192.0.2.1", 3128, 0),
        ("p7.squid.corp", "192.0.2.1", 3129, 1),
        ("p7.squid.corp", "192.0.2.1", 3128, 0),
        ("x.y.w3.corp", "192.0.2.1", 8080, 1),
        ("w3.corp", "192.0.2.1", 8080, 0),
        ("v4.corp", "2001:db8:9::1", 8080, 2),
    ] {
        let object = entry_of(host, address, port);
        let own = entry(&object);
        let proxies = &snapshot.policies.proxies;
        let claimed = proxies.claimed(&own, &own.ports[0]);
        let claimed: Vec<&str> = claimed.iter().map(|proxy| &*proxy.name).collect();
        let ip = address.parse().expect("an IP");
        let all = proxies.all().iter();
        let all = all.filter(|proxy| proxy.ports.contains(&port) && is_that(proxy, host, ip));
        let all: Vec<&str> = all.map(|proxy| &*proxy.name).collect();
        assert_eq!(claimed, all, "{host} {address} {port}");
        assert!(
            all.len() >= least,
            "{} of {host} {address} {port}",
            all.len()
        );

        let request = json!({
            "uid": "u", "operation": "CREATE", "namespace": "default", "name": "e", "object": object,
            "kind": {"group": "networking.istio.io", "version": "v1", "kind": "ServiceEntry"},
        });
        let (bytes, response, _) = answer(Webhook::Validate, &request, &snapshot);
        assert_eq!(response["allowed"], all.is_empty(), "{response}");
        assert!(
            bytes.len() < 16 << 10,
            "{} bytes for {host} {address}",
            bytes.len()
        );
    }
}

/// An entry that breaks every proxy that it claims.
pub(crate) fn entry_of(host: &str, address: &str, port: u16) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
        "metadata": {"name": "e", "namespace": "default"},
        "spec": {
            "hosts": [host], "addresses": [address], "resolution": "NONE",
            "ports": [{"number": port, "name": "p", "protocol": "HTTP"}],
        },
    })
}
