//! A bound address: accepts connections, and later lets them finish.
//!
//! Each connection runs in a task of its own from the moment it is accepted, TLS handshake
//! included, so that a client which says nothing holds up nobody but itself.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    time::{Instant, interval, sleep},
};
use tokio_rustls::TlsAcceptor;

use super::{
    activity::Activity,
    awake::Awake,
    connection::{self, Surroundings},
    connections::{Bounds, Connections},
    header_deadline::Protocol,
    metrics::{ConnectionMetrics, HandshakeFailure},
    phase::PhaseView,
    tls,
};

/// The pause after a failed accept: 5 ms, doubled each time up to 1 s, as Go's
/// `net/http.Server.Serve` does. With no file descriptor left (EMFILE) accept fails at once, and
/// goes on failing until some connection ends.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What lies between TCP and HTTP.
#[derive(Clone)]
pub(super) enum Transport {
    /// Nothing: HTTP/1 as it is.
    Plain,
    /// TLS, and the HTTP that both sides agree on.
    Tls(TlsAcceptor),
}

/// How often it is looked whether there is room again, or nothing left to answer.
const LOOK: Duration = Duration::from_millis(20);

/// A bound address with the connections accepted on it.
///
/// Dropping it ends them all.
pub(super) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    transport: Transport,
    routes: Router,
    surroundings: Surroundings,
    metrics: ConnectionMetrics,
    connections: Connections,
    awake: Awake,
    /// Told when a request found no room.
    pressed: Arc<Notify>,
    /// Accepted, and waits for a place since then.
    newcomer: Option<(TcpStream, SocketAddr, Instant)>,
}

/// What a listener serves, and within what bounds.
pub(super) struct Serves {
    pub(super) transport: Transport,
    pub(super) routes: Router,
    pub(super) phase: PhaseView,
    /// How many connections may be open, and for how long against others.
    pub(super) bounds: Bounds,
    /// Told when a request found no room.
    pub(super) pressed: Arc<Notify>,
    pub(super) metrics: ConnectionMetrics,
}

impl Listener {
    /// Binds `address`; the system keeps connections waiting from here on.
    pub(super) async fn bind(address: SocketAddr, serves: Serves) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let connections = Connections::new(serves.bounds, serves.metrics.clone());
        Ok(Self {
            address: socket.local_addr()?,
            socket,
            transport: serves.transport,
            routes: serves.routes,
            surroundings: Surroundings {
                phase: serves.phase,
                crowded: connections.crowded(),
            },
            connections,
            awake: Awake::watch(),
            metrics: serves.metrics,
            pressed: serves.pressed,
            newcomer: None,
        })
    }

    /// The address really bound, with the port the system chose where port 0 was asked for.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts and serves for ever. May be dropped at any point and called again.
    pub(super) async fn serve(&mut self) -> Infallible {
        loop {
            self.step().await;
        }
    }

    /// Serves on until nobody waits for an answer: no connection has begun anything, and none waits
    /// to be accepted.
    pub(super) async fn serve_what_has_begun(&mut self) {
        let mut look = interval(LOOK);
        loop {
            tokio::select! {
                // First, so that what the system has accepted already is not left behind.
                biased;
                () = self.step() => {}
                _ = look.tick() => {
                    if self.newcomer.is_none() && self.connections.all_rest() {
                        return;
                    }
                }
            }
        }
    }

    /// Accepts no more, and waits for the connections to end.
    pub(super) async fn close(self) {
        let Self {
            socket,
            mut connections,
            ..
        } = self;
        drop(socket);
        while connections.ended().await {}
    }

    /// Waits for one connection to come, to begin or to end.
    async fn step(&mut self) {
        let (connections, awake) = (&mut self.connections, self.awake.for_how_long());
        let admitted = self
            .newcomer
            .take_if(|(.., since)| connections.make_room(since.elapsed(), awake));
        if let Some((stream, peer, _)) = admitted {
            return self.admit(stream, peer);
        }
        let waits = self.newcomer.is_some();
        tokio::select! {
            (stream, peer) = accept(|| self.socket.accept()), if !waits => {
                self.newcomer = Some((stream, peer, Instant::now()));
            }
            true = self.connections.ended() => {}
            () = self.pressed.notified() => {
                self.connections.end_a_stalled_request(self.awake.for_how_long());
            }
            () = sleep(LOOK), if waits => {}
        }
    }

    fn admit(&mut self, stream: TcpStream, peer: SocketAddr) {
        send_at_once(&stream);
        let activity = Activity::begin();
        let connection = serve_connection(
            stream,
            peer,
            self.transport.clone(),
            self.routes.clone(),
            activity.clone(),
            self.surroundings.clone(),
            self.metrics.clone(),
        );
        self.connections.begin(activity, connection);
    }
}

