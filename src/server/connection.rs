//! One connection, from its first byte to its last: which HTTP it speaks and within what limits.

use std::{
    convert::Infallible, error::Error, future::poll_fn, pin::pin, task::Poll, time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use hyper::{Request, body::Incoming, service::Service, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    task::yield_now,
};

use super::{
    activity::{Activity, Stage},
    guarded::Guarded,
    header_deadline::{HeaderDeadline, Protocol},
    phase::{Phase, PhaseView},
    write_deadline::WriteDeadline,
};

/// How long a kept-alive HTTP/1 connection may rest.
///
/// The API server's pool closes it after 90 s (`IdleConnTimeout` of Go's
/// `net/http.DefaultTransport`, taken over by k8s.io/apimachinery/pkg/util/net/http.go); 30 s more
/// for a stalled network, so that the client is always the first to close. hyper counts this as
/// the time to read a header; the 10 s that a header may really take are [`HeaderDeadline`]'s.
const REST_LIMIT: Duration = Duration::from_secs(120);

/// How often an HTTP/2 peer must prove that it lives, and how soon: one that vanished is noticed
/// within 40 s, while the pool's 90 s for a resting connection stay the client's to decide.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_LIMIT: Duration = Duration::from_secs(10);

/// Over HTTP/2 the API server sends all reviews through few connections, so a low limit would
/// show as latency; but a client that never takes its answers holds one, of 1 to 2 KiB, per stream.
/// 100 is the least that RFC 9113 §6.5.2 recommends.
const STREAMS: u32 = 100;

/// The API server's header is below 1 KiB; this leaves room for what a proxy between adds.
const HEADER_LIST_SIZE: u32 = 16 * 1024;

/// What HTTP/1 may buffer of a header, or of a body that is read in pieces; hyper's own default is
/// 400 KiB a connection.
const BUFFER_SIZE: usize = 32 * 1024;

/// What a connection is told by the listener that accepted it.
#[derive(Clone, Debug)]
pub(super) struct Surroundings {
    /// Where the server is in its life.
    pub(super) phase: PhaseView,
    /// Whether a newcomer waits for a connection to end.
    pub(super) crowded: watch::Receiver<bool>,
}

impl Surroundings {
    /// Whether an answer should end its connection.
    fn want_it_ended(&self) -> bool {
        *self.crowded.borrow() || self.phase.current() >= Phase::Leaving
    }

    /// Waits for the moment at which a connection is told to take no more requests.
    ///
    /// HTTP/2 has a message for it that loses nothing (GOAWAY, RFC 9113 §6.8), so it is sent as
    /// soon as the server leaves, somebody waits for a place or the connection's own is needed, or
    /// once the connection is open if that is later. HTTP/1 has only `Connection: close` on an
    /// answer, and closing: a request on the wire at that moment is lost, so what rests is let rest
    /// until the end, or until its place is needed.
    async fn told_to_end(&mut self, protocol: Protocol, activity: &Activity) {
        match protocol {
            Protocol::Http1 => {
                tokio::select! {
                    () = self.phase.reached(Phase::Closing) => {}
                    () = activity.dismissed() => {}
                }
                // What the system has received is read first: the runtime asks it meanwhile.
                yield_now().await;
            }
            Protocol::Http2 => {
                tokio::select! {
                    () = self.phase.reached(Phase::Leaving) => {}
                    Ok(_) = self.crowded.wait_for(|crowded| *crowded) => {}
                    () = activity.dismissed() => {}
                }
                // Looked at whenever the connection has moved: it runs in the same task.
                poll_fn(|_| match activity.stage() {
                    Stage::Multiplexed => Poll::Ready(()),
                    _ => Poll::Pending,
                })
                .await;
            }
        }
    }
}

/// Serves requests from `stream` until either side closes it, or until the server's end has come
/// and the request in flight is answered.
///
/// # Errors
/// If the peer breaks the protocol, a limit, or the connection.
pub(super) async fn serve<S>(
    stream: S,
    protocol: Protocol,
    routes: Router,
    activity: Activity,
    mut surroundings: Surroundings,
) -> Result<(), Box<dyn Error + Send + Sync>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = HeaderDeadline::new(WriteDeadline::new(stream), protocol, activity.clone());
    let routes = TowerToHyperService::new(routes);
    let (progress, around) = (activity.clone(), surroundings.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let asked = Asked::begin(progress.clone());
        let response = routes.call(request);
        let around = around.clone();
        async move {
            let mut response = response.await?;
            match protocol {
                Protocol::Http1 => {
                    let ends = around.want_it_ended() || asked.0.is_dismissed();
                    drop(asked);
                    end_if_wanted(&mut response, ends);
                }
                // Flow control may keep it from being sent.
                Protocol::Http2 => {
                    response = response.map(|body| Body::new(Guarded::new(body, asked)));
                }
            }
            Ok::<_, Infallible>(response)
        }
    });
    let http = http(protocol);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // First: whether it is open is known once it has read.
        biased;
        ended = connection.as_mut() => return ended,
        () = surroundings.told_to_end(protocol, &activity) => {}
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}

/// A request that is not answered yet, or was given up.
struct Asked(Activity);

impl Asked {
    fn begin(activity: Activity) -> Self {
        activity.request_began();
        Self(activity)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.request_answered();
    }
}

