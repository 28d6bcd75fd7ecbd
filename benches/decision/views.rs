//! The meshes beside which reviews are measured.

use serde_json::{Value, json};
use tunnelguard::mesh::kubernetes::{EndpointSlice, read_service, with_slices};
use tunnelguard::mesh::{DestinationRule, MeshView, ServiceEntry, Sidecar, WorkloadEntry};

use super::FEW;

pub(super) type View = fn(usize) -> MeshView;

/// What may be in view, how so many of it are made, and whether sidecars capture DNS.
pub(super) const VIEWS: [(&str, View, bool); 13] = [
    ("entries in view", mesh, false),
    ("Services in view", services, false),
    ("entries, DNS captured", without_addresses, true),
    ("entries, one HTTP_PROXY", beside_http_proxy, false),
    ("entries, own namespace's shown", behind_a_sidecar, false),
    (
        "entries of the namespace shown",
        of_the_namespace_shown,
        false,
    ),
    ("entries, one host shown", behind_one_host, false),
    (
        "entries, an egress listener",
        behind_an_egress_listener,
        false,
    ),
    ("entries, one on an address", behind_a_bound_listener, false),
    (
        "entries, one for HTTP_PROXY",
        behind_an_http_proxy_listener,
        false,
    ),
    ("WorkloadEntries in view", workloads, false),
    ("Sidecars that are alike", sidecars_alike, false),
    ("Sidecars, each another", sidecars_of_their_own, false),
];

/// `count` entries on the same port: HTTP, TCP and ranges of other hosts, in many namespaces.
fn mesh(count: usize) -> MeshView {
    mesh_of(count, |n| format!("team-{}", n % 500))
}

fn mesh_of(count: usize, namespace: impl Fn(usize) -> String) -> MeshView {
    let mut view = MeshView::new();
    for n in 0..count {
        let address = std::net::Ipv4Addr::from(u32::from_be_bytes([10, 128, 0, 0]) + n as u32);
        let (protocol, address) = match n % 3 {
            0 => ("HTTP", address.to_string()),
            1 => ("TCP", address.to_string()),
            _ => ("TCP", format!("{address}/32")),
        };
        let object = json!({
            "metadata": {"name": format!("entry-{n}"), "namespace": namespace(n)},
            "spec": {
                "hosts": [format!("host-{n}.test")], "addresses": [address],
                "ports": [{"number": 3128, "name": "p", "protocol": protocol}],
            },
        });
        view.upsert(serde_json::from_value::<ServiceEntry>(object).unwrap());
    }
    view
}

/// `count` Services on the same port, each with an endpoint: HTTP, TCP, sniffed and headless ones.
fn services(count: usize) -> MeshView {
    with_services(MeshView::new(), count)
}

fn with_services(mut view: MeshView, count: usize) -> MeshView {
    for n in 0..count {
        let n32 = n as u32;
        let address = std::net::Ipv4Addr::from(u32::from_be_bytes([10, 96, 0, 0]) + n32);
        let pod = std::net::Ipv4Addr::from(u32::from_be_bytes([10, 244, 0, 0]) + n32);
        let (name, namespace) = (format!("service-{n}"), format!("team-{}", n % 500));
        let (port, ip) = match n % 4 {
            0 => ("http", address.to_string()),
            1 => ("tcp", address.to_string()),
            2 => ("squid", address.to_string()),
            _ => ("tcp", "None".to_owned()),
        };
        let service = json!({
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"clusterIP": ip, "selector": {"app": "a"}, "ports": [{"name": port, "port": 3128}]},
        });
        let slice = json!({
            "metadata": {"namespace": namespace, "labels": {"kubernetes.io/service-name": name}},
            "ports": [{"name": port, "port": 3128}], "endpoints": [{"addresses": [pod]}],
        });
        let slice = EndpointSlice::read(&slice).unwrap().unwrap();
        let service = read_service(&service).unwrap().unwrap();
        view.upsert(with_slices(service, &[&slice]));
    }
    view
}

/// `count` entries without an address on the same port.
fn without_addresses(count: usize) -> MeshView {
    let mut view = MeshView::new();
    for n in 0..count {
        let object = json!({
            "metadata": {"name": format!("entry-{n}"), "namespace": format!("team-{}", n % 500)},
            "spec": {
                "hosts": [format!("host-{n}.test")], "resolution": "DNS",
                "ports": [{"number": 3128, "name": "p", "protocol": "TCP"}],
            },
        });
        view.upsert(serde_json::from_value::<ServiceEntry>(object).unwrap());
    }
    view
}

/// `count` entries, and one whose port is HTTP_PROXY, which replaces the others.
fn beside_http_proxy(count: usize) -> MeshView {
    let mut view = mesh(count);
    let object = json!({
        "metadata": {"name": "http-proxy", "namespace": "team-0"},
        "spec": {
            "hosts": ["http-proxy.test"], "addresses": ["10.9.0.1"],
            "ports": [{"number": 3128, "name": "p", "protocol": "HTTP_PROXY"}],
        },
    });
    view.upsert(serde_json::from_value::<ServiceEntry>(object).unwrap());
    view
}

/// `count` entries, with a Sidecar for clients of the reviewed entry's namespace that shows that alone.
fn behind_a_sidecar(count: usize) -> MeshView {
    with_sidecar(mesh(count), &json!([{"hosts": ["./*"]}]))
}

