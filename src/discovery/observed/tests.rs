use std::net::IpAddr;
use std::sync::Arc;

use serde_json::json;

use super::{MOST_PROXIES, Observed, observe};
use crate::discovery::env::ProxyVariables;
use crate::discovery::index::{Index, Pod, PodKey};
use crate::discovery::workload::Workload;
use crate::policy::PolicySet;
use crate::policy::proxy::ProxyIndex;

fn declared() -> ProxyIndex {
    let document = json!({
        "apiVersion": "tunnelguard.dev/v1alpha1", "kind": "ConnectProxyPolicy",
        "metadata": {"name": "corporate"},
        "spec": {"proxies": [
            {"name": "corp", "hosts": ["*.proxy.corp"], "addresses": ["10.20.0.5"], "ports": [3128]},
            {"name": "range", "addresses": ["10.30.0.0/16"], "ports": [3128, 8080]},
        ]},
    });
    let document = serde_json::from_value(document).unwrap();
    PolicySet::compile(&[document]).unwrap().proxies
}

/// Each Deployment uses what is said of it.
fn index(values: &[(&str, &str)]) -> Index {
    let mut index = Index::default();
    for (number, (workload, value)) in values.iter().enumerate() {
        let (namespace, name) = workload.split_once('/').unwrap();
        let spec = json!({"containers": [{"name": "c", "env": [{"name": "HTTPS_PROXY", "value": value}]}]});
        let spec = serde_json::from_value(spec).unwrap();
        index.apply(Pod {
            key: PodKey::of(namespace, &format!("{name}-{number}")),
            workload: Arc::new(Workload::new(namespace, name, "Deployment")),
            variables: Arc::new(ProxyVariables::of(&spec, namespace)),
        });
    }
    index
}

fn addresses_of(host: &str) -> Vec<IpAddr> {
    let addresses: &[&str] = match host {
        "squid.tools.svc.cluster.local" => &["10.96.0.7"],
        "named.corp" => &["10.20.0.5"],
        "one.corp" | "alias.corp" => &["192.0.2.1"],
        "two.corp" => &["192.0.2.1", "192.0.2.2"],
        _ => &[],
    };
    addresses.iter().map(|ip| ip.parse().unwrap()).collect()
}

/// What workloads use, and what messages then call the proxies of which anything was seen.
#[test]
fn observed_proxies_join_the_declared() {
    let corp = "corp (10.20.0.5:3128, declared by policy corporate, used by a/a)";
    for (values, mentioned) in [
        (&[("a/a", "http://10.20.0.5:3128")][..], &[corp][..]),
        (&[("a/a", "http://x.proxy.corp:3128")], &[corp]),
        (&[("a/a", "http://named.corp:3128")], &[corp]),
        (
            &[
                ("a/a", "http://named.corp:3128"),
                ("a/a", "http://10.20.0.5:3128"),
                ("b/b", "x.proxy.corp:3128"),
            ],
            &["corp (10.20.0.5:3128, declared by policy corporate, used by 2 workloads, e.g. a/a)"],
        ),
        (
            &[("a/a", "http://10.30.7.7:8080")],
            &["range (10.30.0.0/16:8080, declared by policy corporate, used by a/a)"],
        ),
        // Another port is another proxy.
        (
            &[("a/a", "http://10.20.0.5:8888"), ("b/b", "x.proxy.corp")],
            &[
                "10.20.0.5:8888 (used by a/a)",
                "x.proxy.corp:80 (used by b/b)",
            ],
        ),
        // A Service, by each of its names.
        (
            &[
                ("tools/a", "squid:3128"),
                ("b/b", "squid.tools:3128"),
                ("c/c", "squid.tools.svc:3128"),
                ("d/d", "10.96.0.7:3128"),
            ],
            &["squid.tools (10.96.0.7:3128, used by 4 workloads, e.g. b/b)"],
        ),
        (
            &[("a/a", "squid.elsewhere:3128")],
            &["squid.elsewhere:3128 (used by a/a)"],
        ),
        // Names of one address.
        (
            &[
                ("a/a", "one.corp:3128"),
                ("b/b", "alias.corp:3128"),
                ("c/c", "192.0.2.1:3128"),
            ],
            &["alias.corp (192.0.2.1:3128, used by 3 workloads, e.g. a/a)"],
        ),
        (
            &[("a/a", "two.corp:3128"), ("b/b", "192.0.2.2:3128")],
            &["two.corp (192.0.2.1:3128 and 1 more address, used by 2 workloads, e.g. a/a)"],
        ),
        // That which most use is first.
        (
            &[
                ("a/a", "a.corp:3128"),
                ("b/b", "b.corp:3128"),
                ("c/c", "b.corp:3128"),
            ],
            &[
                "b.corp:3128 (used by 2 workloads, e.g. b/b)",
                "a.corp:3128 (used by a/a)",
            ],
        ),
    ] {
        let mut proxies = declared();
        observe(&mut proxies, &index(values), addresses_of);
        let seen = proxies
            .all()
            .iter()
            .filter(|proxy| proxy.users.workloads > 0);
        let seen: Vec<String> = seen
            .map(|proxy| {
                let port = if proxy.ports.contains(&8080) {
                    8080
                } else {
                    proxy.ports[0]
                };
                proxy.mention(port)
            })
            .collect();
        assert_eq!(seen, mentioned, "{values:?}");
    }
}

#[test]
fn tls_is_what_all_expect() {
    for (values, tls) in [
        (&[("a/a", "https://one.corp:3128")][..], true),
        (
            &[
                ("a/a", "https://one.corp:3128"),
                ("b/b", "http://one.corp:3128"),
            ],
            false,
        ),
    ] {
        let mut proxies = ProxyIndex::default();
        observe(&mut proxies, &index(values), addresses_of);
        assert_eq!(proxies.all().len(), 1);
        assert_eq!(proxies.all()[0].tls, tls, "{values:?}");
    }
}

#[test]
fn those_that_most_use_are_kept() {
    let hosts: Vec<String> = (0..MOST_PROXIES + 5)
        .map(|n| format!("p{n}.corp:3128"))
        .collect();
    let mut values: Vec<(&str, &str)> = hosts.iter().map(|host| ("a/a", &**host)).collect();
    values.push(("b/b", &hosts[MOST_PROXIES]));
    let mut proxies = ProxyIndex::default();
    let observed = observe(&mut proxies, &index(&values), addresses_of);
    let expected = Observed {
        proxies: MOST_PROXIES,
        left_out: 5,
    };
    assert_eq!(observed, expected);
    assert_eq!(proxies.all().len(), MOST_PROXIES);
    let first = format!("p{MOST_PROXIES}.corp");
    assert_eq!(*proxies.all()[0].name, *first);
    assert_eq!(proxies.on_port(3128).count(), MOST_PROXIES);
}
