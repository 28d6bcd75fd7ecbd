//! What a whole `tunnelguard serve` holds in a large cluster: at rest, and at the most while it lists everything
//! once more, as after a watch that is too old.
//!
//! The API server is a function that knows Pods and ServiceEntries, in the size that a real one sends, and has
//! none of everything else.

#![allow(
    clippy::unwrap_used,
    reason = "a benchmark that cannot set up has nothing to measure"
)]

#[path = "../entry/mod.rs"]
mod entry;
#[path = "../pods/mod.rs"]
mod pods;
#[path = "../resident/mod.rs"]
mod resident;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::Body;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, watch};

const OBJECTS: usize = 100_000;

/// Of a Deployment of so many.
const REPLICAS: usize = 10;

/// Pods and ServiceEntries.
const KINDS: usize = 2;

fn main() {
    let runtime = Runtime::new().unwrap();
    let (api_server, cluster) = runtime.block_on(start());
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("kubeconfig");
    fs::write(&kubeconfig, kubeconfig_for(api_server)).unwrap();
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let health = free.local_addr().unwrap().to_string();
    drop(free);
    let mut serve = Command::new(env!("CARGO_BIN_EXE_tunnelguard"));
    serve
        .env_clear()
        .arg("serve")
        .arg("--kubeconfig")
        .arg(&kubeconfig);
    serve.args(["--listen", "127.0.0.1:0", "--health-listen", &health]);
    let serve = serve.stdout(Stdio::null()).env("TUNNELGUARD_LOG", "warn");
    let serve = Serving(serve.spawn().unwrap());

    println!(
        "\nMiB of `serve` with {OBJECTS} Pods and {OBJECTS} ServiceEntries, RSS and its anonymous part.\n"
    );
    runtime.block_on(cluster.watched(KINDS));
    serve.print("listed");
    cluster.too_old.notify_waiters();
    runtime.block_on(cluster.watched(2 * KINDS));
    serve.print("listed again");
}

/// What is known of the one who asks.
struct Cluster {
    /// How many watches have begun.
    watches: watch::Sender<usize>,
    /// Ends those.
    too_old: Notify,
    begun: AtomicUsize,
}

impl Cluster {
    async fn watched(&self, times: usize) {
        let mut watches = self.watches.subscribe();
        watches.wait_for(|watches| *watches >= times).await.unwrap();
    }

    async fn watch(&self) -> Response {
        let ended = self.too_old.notified();
        self.watches.send_modify(|watches| *watches += 1);
        match self.begun.fetch_add(1, Ordering::Relaxed) < KINDS {
            true => ended.await,
            false => std::future::pending().await,
        }
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410, "message": "too old"});
        Body::from(format!("{}\n", json!({"type": "ERROR", "object": status}))).into_response()
    }
}

async fn start() -> (SocketAddr, Arc<Cluster>) {
    let cluster = Arc::new(Cluster {
        watches: watch::Sender::new(0),
        too_old: Notify::new(),
        begun: AtomicUsize::new(0),
    });
    let asked = Arc::clone(&cluster);
    let answer = move |uri: Uri| {
        let cluster = Arc::clone(&asked);
        async move { answer(&uri, &cluster).await }
    };
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, cluster)
}

async fn answer(uri: &Uri, cluster: &Cluster) -> Response {
    let query = uri.query().unwrap_or_default();
    let is_watch = query.contains("watch=true");
    let object: fn(usize) -> String = match uri.path() {
        "/api/v1/pods" => |number| pods::pod(number, REPLICAS),
        "/apis/networking.istio.io/v1/serviceentries" => entry,
        _ if is_watch => return std::future::pending().await,
        // A Lease, which nobody holds or may.
        path if path.contains("/leases") => return StatusCode::NOT_FOUND.into_response(),
        _ => return list(0, 0, |_| String::new()),
    };
    if is_watch {
        return cluster.watch().await;
    }
    let number = |key: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let value = pairs.find(|pair| pair.0 == key);
        value.and_then(|pair| pair.1.parse::<usize>().ok())
    };
    let from = number("continue").unwrap_or(0);
    list(from, OBJECTS.min(from + number("limit").unwrap()), object)
}

fn list(from: usize, to: usize, object: fn(usize) -> String) -> Response {
    let is_last = to == 0 || to == OBJECTS;
    let next = if is_last {
        String::new()
    } else {
        to.to_string()
    };
    let metadata = json!({"resourceVersion": "1", "continue": next});
    let items: Vec<String> = (from..to).map(object).collect();
    let items = items.join(",");
    format!(r#"{{"apiVersion":"v1","kind":"List","metadata":{metadata},"items":[{items}]}}"#)
        .into_response()
}

/// Each of its own host and address, in one of 500 namespaces.
fn entry(number: usize) -> String {
    static TEMPLATE: LazyLock<String> =
        LazyLock::new(|| entry::entry("<host>", "<address>", 443, "TLS"));
    let [.., high, middle, low] = number.to_be_bytes();
    TEMPLATE
        .replace("corporate-proxy", &format!("entry-{number}"))
        .replace("payments", &format!("namespace-{}", number % 500))
        .replace("<host>", &format!("service-{number}.example.com"))
        .replace("<address>", &format!("10.{high}.{middle}.{low}"))
}

fn kubeconfig_for(api_server: SocketAddr) -> String {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": format!("http://{api_server}")}}],
        "users": [{"name": "c", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
    })
    .to_string()
}

/// Ends with this value.
struct Serving(Child);

impl Serving {
    fn print(&self, when: &str) {
        let [now, anonymous, most] = resident::mib(self.0.id(), ["VmRSS", "RssAnon", "VmHWM"]);
        println!("{when:>15}   {now:.0}, {anonymous:.0}; {most:.0} at the most");
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Fails only where it has ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