/// The same, where all of them are in that namespace.
fn of_the_namespace_shown(count: usize) -> MeshView {
    let view = mesh_of(count, |_| "payments".to_owned());
    with_sidecar(view, &json!([{"hosts": ["./*"]}]))
}

/// The same, where it shows one host, of whichever namespace.
fn behind_one_host(count: usize) -> MeshView {
    with_sidecar(mesh(count), &json!([{"hosts": ["*/proxy-0.corp"]}]))
}

/// The same, with a Sidecar that has an egress listener for the port.
fn behind_an_egress_listener(count: usize) -> MeshView {
    with_listener(count, &json!({"number": 3128, "protocol": "TCP"}), "")
}

/// The same, where it says on which address.
fn behind_a_bound_listener(count: usize) -> MeshView {
    let port = json!({"number": 3128, "protocol": "TCP"});
    with_listener(count, &port, "10.20.0.0")
}

/// The same, with one for HTTP_PROXY, which takes entries of all ports.
fn behind_an_http_proxy_listener(count: usize) -> MeshView {
    with_listener(
        count,
        &json!({"number": 3128, "protocol": "HTTP_PROXY"}),
        "",
    )
}

fn with_listener(count: usize, port: &Value, bind: &str) -> MeshView {
    let listener = json!({"port": port, "bind": bind, "hosts": ["*/*"]});
    with_sidecar(mesh(count), &json!([listener, {"hosts": ["*/*"]}]))
}

fn with_sidecar(mut view: MeshView, egress: &Value) -> MeshView {
    let sidecar = json!({
        "metadata": {"name": "default", "namespace": "payments"}, "spec": {"egress": egress},
    });
    view.upsert_sidecar(Sidecar::read(&sidecar).unwrap());
    view
}

/// `count` WorkloadEntries of the entry's namespace, of which another entry on the port selects ten.
fn workloads(count: usize) -> MeshView {
    with_workloads(mesh(FEW), count)
}

fn with_workloads(mut view: MeshView, count: usize) -> MeshView {
    for n in 0..count {
        let address = std::net::Ipv4Addr::from(u32::from_be_bytes([10, 160, 0, 0]) + n as u32);
        let workload = json!({
            "metadata": {"name": format!("workload-{n}"), "namespace": "payments"},
            "spec": {"address": address, "labels": {"app": format!("app-{}", n / 10), "tier": "vm"}},
        });
        view.upsert_workload_entry(WorkloadEntry::read(&workload).unwrap());
    }
    let selecting = json!({
        "metadata": {"name": "selecting", "namespace": "payments"},
        "spec": {
            "hosts": ["vm.test"], "resolution": "STATIC", "location": "MESH_INTERNAL",
            "ports": [{"number": 3128, "name": "p", "protocol": "TCP"}],
            "workloadSelector": {"labels": {"app": "app-0", "tier": "vm"}},
        },
    });
    view.upsert(serde_json::from_value::<ServiceEntry>(selecting).unwrap());
    view
}

/// `count` Sidecars of as many namespaces, from one template.
fn sidecars_alike(count: usize) -> MeshView {
    sidecars(count, |_| "./*".to_owned())
}

/// The same, each with something that no other shows.
fn sidecars_of_their_own(count: usize) -> MeshView {
    sidecars(count, |n| format!("own-{n}/*"))
}

/// Each proxy has a TCP entry, and `count` Sidecars show that and the reviewed entry: none captures anything, so that
/// TG013 looks for one that does.
fn sidecars(count: usize, own: impl Fn(usize) -> String) -> MeshView {
    let mut view = mesh(FEW);
    for n in 0..FEW {
        let object = json!({
            "metadata": {"name": format!("protects-{n}"), "namespace": "egress"},
            "spec": {
                "hosts": [format!("protects-{n}.test")], "addresses": [format!("10.20.0.{n}")],
                "ports": [{"number": 3128, "name": "p", "protocol": "TCP"}],
            },
        });
        view.upsert(serde_json::from_value::<ServiceEntry>(object).unwrap());
    }
    for n in 0..count {
        view.upsert_sidecar(
            Sidecar::read(&json!({
                "metadata": {"name": "default", "namespace": format!("shop-{n}")},
                "spec": {"egress": [{"hosts": [own(n), "payments/*", "egress/*"]}]},
            }))
            .unwrap(),
        );
    }
    view
}

/// `count` of all that can be in view at once.
pub(super) fn everything(count: usize) -> MeshView {
    let mut view = with_workloads(with_services(mesh(count), count), count);
    for n in 0..count {
        // The first of each is in the reviewed entry's namespace, where reviews find it.
        let namespace = match n {
            0 => "payments".to_owned(),
            _ => format!("team-{}", n % 500),
        };
        view.upsert_sidecar(sidecar(n, &namespace));
        view.upsert_destination_rule(DestinationRule::read(&json!({
            "metadata": {"name": format!("rule-{n}"), "namespace": namespace},
            "spec": {"host": format!("host-{n}.test"), "trafficPolicy": {"tls": {"mode": "SIMPLE"}}},
        })).unwrap());
    }
    view
}

/// A namespace has one for all of its workloads, and others that select some.
fn sidecar(n: usize, namespace: &str) -> Sidecar {
    let mut object = json!({
        "metadata": {"name": format!("sidecar-{n}"), "namespace": namespace},
        "spec": {"egress": [{"hosts": ["./*", "istio-system/*"]}]},
    });
    if n >= 500 {
        object["spec"]["workloadSelector"] = json!({"labels": {"app": format!("app-{n}")}});
    }
    Sidecar::read(&object).unwrap()
}
