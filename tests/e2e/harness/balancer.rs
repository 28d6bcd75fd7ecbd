//! What a Service is to the API server: an address behind which a replica is picked for each connection.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::one_thread;

/// A TCP balancer, which ends, with its connections, when this value is dropped.
pub(crate) struct Balancer {
    shared: Arc<Mutex<Shared>>,
    _runtime: Runtime,
}

#[derive(Default)]
struct Shared {
    replicas: Vec<SocketAddr>,
    /// How many of those who dial are led to a replica, if not all; the others wait.
    led: watch::Sender<Option<usize>>,
    /// Those that are open, by the turn in which they came.
    connections: HashMap<usize, Connection>,
    /// Connections that ended while the replica owed an answer.
    cut_off: HashMap<SocketAddr, usize>,
    /// Connections that came and were led to a replica.
    dialled: usize,
    /// Those of them that found nobody.
    refused: usize,
}

/// A connection through the balancer. What passes is TLS, so only its direction is known.
struct Connection {
    replica: SocketAddr,
    opened: Instant,
    /// When something last passed.
    used: Instant,
    /// Whether that came from the client. HTTP/1.1 asks again only when it is answered.
    waits: bool,
}

impl Balancer {
    /// Listens on an address, with no replica to forward to.
    pub(crate) fn start(listen: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind(listen);
        Self::accepting(listener.expect("the Service's address is free"))
    }

    /// Accepts what comes to a listener, and has come.
    pub(crate) fn accepting(listener: std::net::TcpListener) -> Self {
        listener.set_nonblocking(true).expect("a socket");
        let runtime = one_thread();
        let shared = Arc::default();
        runtime.spawn(accept(listener, Arc::clone(&shared)));
        Self {
            shared,
            _runtime: runtime,
        }
    }

    /// New connections go to these in turn; those that are open stay where they are.
    pub(crate) fn forward_to(&self, replicas: impl IntoIterator<Item = SocketAddr>) {
        self.shared.lock().expect("no panic").replicas = replicas.into_iter().collect();
    }

    /// Lets whoever dials wait from now on, but for so many.
    pub(crate) fn hold_after(&self, more: usize) {
        let shared = self.shared.lock().expect("no panic");
        shared.led.send_replace(Some(shared.dialled + more));
    }

    /// Leads those who wait, and whoever dials, to a replica.
    pub(crate) fn release(&self) {
        let shared = self.shared.lock().expect("no panic");
        shared.led.send_replace(None);
    }

    /// How many connections have come and been led to a replica.
    pub(crate) fn dialled(&self) -> usize {
        self.shared.lock().expect("no panic").dialled
    }

    /// How many connections found nobody.
    pub(crate) fn refused(&self) -> usize {
        self.shared.lock().expect("no panic").refused
    }

    /// On how many connections a replica owes an answer, to a request or in a handshake.
    pub(crate) fn in_flight(&self, replica: SocketAddr) -> usize {
        self.count(|connection| connection.replica == replica && connection.waits)
    }

    /// How many connections have ended while a replica owed an answer.
    pub(crate) fn cut_off(&self, replica: SocketAddr) -> usize {
        let shared = self.shared.lock().expect("no panic");
        shared.cut_off.get(&replica).copied().unwrap_or_default()
    }

    /// How many connections to a replica are open, and it owes nothing.
    pub(crate) fn resting(&self, replica: SocketAddr) -> usize {
        self.count(|connection| connection.replica == replica && !connection.waits)
    }

    /// Whether something passed on a connection from before a moment, after another.
    pub(crate) fn used(&self, opened_before: Instant, after: Instant) -> bool {
        self.count(|connection| connection.opened < opened_before && connection.used > after) > 0
    }

    fn count(&self, some: impl Fn(&Connection) -> bool) -> usize {
        let shared = self.shared.lock().expect("no panic");
        let connections = shared.connections.values();
        connections.filter(|connection| some(connection)).count()
    }
}

async fn accept(listener: std::net::TcpListener, shared: Arc<Mutex<Shared>>) {
    let listener = TcpListener::from_std(listener).expect("a socket that does not block");
    let mut led = shared.lock().expect("no panic").led.subscribe();
    for turn in 0.. {
        let (client, _) = listener.accept().await.expect("a connection");
        // Here, so that they keep the order in which they came.
        let is_led = |led: &Option<usize>| led.is_none_or(|led| turn < led);
        led.wait_for(is_led).await.expect("it is shared");
        shared.lock().expect("no panic").dialled += 1;
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            if forward(client, turn, &shared).await.is_none() {
                shared.lock().expect("no panic").refused += 1;
            }
        });
    }
}

/// Forwards until both sides are done; nothing if there is no replica, or it cannot be dialled.
async fn forward(client: TcpStream, turn: usize, shared: &Mutex<Shared>) -> Option<()> {
    let opened = Instant::now();
    let replica = {
        let replicas = &shared.lock().expect("no panic").replicas;
        *replicas.get(turn % replicas.len().max(1))?
    };
    let stream = TcpStream::connect(replica).await.ok()?;
    client.set_nodelay(true).ok()?;
    stream.set_nodelay(true).ok()?;
    let open = |connection| {
        let mut shared = shared.lock().expect("no panic");
        shared.connections.insert(turn, connection);
    };
    open(Connection {
        replica,
        opened,
        used: opened,
        waits: false,
    });
    let passed = |waits| {
        let mut shared = shared.lock().expect("no panic");
        if let Some(connection) = shared.connections.get_mut(&turn) {
            (connection.used, connection.waits) = (Instant::now(), waits);
        }
    };
    let (from_client, to_client) = client.into_split();
    let (from_replica, to_replica) = stream.into_split();
    // How a connection ends is between the API server and the replica.
    drop(tokio::try_join!(
        pass(from_client, to_replica, || passed(true)),
        pass(from_replica, to_client, || passed(false)),
    ));
    let mut shared = shared.lock().expect("no panic");
    let connection = shared.connections.remove(&turn);
    if let Some(connection) = connection.filter(|connection| connection.waits) {
        *shared.cut_off.entry(connection.replica).or_default() += 1;
    }
    Some(())
}

/// Passes on what comes, having told of it first, until the end, which it passes on, too.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    tell: impl Fn(),
) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        tell();
        to.write_all(&buffer[..count]).await?;
    }
}