/// Asks the client not to use the connection again; hyper closes it after the answer.
///
/// That goes with every 503, too: a retry should be dialled anew, since behind a Service only a
/// new connection may reach another Pod.
fn end_if_wanted(response: &mut Response, wanted: bool) {
    if response.status() == StatusCode::SERVICE_UNAVAILABLE || wanted {
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}

/// The protocol is known here, so hyper's own guess from the first bytes, which has no time
/// limit, is left out.
fn http(protocol: Protocol) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .max_buf_size(BUFFER_SIZE)
        .header_read_timeout(REST_LIMIT);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_LIMIT)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADER_LIST_SIZE);
    match protocol {
        Protocol::Http1 => http.http1_only(),
        Protocol::Http2 => http.http2_only(),
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::StatusCode, routing::post};
    use hyper::client::conn::{http1, http2};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        net::{TcpListener, TcpStream},
        task::JoinHandle,
        time::{Instant, sleep},
    };

    use super::*;
    use crate::server::phase::Lifecycle;

    /// The client's end of a connection, and the task that serves it and says how long it lasted.
    fn connect(protocol: Protocol) -> (DuplexStream, JoinHandle<Duration>) {
        let (client, server) = duplex(64 * 1024);
        let begin = Instant::now();
        let served = tokio::spawn(async move {
            serve_alone(server, protocol, Activity::begin()).await;
            begin.elapsed()
        });
        (client, served)
    }

    /// Serves a connection that nobody else wants.
    async fn serve_alone<S>(stream: S, protocol: Protocol, activity: Activity)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let routes = Router::new().route("/", post(async |body: String| body));
        let surroundings = Surroundings {
            phase: Lifecycle::new().view(),
            crowded: watch::channel(false).1,
        };
        let ended = serve(stream, protocol, routes, activity, surroundings).await;
        tracing::debug!(?ended);
    }

    fn request() -> Request<Body> {
        let request = Request::post("/").body(Body::from("review"));
        request.expect("a request")
    }

    #[tokio::test(start_paused = true)]
    async fn http1_rests_longer_than_the_clients_pool_keeps_it() {
        let (client, served) = connect(Protocol::Http1);
        let (mut sender, connection) = http1::handshake(TokioIo::new(client))
            .await
            .expect("a connection");
        tokio::spawn(connection);
        for _ in 0..3 {
            let response = sender.send_request(request()).await.expect("a response");
            assert_eq!(response.status(), StatusCode::OK);
            sleep(Duration::from_secs(95)).await;
        }
        let ended = served.await.expect("no panic");
        assert_eq!(ended, Duration::from_secs(2 * 95 + 120));
    }

    /// Over real sockets: what the system has received is not known before it is asked.
    #[tokio::test]
    async fn http1_that_is_asked_to_end_answers_what_has_arrived() {
        let request = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n1";
        for (requests_before, arrives) in [(0, false), (0, true), (1, false), (1, true)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("its address");
            let mut client = TcpStream::connect(address).await.expect("a connection");
            let (server, _) = listener.accept().await.expect("a connection");
            let activity = Activity::begin();
            let served = tokio::spawn(serve_alone(server, Protocol::Http1, activity.clone()));
            let mut answer = [0; 512];
            for _ in 0..requests_before {
                client.write_all(request).await.expect("written");
                assert_ne!(client.read(&mut answer).await.expect("an answer"), 0);
            }
            yield_now().await;
            let mut client = client.into_std().expect("a socket");
            if arrives {
                std::io::Write::write_all(&mut client, request).expect("written");
            }
            activity.dismiss();
            served.await.expect("no panic");
            let count = std::io::Read::read(&mut client, &mut answer).expect("an end");
            let answer = String::from_utf8_lossy(&answer[..count]);
            assert_eq!(answer.contains("connection: close"), arrives, "{answer}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn http1_header_that_stalls_ends_a_connection_that_was_in_use() {
        let (mut client, served) = connect(Protocol::Http1);
        let request = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n1";
        client.write_all(request).await.expect("written");
        let mut response = [0; 512];
        let count = client.read(&mut response).await.expect("a response");
        assert!(response[..count].starts_with(b"HTTP/1.1 200 OK\r\n"));

        sleep(Duration::from_secs(60)).await;
        client.write_all(b"POST /").await.expect("written");
        let ended = served.await.expect("no panic");
        assert_eq!(ended, Duration::from_secs(60 + 10));
    }

    #[tokio::test(start_paused = true)]
    async fn http2_rests_as_long_as_its_client_answers_pings() {
        let (client, served) = connect(Protocol::Http2);
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(client))
            .await
            .expect("a connection");
        let connection = tokio::spawn(connection);
        for _ in 0..3 {
            let response = sender.send_request(request()).await.expect("a response");
            assert_eq!(response.status(), StatusCode::OK);
            sleep(Duration::from_secs(95)).await;
        }
        assert!(!served.is_finished());
        connection.abort();
        served.await.expect("no panic");
    }

    #[tokio::test(start_paused = true)]
    async fn http2_peer_that_answers_no_ping_is_left() {
        let (mut client, served) = connect(Protocol::Http2);
        let preface_and_empty_settings = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        let written = client.write_all(preface_and_empty_settings).await;
        written.expect("written");
        let ended = served.await.expect("no panic");
        assert_eq!(ended, PING_INTERVAL + PING_LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn http1_client_that_takes_no_answer_is_left() {
        let (mut client, served) = connect(Protocol::Http1);
        let request = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n1";
        // Until the server takes no more, since its answers are in nobody's hands.
        while client.write_all(request).await.is_ok() {}
        let ended = served.await.expect("no panic");
        assert_eq!(ended, Duration::from_secs(10));
    }
}