/// The next connection. A failed accept is waited out, never returned: the listener outlives a
/// client that hung up as well as a shortage of file descriptors.
async fn accept<C, F>(mut next: impl FnMut() -> F) -> C
where
    F: Future<Output = io::Result<C>>,
{
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match next().await {
            Ok(connection) => return connection,
            Err(error) => error,
        };
        if gone_before_accepted(&error) {
            continue;
        }
        tracing::warn!(%error, "cannot accept a connection, trying again in {pause:?}");
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Linux reports a waiting connection's own error from accept(2). It says nothing about the
/// next one.
fn gone_before_accepted(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}

/// Without it Nagle's algorithm meets the client's delayed ACK, at 40 ms a review.
fn send_at_once(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
}

async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    transport: Transport,
    routes: Router,
    activity: Activity,
    surroundings: Surroundings,
    metrics: ConnectionMetrics,
) {
    let served = match transport {
        Transport::Plain => {
            let http1 = Protocol::Http1;
            connection::serve(stream, http1, routes, activity, surroundings).await
        }
        Transport::Tls(acceptor) => match tls::handshake(&acceptor, stream).await {
            Ok((stream, protocol)) => {
                connection::serve(stream, protocol, routes, activity, surroundings).await
            }
            Err(error) => return report(&error, peer, &metrics),
        },
    };
    if let Err(error) = served {
        tracing::debug!(%peer, error, "connection ended early");
    }
}

/// A client that refuses the certificate is the one failure that an operator has to act on.
fn report(error: &io::Error, peer: SocketAddr, metrics: &ConnectionMetrics) {
    let failure = tls::failure(error);
    metrics.handshake_failed(failure);
    match failure {
        HandshakeFailure::RefusedByClient => tracing::warn!(
            %peer, %error,
            "the client refused our certificate: is its caBundle this authority's?"
        ),
        _ => tracing::debug!(%peer, %error, "no TLS handshake"),
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, collections::VecDeque};

    use tokio::time::Instant;

    use super::*;
    use crate::server::phase::Lifecycle;

    /// Linux: too many open files in this process.
    const EMFILE: i32 = 24;

    /// Accepts with these results in turn, and says how long that took.
    async fn time_to_accept(results: impl IntoIterator<Item = io::Result<()>>) -> Duration {
        let results = RefCell::new(results.into_iter().collect::<VecDeque<_>>());
        let begin = Instant::now();
        accept(async || results.borrow_mut().pop_front().expect("a result")).await;
        begin.elapsed()
    }

    fn exhausted() -> io::Result<()> {
        Err(io::Error::from_raw_os_error(EMFILE))
    }

    #[tokio::test(start_paused = true)]
    async fn a_shortage_of_descriptors_is_waited_out_without_spinning() {
        let results = [exhausted(), exhausted(), exhausted(), Ok(())];
        assert_eq!(
            time_to_accept(results).await,
            Duration::from_millis(5 + 10 + 20)
        );
        // 5 ms · (2⁸ − 1) until the pause would pass 1 s, and 1 s from then on.
        let results = (0..10).map(|_| exhausted()).chain([Ok(())]);
        assert_eq!(
            time_to_accept(results).await,
            Duration::from_millis(1275 + 2 * 1000)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_hung_up_delays_nobody() {
        let gone = Err(io::Error::from(io::ErrorKind::ConnectionAborted));
        assert_eq!(time_to_accept([gone, Ok(())]).await, Duration::ZERO);
    }

    #[tokio::test]
    async fn answers_are_sent_at_once() {
        let lifecycle = Lifecycle::new();
        let serves = Serves {
            transport: Transport::Plain,
            routes: Router::new(),
            phase: lifecycle.view(),
            bounds: Bounds {
                connections: 1,
                patience: Duration::ZERO,
            },
            pressed: Arc::default(),
            metrics: ConnectionMetrics::default(),
        };
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind(address, serves).await.expect("a port");
        let client = TcpStream::connect(listener.address());
        let (_client, accepted) = tokio::join!(client, listener.socket.accept());
        let (stream, _) = accepted.expect("a connection");
        assert!(!stream.nodelay().expect("an option"));
        send_at_once(&stream);
        assert!(stream.nodelay().expect("an option"));
    }
}
