//! What a Service is to the API server: an address behind which a replica is picked for each connection.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use super::one_thread;

/// A TCP balancer, which ends, with its connections, when this value is dropped.
pub(crate) struct Balancer {
    replicas: Replicas,
    /// Connections that found nobody.
    refused: Arc<AtomicUsize>,
    _runtime: Runtime,
}

type Replicas = Arc<Mutex<Vec<SocketAddr>>>;

impl Balancer {
    /// Listens on an address, with no replica to forward to.
    pub(crate) fn start(listen: SocketAddr) -> Self {
        let runtime = one_thread();
        let listener = runtime.block_on(TcpListener::bind(listen));
        let listener = listener.expect("the Service's address is free");
        let balancer = Self {
            replicas: Arc::default(),
            refused: Arc::default(),
            _runtime: runtime,
        };
        let (replicas, refused) = (
            Arc::clone(&balancer.replicas),
            Arc::clone(&balancer.refused),
        );
        balancer._runtime.spawn(accept(listener, replicas, refused));
        balancer
    }

    /// New connections go to these in turn; those that are open stay where they are.
    pub(crate) fn forward_to(&self, replicas: &[SocketAddr]) {
        *self.replicas.lock().expect("no panic") = replicas.to_vec();
    }

    /// How many connections found nobody.
    pub(crate) fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }
}

async fn accept(listener: TcpListener, replicas: Replicas, refused: Arc<AtomicUsize>) {
    for turn in 0.. {
        let (client, _) = listener.accept().await.expect("a connection");
        let replicas = replicas.lock().expect("no panic").clone();
        let refused = Arc::clone(&refused);
        tokio::spawn(async move {
            let Some(&replica) = replicas.get(turn % replicas.len().max(1)) else {
                refused.fetch_add(1, Ordering::Relaxed);
                return;
            };
            if forward(client, replica).await.is_none() {
                refused.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
}

/// Forwards until both sides are done; nothing if the replica cannot be dialled.
async fn forward(mut client: TcpStream, replica: SocketAddr) -> Option<()> {
    let mut replica = TcpStream::connect(replica).await.ok()?;
    client.set_nodelay(true).ok()?;
    replica.set_nodelay(true).ok()?;
    // How a connection ends is between the API server and the replica.
    drop(copy_bidirectional(&mut client, &mut replica).await);
    Some(())
}
