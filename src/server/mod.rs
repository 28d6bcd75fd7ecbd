//! The webhook as the API server meets it: two addresses, TLS, HTTP, and an orderly end.
//!
//! What a review decides is none of this folder's business: it hands the bytes of a request to
//! the [`Review`] it was given, and sends back the [`Reply`].
//!
//! A connection passes through one file after the other: `listener` accepts it, `connections` keeps
//! it among the others, `tls` shakes hands, `connection` speaks HTTP over it, `header_deadline` and
//! `write_deadline` end it if its client stalls, and `routes` answers, with what `body` has read and
//! `capacity` has room for. `phase` is where the server is in its life.

mod activity;
mod awake;
mod body;
mod capacity;
mod connection;
mod connections;
mod guarded;
mod header_deadline;
mod health;
mod listener;
pub mod metrics;
mod phase;
mod review;
mod routes;
pub mod shutdown;
#[cfg(test)]
mod tests;
pub mod tls;
mod write_deadline;

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use self::{
    capacity::Capacity,
    connections::Bounds,
    listener::{Listener, Serves, Transport},
    metrics::{ConnectionMetrics, Metrics},
    phase::{Lifecycle, Phase},
    routes::Webhook,
    tls::{ServingCertificate, server_config},
};

pub use self::review::{Reply, Review, ReviewPath};

/// Where to listen, and how much to take on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// For reviews, over TLS.
    pub listen: SocketAddr,
    /// For probes and scrapes, over plain HTTP.
    pub health_listen: SocketAddr,
    /// How many connections may be open for reviews, at least one.
    pub connections: usize,
    /// How many reviews may be in flight, until the answer is sent, before more are told to come
    /// again.
    pub reviews: usize,
    /// How long a connection may wait for its client before it makes room for another.
    ///
    /// An honest client goes from dial to answer in milliseconds, over a bad network in a few
    /// hundred.
    pub patience: Duration,
}

/// A kubelet and some scrapers, each with a connection or two.
const HEALTH_CONNECTIONS: usize = 64;

/// Where a server really listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// For reviews, over TLS.
    pub webhook: SocketAddr,
    /// For probes and scrapes, over plain HTTP.
    pub health: SocketAddr,
}

/// Why a server could not be bound; the source says more.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address for reviews.
    #[error("cannot listen on {address} for reviews")]
    Webhook {
        /// The address asked for.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The address for probes.
    #[error("cannot listen on {address} for health probes")]
    Health {
        /// The address asked for.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The TLS provider lacks what is spoken: aws-lc has it.
    #[error("cannot speak TLS")]
    Tls(#[from] rustls::Error),
}

/// A webhook server whose addresses are bound.
pub struct Server {
    webhook: Listener,
    health: Listener,
    lifecycle: Lifecycle,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut server = f.debug_struct("Server");
        server.field("addresses", &self.addresses());
        server.finish_non_exhaustive()
    }
}

impl Server {
    /// Binds both addresses. Connections wait, unanswered, until [`Server::run`].
    ///
    /// Not ready while `certificate`, which it serves with, has ended.
    ///
    /// # Errors
    /// If an address cannot be bound.
    pub async fn bind(
        options: Options,
        certificate: Arc<ServingCertificate>,
        review: Review,
        metrics: Arc<Metrics>,
    ) -> Result<Self, BindError> {
        let tls = server_config(Arc::clone(&certificate))?;
        let lifecycle = Lifecycle::new();
        let capacity = Capacity::new(options.reviews);
        let patience = options.patience;
        let reviews = Serves {
            bounds: Bounds {
                connections: options.connections,
                patience,
            },
            pressed: capacity.pressed(),
            transport: Transport::Tls(TlsAcceptor::from(Arc::new(tls))),
            routes: routes::routes(Webhook {
                review,
                capacity,
                phase: lifecycle.view(),
                metrics: Arc::clone(&metrics),
            }),
            phase: lifecycle.view(),
            metrics: metrics.connections.clone(),
        };
        let probes = Serves {
            transport: Transport::Plain,
            routes: health::routes(lifecycle.view(), certificate, metrics),
            // Of a life that never begins and never ends: probes are answered to the last.
            phase: Lifecycle::new().view(),
            bounds: Bounds {
                connections: HEALTH_CONNECTIONS,
                patience,
            },
            pressed: Arc::default(),
            metrics: ConnectionMetrics::default(),
        };
        let (address, health) = (options.listen, options.health_listen);
        let webhook = Listener::bind(address, reviews).await;
        let webhook = webhook.map_err(|source| BindError::Webhook { address, source })?;
        let address = health;
        let health = Listener::bind(address, probes).await;
        let health = health.map_err(|source| BindError::Health { address, source })?;
        Ok(Self {
            webhook,
            health,
            lifecycle,
        })
    }

    /// The addresses bound, with the ports the system chose where port 0 was asked for.
    pub fn addresses(&self) -> Addresses {
        Addresses {
            webhook: self.webhook.address(),
            health: self.health.address(),
        }
    }

    /// Answers probes, and nothing else, until `ready` is done: what a review needs may take a while, and a
    /// process that is not found alive meanwhile is killed.
    pub async fn await_ready<T>(&mut self, ready: impl Future<Output = T>) -> T {
        tokio::select! {
            never = self.health.serve() => match never {},
            done = ready => done,
        }
    }

    /// Serves until `shutdown` ends, with how long to linger; then, in this order:
    ///
    /// 1. is no longer ready, but serves on for that long, ending each connection with an answer:
    ///    until every Service has heard of it, the API server goes on calling;
    /// 2. tells who still comes to dial anew, until nothing is in flight, for 10 s at most;
    /// 3. accepts no more, and closes the connections that rest.
    ///
    /// Probes are answered to the last. Dropping the future ends every connection at once.
    pub async fn run(self, shutdown: impl Future<Output = Duration>) {
        let Self {
            mut webhook,
            mut health,
            lifecycle,
        } = self;

        // Whoever could build a server has what a review needs.
        lifecycle.enter(Phase::Serving);
        let linger = tokio::select! {
            never = webhook.serve() => match never {},
            never = health.serve() => match never {},
            linger = shutdown => linger,
        };

        lifecycle.enter(Phase::Leaving);
        tokio::select! {
            never = webhook.serve() => match never {},
            never = health.serve() => match never {},
            () = sleep(linger) => {}
        }

        tokio::select! {
            never = health.serve() => match never {},
            () = end(webhook, &lifecycle) => {}
        }
    }
}

async fn end(mut webhook: Listener, lifecycle: &Lifecycle) {
    lifecycle.enter(Phase::Refusing);
    let begun = timeout(shutdown::DRAIN_LIMIT, webhook.serve_what_has_begun());
    if begun.await.is_err() {
        tracing::warn!("ending with requests still in flight after 10 s");
    }
    lifecycle.enter(Phase::Closing);
    // What has not ended by then has had its time; dropping it ends it.
    let _ = timeout(shutdown::CLOSE_LIMIT, webhook.close()).await;
}
