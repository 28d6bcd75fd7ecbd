//! SIGTERM under load: replica after replica is ended while clients ask without pause, and every
//! request is judged.
//!
//! The clients do what the API server does: they keep connections (HTTP/1.1 and HTTP/2) or dial
//! for each request, and send a request again only where it was answered with 503 and
//! `Retry-After`, at most ten times (k8s.io/client-go/rest/with_retry.go), or where it provably
//! never reached the server (`shouldRetryRequest`, Go's net/http/transport.go). One that was sent
//! and not answered is lost.

use std::sync::{
    Arc, RwLock,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use axum::body::{Body, to_bytes};
use hyper::{
    Request, StatusCode,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::task::{JoinSet, yield_now};

use super::serving::{Address, Serving};
use super::{review, seed};

/// What stands between the API server and the replicas: the one that new connections reach.
struct Service {
    backend: RwLock<Address>,
    answered: AtomicUsize,
    over: AtomicBool,
}

#[derive(Clone, Copy)]
enum Client {
    KeepsConnections,
    DialsEachTime,
    Multiplexes,
}

enum Connection {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_end_under_load_and_no_request_is_lost() {
    let mut replica = start();
    let service = Arc::new(Service {
        backend: RwLock::new(replica.address()),
        answered: AtomicUsize::new(0),
        over: AtomicBool::new(false),
    });
    use Client::{DialsEachTime, KeepsConnections, Multiplexes};
    let clients = [KeepsConnections, DialsEachTime, Multiplexes];
    let clients = clients.into_iter().flat_map(|client| [client; 3]);
    let mut clients: JoinSet<()> = clients
        .map(|client| ask_on_and_on(client, Arc::clone(&service)))
        .collect();

    for _ in 0..2 {
        service.answers(100, &mut clients).await;
        let next = start();
        replica.signal();
        // Calls come on until the Service has heard of it.
        replica.logged(&["SIGTERM", "serving on"]);
        service.answers(20, &mut clients).await;
        *service.backend.write().expect("a backend") = next.address();
        ended(std::mem::replace(&mut replica, next)).await;
    }
    service.over.store(true, Ordering::Relaxed);
    clients.join_all().await;
}

/// Serves on for five seconds after the signal: far longer than twenty answers take, after which
/// the Service has heard of it.
fn start() -> Serving {
    Serving::start_with(&["--drain-seconds", "5"])
}

/// Waits until a replica that was told has ended, without a word of worry.
async fn ended(mut replica: Serving) {
    let ended = tokio::task::spawn_blocking(move || replica.ended());
    let (status, log) = ended.await.expect("no panic");
    assert!(status.success(), "{status}: {log:?}");
    let worried = log.iter().find(|line| !line.contains("\"level\":\"INFO\""));
    assert_eq!(worried, None);
}

impl Service {
    /// Waits for some more answers; a client that ends before has lost a request.
    async fn answers(&self, count: usize, clients: &mut JoinSet<()>) {
        let target = self.answered.load(Ordering::Relaxed) + count;
        while self.answered.load(Ordering::Relaxed) < target {
            if let Some(ended) = clients.try_join_next() {
                ended.expect("no request is lost");
            }
            yield_now().await;
        }
    }

    fn address(&self) -> Address {
        self.backend.read().expect("a backend").clone()
    }
}

async fn ask_on_and_on(client: Client, service: Arc<Service>) {
    let asked = review("CREATE", &seed("default"), &Value::Null).to_string();
    let mut kept = None;
    while !service.over.load(Ordering::Relaxed) {
        let mut attempts = 0;
        loop {
            let connection = match kept.take() {
                Some(connection) => connection,
                None => dial(client, &service.address()).await,
            };
            let Some((status, connection)) = connection.ask(&asked).await else {
                continue;
            };
            kept = connection.filter(|_| !matches!(client, Client::DialsEachTime));
            if status == StatusCode::OK {
                break;
            }
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
            attempts += 1;
            assert!(attempts <= 10, "the API server would have given up");
        }
        service.answered.fetch_add(1, Ordering::Relaxed);
    }
}

async fn dial(client: Client, address: &Address) -> Connection {
    let protocol: &[u8] = match client {
        Client::Multiplexes => b"h2",
        _ => b"http/1.1",
    };
    let stream = address.tls(protocol).await;
    let stream = TokioIo::new(stream.expect("a connection"));
    match client {
        Client::Multiplexes => {
            let executor = TokioExecutor::new();
            let (sender, connection) = http2::handshake(executor, stream).await.expect("HTTP/2");
            tokio::spawn(connection);
            Connection::Http2(sender)
        }
        _ => {
            let (sender, connection) = http1::handshake(stream).await.expect("HTTP/1");
            tokio::spawn(connection);
            Connection::Http1(sender)
        }
    }
}

impl Connection {
    /// A status, and the connection if it may be used again; nothing if the request never got to
    /// the server.
    async fn ask(mut self, review: &str) -> Option<(StatusCode, Option<Self>)> {
        let request = Request::post("/validate?timeout=10s").header("host", "x");
        let request = request
            .body(Body::from(review.to_owned()))
            .expect("a request");
        let response = match &mut self {
            Self::Http1(sender) => sender.send_request(request).await,
            Self::Http2(sender) => sender.send_request(request).await,
        };
        let response = match response {
            Err(error) if never_sent(&error) => return None,
            response => response.expect("a request that is lost fails its user"),
        };
        let status = response.status();
        let closes = response.headers().contains_key("connection");
        if status == StatusCode::SERVICE_UNAVAILABLE {
            assert!(response.headers().contains_key("retry-after"));
        }
        let body = to_bytes(Body::new(response.into_body()), usize::MAX).await;
        body.expect("a whole answer");
        let usable = match &mut self {
            Self::Http1(sender) => !closes && sender.ready().await.is_ok(),
            Self::Http2(sender) => sender.ready().await.is_ok(),
        };
        Some((status, usable.then_some(self)))
    }
}

/// The connection had ended before the request was written, or an HTTP/2 server said in its GOAWAY
/// that it had not looked at it (RFC 9113 §6.8).
fn never_sent(error: &hyper::Error) -> bool {
    error.is_canceled() || format!("{error:?}").contains("GoAway(b\"\", NO_ERROR, Remote)")
}
