//! A bound address: accepts connections, and later lets them finish.
//!
//! Each connection runs in a task of its own from the moment it is accepted, TLS handshake
//! included, so that a client which says nothing holds up nobody but itself.

use std::{convert::Infallible, io, net::SocketAddr, time::Duration};

use axum::Router;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinError, JoinSet},
    time::sleep,
};
use tokio_rustls::TlsAcceptor;

use super::{connection, header_deadline::Protocol, tls};

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

/// A bound address with the connections accepted on it.
///
/// Dropping it ends them all.
pub(super) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    transport: Transport,
    routes: Router,
    graceful: GracefulShutdown,
    connections: JoinSet<()>,
}

impl Listener {
    /// Binds `address`; the system keeps connections waiting from here on.
    pub(super) async fn bind(
        address: SocketAddr,
        transport: Transport,
        routes: Router,
    ) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        Ok(Self {
            address: socket.local_addr()?,
            socket,
            transport,
            routes,
            graceful: GracefulShutdown::new(),
            connections: JoinSet::new(),
        })
    }

    /// The address really bound, with the port the system chose where port 0 was asked for.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts and serves for ever. May be dropped at any point and called again.
    pub(super) async fn serve(&mut self) -> Infallible {
        loop {
            tokio::select! {
                (stream, peer) = accept(|| self.socket.accept()) => {
                    let connection = serve_connection(
                        stream,
                        peer,
                        self.transport.clone(),
                        self.routes.clone(),
                        self.graceful.watcher(),
                    );
                    self.connections.spawn(connection);
                }
                Some(ended) = self.connections.join_next() => report(ended),
            }
        }
    }

    /// Accepts no more, closes resting connections, and waits for the others to be answered.
    pub(super) async fn drain(self) {
        let Self {
            socket,
            graceful,
            mut connections,
            ..
        } = self;
        drop(socket);
        graceful.shutdown().await;
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
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

async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    transport: Transport,
    routes: Router,
    watcher: Watcher,
) {
    // Nagle's algorithm against the client's delayed ACK costs 40 ms a review.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "cannot set TCP_NODELAY");
    }
    let served = match transport {
        Transport::Plain => connection::serve(stream, Protocol::Http1, routes, watcher).await,
        Transport::Tls(acceptor) => match tls::handshake(&acceptor, stream).await {
            Ok((stream, protocol)) => connection::serve(stream, protocol, routes, watcher).await,
            Err(error) if tls::refused_by_client(&error) => {
                return tracing::warn!(
                    %peer, %error,
                    "the client refused our certificate: is its caBundle this authority's?"
                );
            }
            Err(error) => return tracing::debug!(%peer, %error, "no TLS handshake"),
        },
    };
    if let Err(error) = served {
        tracing::debug!(%peer, error, "connection ended early");
    }
}

/// A connection's task returns nothing and is never cancelled while its listener lives: what can
/// be learnt from its end is a panic in the protocol code.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, collections::VecDeque};

    use tokio::time::Instant;

    use super::*;

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
}
