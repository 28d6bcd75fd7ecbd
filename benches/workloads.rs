//! What the index of workloads holds of a large cluster, and how long it takes to read it.
//!
//! The Pods come one at a time, as a list is read, each in the size that the API server sends.

#![allow(
    clippy::unwrap_used,
    reason = "a benchmark that cannot set up has nothing to measure"
)]

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use tunnelguard::discovery::index::{Index, Pod};
use tunnelguard::discovery::observed::observe;
use tunnelguard::discovery::pods::PodReader;
use tunnelguard::policy::proxy::ProxyIndex;

const PODS: usize = 100_000;
const PROXIES: usize = 50;

/// Of a Deployment of so many.
const REPLICAS: [usize; 2] = [10, 1];

/// The argument with which a process measures.
const MEASURE: &str = "--measure";

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != MEASURE);
    if let Some(replicas) = arguments.nth(1) {
        return measure(replicas.parse().unwrap());
    }
    println!("\nMemory of an index of {PODS} Pods that use {PROXIES} proxies; goal: 40 MiB.\n");
    println!(
        "{:>15}   {:>7}   {:>7}   {:>9}   {:>9}",
        "Pods a workload", "listed", "again", "read", "join"
    );
    for replicas in REPLICAS {
        // In a process of its own: what another freed would count for nothing.
        let mut measuring = Command::new(std::env::current_exe().unwrap());
        let ended = measuring.args([MEASURE, &replicas.to_string()]).status();
        assert!(ended.unwrap().success());
    }
}

fn measure(replicas: usize) {
    let before = resident();
    let mut reader = PodReader::default();
    let mut reading = Duration::ZERO;
    let mut pods: Vec<Pod> = Vec::new();
    for number in 0..PODS {
        let text = pod(number, replicas);
        let begin = Instant::now();
        let pod = serde_json::from_str(&text).unwrap();
        pods.extend(reader.read(&pod));
        reading += begin.elapsed();
    }
    let begin = Instant::now();
    let mut index = Index::default();
    index.list(pods, |_| false);
    reading += begin.elapsed();
    let once = resident() - before;
    let begin = Instant::now();
    let mut proxies = ProxyIndex::default();
    observe(&mut proxies, &index, |_| Vec::new());
    let joining = begin.elapsed();
    assert_eq!(proxies.all().len(), PROXIES);
    let workloads: usize = proxies.all().iter().map(|p| p.users.workloads).sum();
    assert_eq!(workloads, PODS / replicas);
    // A second list, as after a watch that could not be resumed: all that it holds is there twice for a moment.
    let pods = (0..PODS).filter_map(|number| {
        let pod = serde_json::from_str(&pod(number, replicas)).unwrap();
        reader.read(&pod)
    });
    let pods: Vec<Pod> = pods.collect();
    let held = resident() - before;
    index.list(pods, |_| false);
    println!(
        "{replicas:>15}   {once:>7.1}   {:>7.1}   {:>7.2} s   {:>6.1} ms",
        held.max(resident() - before),
        reading.as_secs_f64(),
        joining.as_secs_f64() * 1e3,
    );
}

/// A Pod as the API server sends it, with the environment of one of [`PROXIES`].
fn pod(number: usize, replicas: usize) -> String {
    let workload = number / replicas;
    let hash = format!("{:x}", 0x5d9c_7b6f_usize + workload);
    let deployment = format!("service-{workload}");
    let namespace = format!("namespace-{}", workload % 500);
    let url = format!(
        "http://svc:secret@proxy-{}.corp.example.com:3128/",
        workload % PROXIES
    );
    let more =
        (0..20).map(|n| json!({"name": format!("SETTING_{n}"), "value": format!("{number}-{n}")}));
    let mut env: Vec<_> = more.collect();
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"] {
        env.push(json!({"name": name, "value": url}));
    }
    env.push(
        json!({"name": "NO_PROXY", "value": ".svc,.cluster.local,10.0.0.0/8,169.254.169.254"}),
    );
    let managed =
        json!({"f:spec": {"f:containers": {"k:{\"name\":\"main\"}": {"f:env": "x".repeat(1500)}}}});
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("{deployment}-{hash}-{number:05}"), "namespace": namespace,
            "uid": format!("{number:08}-3c39-4b9e-8d6e-0f3c1a2b4c5d"), "resourceVersion": number.to_string(),
            "labels": {"app": deployment, "pod-template-hash": hash},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{deployment}-{hash}"),
                "uid": "7d1b8f0a-3c39-4b9e-8d6e-0f3c1a2b4c5d", "controller": true}],
            "managedFields": [{"manager": "kube-controller-manager", "operation": "Update", "fieldsV1": managed}],
        },
        "spec": {"containers": [
            {"name": "main", "image": "registry.example.com/main:1", "env": env},
            {"name": "istio-proxy", "image": "proxyv2", "args": ["proxy", "sidecar"], "env": [{"name": "PROXY_CONFIG", "value": "{}"}]},
        ]},
        "status": {"phase": "Running", "podIP": "10.1.2.3"},
    })
    .to_string()
}

/// Resident memory in MiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib: f64 = line
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    kib / 1024.0
}
