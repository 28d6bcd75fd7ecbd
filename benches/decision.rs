//! The decision core, measured as ratios in one run.
//!
//! The yardstick is skipping over the same JSON once (`serde::de::IgnoredAny`): no reader of the
//! entry can be faster. The core reads the entry, evaluates every check and judges. `make bench`
//! prints criterion's figures and, at the end, the ratios that docs/performance.md quotes.

#![allow(
    clippy::unwrap_used,
    reason = "a benchmark that cannot set up has nothing to measure"
)]

mod entry;

use std::hint::black_box;
use std::path::PathBuf;

use criterion::{BenchmarkId, Criterion};
use jiff::civil::date;
use kube::api::DynamicObject;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tunnelguard::discovery::mesh::{MeshKind, MeshObject};
use tunnelguard::mesh::kubernetes::{EndpointSlice, read_service, with_slices};
use tunnelguard::mesh::{Environment, MeshView, ServiceEntry};
use tunnelguard::policy::proxy::{Evidence, Proxy, ProxyIndex, Users};
use tunnelguard::policy::verdict::judge;
use tunnelguard::policy::{Context, PolicySet, evaluate};

use entry::entry;

const PROXIES: [usize; 4] = [1, 100, 10_000, 100_000];
const ENTRIES: [usize; 3] = [100, 10_000, 100_000];

/// `count` proxies; the first is the one that the entries claim, and ports are shared by a
/// hundred each.
fn policies(count: usize) -> PolicySet {
    let proxies = (0..count).map(|n| {
        let address = std::net::Ipv4Addr::from(u32::from_be_bytes([10, 20, 0, 0]) + n as u32);
        Proxy {
            name: format!("proxy-{n}").into(),
            policy: "".into(),
            evidence: Evidence::Declared,
            hosts: vec![format!("proxy-{n}.corp").into()],
            addresses: vec![std::net::IpAddr::from(address).into()],
            ports: vec![3128 + (n / 100) as u16],
            tls: false,
            tunnel: false,
            users: Users::default(),
        }
    });
    let mut set = PolicySet::built_in();
    set.proxies = ProxyIndex::new(proxies.collect());
    set
}

/// Reads, evaluates, judges: what one review costs beside reading its envelope.
fn decide(text: &str, policies: &PolicySet, mesh: &MeshView, sees_mesh: bool) -> usize {
    let entry: ServiceEntry = serde_json::from_str(text).unwrap();
    let context = Context {
        policies,
        mesh,
        sees_mesh,
        namespaces: None,
        environment: Environment {
            names: Some(policies.proxies.names()),
            ..Environment::default()
        },
    };
    let findings = evaluate(&entry, context);
    let verdict = judge(findings, &entry, None, &context, date(2026, 11, 21));
    verdict.denied.len() + verdict.warned.len()
}

