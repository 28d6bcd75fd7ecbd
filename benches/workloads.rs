//! What the index of workloads holds of a large cluster, and what the watch that fills it takes besides.
//!
//! The Pods come in the size that the API server sends: one at a time, which leaves the index alone; and in the
//! pages of a list, through the client, the watcher and the reader of `serve`, from an API server that is a
//! function.

#![allow(
    clippy::unwrap_used,
    reason = "a benchmark that cannot set up has nothing to measure"
)]

mod pods;
mod resident;

use std::process::{self, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::http::Uri;
use axum::response::{IntoResponse as _, Response};
use k8s_openapi::api::core::v1;
use kube::core::DeserializeGuard;
use kube::{Api, Client};
use serde_json::json;
use tunnelguard::discovery::index::{Index, Pod};
use tunnelguard::discovery::observed::observe;
use tunnelguard::discovery::pods::PodReader;
use tunnelguard::discovery::watch::{Kind, News, follow, well_formed};
use tunnelguard::policy::proxy::ProxyIndex;

use pods::{PROXIES, pod};

const PODS: usize = 100_000;

/// Of a Deployment of so many.
const REPLICAS: [usize; 2] = [10, 1];

/// The argument with which a process measures.
const MEASURE: &str = "--measure";

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != MEASURE);
    if let (Some(what), Some(replicas)) = (arguments.nth(1), arguments.next()) {
        let replicas = replicas.parse().unwrap();
        return match &*what {
            "index" => measure_index(replicas),
            _ => measure_watch(replicas),
        };
    }
    println!("\nMiB for {PODS} Pods that use {PROXIES} proxies; goal: 40.\n");
    println!("{:>15}   the index alone", "Pods a workload");
    for replicas in REPLICAS {
        in_a_process("index", replicas);
    }
    println!("{:>15}   with the watch", "");
    for replicas in REPLICAS {
        in_a_process("watch", replicas);
    }
}

/// Where what another freed counts for nothing.
fn in_a_process(what: &str, replicas: usize) {
    let mut measuring = Command::new(std::env::current_exe().unwrap());
    let ended = measuring
        .args([MEASURE, what, &replicas.to_string()])
        .status();
    assert!(ended.unwrap().success());
}

fn measure_index(replicas: usize) {
    let before = resident("VmRSS");
    let mut reader = PodReader::default();
    let begin = Instant::now();
    let mut index = Index::default();
    index.list(read_one_by_one(&mut reader, replicas), |_| false);
    let reading = begin.elapsed();
    let listed = resident("VmRSS") - before;
    let begin = Instant::now();
    assert_users(&index, replicas);
    let joining = begin.elapsed();
    // A second list, as after a watch that could not be resumed: all that it holds is there twice for a moment.
    let pods = read_one_by_one(&mut reader, replicas);
    let held = resident("VmRSS") - before;
    index.list(pods, |_| false);
    println!(
        "{replicas:>15}   {listed:.1} listed, {:.1} listed again; read in {:.2} s, joined in {:.1} ms",
        held.max(resident("VmRSS") - before),
        reading.as_secs_f64(),
        joining.as_secs_f64() * 1e3,
    );
}

fn read_one_by_one(reader: &mut PodReader, replicas: usize) -> Vec<Pod> {
    let pods = (0..PODS).filter_map(|number| {
        let pod = serde_json::from_str(&pod(number, replicas)).unwrap();
        reader.read(&pod)
    });
    pods.collect()
}

fn assert_users(index: &Index, replicas: usize) {
    let mut proxies = ProxyIndex::default();
    observe(&mut proxies, index, |_| Vec::new());
    assert_eq!(proxies.all().len(), PROXIES);
    let workloads: usize = proxies.all().iter().map(|p| p.users.workloads).sum();
    assert_eq!(workloads, PODS / replicas);
}

fn measure_watch(replicas: usize) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    let client = cluster(replicas);
    let before = resident("VmRSS");
    let index = Arc::new(Mutex::new(Index::default()));
    let reader = Mutex::new(PodReader::default());
    let read = move |pod| Ok(reader.lock().unwrap().read(&well_formed(pod)?));
    let (telling, told) = mpsc::channel();
    let listed = Arc::clone(&index);
    let tell = move |news| {
        if let News::Listed(pods) = news {
            listed.lock().unwrap().list(pods, |_| false);
            telling.send(resident("VmRSS")).unwrap();
        }
    };
    let api: Api<DeserializeGuard<v1::Pod>> = Api::all(client);
    let _known = follow(Kind::all("Pods", api), read, tell);
    let listed: [f64; 2] = [(), ()].map(|()| told.recv().unwrap() - before);
    assert_users(&index.lock().unwrap(), replicas);
    println!(
        "{replicas:>15}   {:.1} listed, {:.1} listed again, {:.1} at the most",
        listed[0],
        listed[1],
        resident("VmHWM") - before,
    );
}

/// An API server that lists these Pods in the pages that are asked for, and breaks the first watch.
fn cluster(replicas: usize) -> Client {
    let was_watched = Arc::new(AtomicBool::new(false));
    let answer = move |uri: Uri| {
        let was_watched = Arc::clone(&was_watched);
        async move {
            let query = uri.query().unwrap_or_default().to_owned();
            match query.contains("watch=true") {
                true if was_watched.swap(true, Ordering::Relaxed) => std::future::pending().await,
                true => gone(),
                false => page(&query, replicas),
            }
        }
    };
    Client::new(Router::new().fallback(answer), "default")
}

fn page(query: &str, replicas: usize) -> Response {
    let number = |key: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .find(|pair| pair.0 == key)
            .and_then(|pair| pair.1.parse::<usize>().ok())
    };
    let from = number("continue").unwrap_or(0);
    let to = PODS.min(from + number("limit").unwrap());
    let next = if to < PODS {
        to.to_string()
    } else {
        String::new()
    };
    let pods: Vec<String> = (from..to).map(|number| pod(number, replicas)).collect();
    let metadata = json!({"resourceVersion": "1", "continue": next});
    let pods = pods.join(",");
    format!(r#"{{"apiVersion":"v1","kind":"PodList","metadata":{metadata},"items":[{pods}]}}"#)
        .into_response()
}

/// The API server does not remember what came after the list.
fn gone() -> Response {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410, "message": "too old"});
    let event = json!({"type": "ERROR", "object": status});
    Body::from(format!("{event}\n")).into_response()
}

/// As [`resident::mib`], of this process.
fn resident(line: &str) -> f64 {
    let [size] = resident::mib(process::id(), [line]);
    size
}
