//! The webhook as the API server meets it: two addresses, TLS, HTTP, and an orderly end.
//!
//! What a review decides is none of this folder's business: it hands the bytes of a request to
//! the [`Review`] it was given, and sends back the [`Reply`].
//!
//! A connection passes through one file after the other: `listener` accepts it, `tls` shakes
//! hands, `connection` speaks HTTP over it, `header_deadline` ends it if its client stalls, and
//! `routes` answers.

mod connection;
mod header_deadline;
mod health;
mod listener;
mod routes;
pub mod shutdown;
#[cfg(test)]
mod tests;
pub mod tls;

use std::{fmt, io, net::SocketAddr, sync::Arc};

use rustls::ServerConfig;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use self::{
    health::Readiness,
    listener::{Listener, Transport},
};

pub use self::routes::{Reply, Review, ReviewPath};

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// For reviews, over TLS.
    pub listen: SocketAddr,
    /// For probes, over plain HTTP.
    pub health_listen: SocketAddr,
}

/// Where a server really listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// For reviews, over TLS.
    pub webhook: SocketAddr,
    /// For probes, over plain HTTP.
    pub health: SocketAddr,
}

/// An address that could not be bound; the source says why.
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
}

/// A webhook server whose addresses are bound.
pub struct Server {
    webhook: Listener,
    health: Listener,
    readiness: Readiness,
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
    /// # Errors
    /// If an address cannot be bound.
    pub async fn bind(
        options: Options,
        tls: ServerConfig,
        review: Review,
    ) -> Result<Self, BindError> {
        let Options {
            listen,
            health_listen,
        } = options;
        let readiness = Readiness::default();

        let transport = Transport::Tls(TlsAcceptor::from(Arc::new(tls)));
        let webhook = Listener::bind(listen, transport, routes::routes(review)).await;
        let webhook = webhook.map_err(|source| BindError::Webhook {
            address: listen,
            source,
        })?;

        let probes = health::routes(readiness.clone());
        let health = Listener::bind(health_listen, Transport::Plain, probes).await;
        let health = health.map_err(|source| BindError::Health {
            address: health_listen,
            source,
        })?;

        Ok(Self {
            webhook,
            health,
            readiness,
        })
    }

    /// The addresses bound, with the ports the system chose where port 0 was asked for.
    pub fn addresses(&self) -> Addresses {
        Addresses {
            webhook: self.webhook.address(),
            health: self.health.address(),
        }
    }

    /// Serves until `shutdown` ends; then is no longer ready, accepts no more connections, and
    /// gives the requests in flight 10 s to finish. Probes are answered to the last.
    ///
    /// Dropping the future ends every connection at once.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self {
            mut webhook,
            mut health,
            readiness,
        } = self;

        // Whoever could build a server has what a review needs.
        readiness.ready();
        tokio::select! {
            never = webhook.serve() => match never {},
            never = health.serve() => match never {},
            () = shutdown => {}
        }

        readiness.draining();
        tokio::select! {
            never = health.serve() => match never {},
            drained = timeout(shutdown::DRAIN_LIMIT, webhook.drain()) => {
                if drained.is_err() {
                    tracing::warn!("ending with requests still in flight after 10 s");
                }
            }
        }
    }
}