/// `count` entries on the same port: HTTP, TCP and ranges of other hosts, in many namespaces.
fn mesh(count: usize) -> MeshView {
    let mut view = MeshView::new();
    for n in 0..count {
        let address = std::net::Ipv4Addr::from(u32::from_be_bytes([10, 128, 0, 0]) + n as u32);
        let (protocol, address) = match n % 3 {
            0 => ("HTTP", address.to_string()),
            1 => ("TCP", address.to_string()),
            _ => ("TCP", format!("{address}/32")),
        };
        let object = json!({
            "metadata": {"name": format!("entry-{n}"), "namespace": format!("team-{}", n % 500)},
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
    let mut view = MeshView::new();
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
        let slice = EndpointSlice::read(&slice).unwrap();
        view.upsert(with_slices(read_service(&service).unwrap(), &[&slice]));
    }
    view
}

/// An entry of its own host and address, as the API server sends it.
fn stored(n: u32) -> String {
    let address = std::net::Ipv4Addr::from(u32::from_be_bytes([10, 128, 0, 0]) + n);
    let text = entry(&format!("host-{n}.test"), &address.to_string(), 3128, "TCP");
    let name = format!("\"name\":\"entry-{n}\"");
    text.replacen("\"name\":\"corporate-proxy\"", &name, 1)
}

/// A view of entries, from what the API server sends of them.
fn build(texts: &[String]) -> MeshView {
    let mut view = MeshView::new();
    for text in texts {
        let object: DynamicObject = serde_json::from_str(text).unwrap();
        if let Ok(Some(MeshObject::ServiceEntry(entry))) = MeshKind::ServiceEntry.read(object) {
            view.upsert(entry);
        }
    }
    view
}

fn bench(criterion: &mut Criterion) {
    let ordinary = entry("api.partner.example", "203.0.113.7", 8443, "HTTPS");
    let correct = entry("proxy-0.corp", "10.20.0.0", 3128, "TCP");
    let broken = entry("proxy-0.corp", "10.20.0.0", 3128, "HTTP");
    let nothing = MeshView::new();

    let mut group = criterion.benchmark_group("decision");
    group.bench_function("skip", |b| {
        b.iter(|| serde_json::from_str::<IgnoredAny>(black_box(&correct)).unwrap());
    });
    for count in PROXIES {
        let policies = policies(count);
        for (name, text) in [
            ("ordinary", &ordinary),
            ("correct", &correct),
            ("broken", &broken),
        ] {
            group.bench_function(BenchmarkId::new(name, count), |b| {
                b.iter(|| decide(black_box(text), &policies, &nothing, false));
            });
        }
    }
    let policies = policies(100);
    for count in ENTRIES {
        let mesh = mesh(count);
        for (name, text) in [("view-correct", &correct), ("view-broken", &broken)] {
            group.bench_function(BenchmarkId::new(name, count), |b| {
                b.iter(|| decide(black_box(text), &policies, &mesh, true));
            });
        }
    }
    for count in ENTRIES {
        let mesh = services(count);
        for (name, text) in [("services-correct", &correct), ("services-broken", &broken)] {
            group.bench_function(BenchmarkId::new(name, count), |b| {
                b.iter(|| decide(black_box(text), &policies, &mesh, true));
            });
        }
    }
    let texts: Vec<String> = (0..100_000).map(stored).collect();
    group.sample_size(10);
    group.bench_function("build", |b| b.iter(|| build(black_box(&texts))));
    group.finish();
    println!("\nThe entry has {} bytes.", correct.len());
}

/// The median of one benchmark of this run, in nanoseconds.
fn median(name: &str) -> Option<f64> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let path = target
        .join("criterion/decision")
        .join(name)
        .join("new/estimates.json");
    let estimates: Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    estimates["median"]["point_estimate"].as_f64()
}

fn ratios() {
    let rows = [
        ("ordinary entry, 100 proxies ÷ skip", "ordinary/100", "skip"),
        ("correct entry, 100 proxies ÷ skip", "correct/100", "skip"),
        ("broken entry, 100 proxies ÷ skip", "broken/100", "skip"),
        (
            "ordinary entry, 100,000 ÷ 100 proxies",
            "ordinary/100000",
            "ordinary/100",
        ),
        (
            "correct entry, 100,000 ÷ 100 proxies",
            "correct/100000",
            "correct/100",
        ),
        (
            "broken entry, 100,000 ÷ 100 proxies",
            "broken/100000",
            "broken/100",
        ),
        (
            "correct entry, 100,000 ÷ 100 entries in view",
            "view-correct/100000",
            "view-correct/100",
        ),
        (
            "broken entry, 100,000 ÷ 100 entries in view",
            "view-broken/100000",
            "view-broken/100",
        ),
        (
            "correct entry, 100,000 ÷ 100 Services in view",
            "services-correct/100000",
            "services-correct/100",
        ),
        (
            "broken entry, 100,000 ÷ 100 Services in view",
            "services-broken/100000",
            "services-broken/100",
        ),
    ];
    if let Some(build) = median("build") {
        let seconds = build / 1e9;
        println!("\nA view of 100,000 entries is built in {seconds:.2} s, reading them included.");
    }
    println!("\n{:<48} {:>8}", "ratio of medians in this run", "");
    for (label, a, b) in rows {
        match (median(a), median(b)) {
            (Some(a), Some(b)) => println!("{label:<48} {:>8.2}   ({a:.0} ns ÷ {b:.0} ns)", a / b),
            _ => println!("{label:<48} {:>8}", "not run"),
        }
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    bench(&mut criterion);
    criterion.final_summary();
    if std::env::args().any(|argument| argument == "--bench") {
        ratios();
    }
}
