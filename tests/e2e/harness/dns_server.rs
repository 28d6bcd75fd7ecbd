//! A DNS server (RFC 1035) on loopback, which knows the addresses that a test tells it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use tokio::runtime::Runtime;

use super::one_thread;

/// The server, which ends when this value is dropped.
pub(crate) struct DnsServer {
    pub(crate) address: SocketAddr,
    known: Arc<Mutex<Known>>,
    _runtime: Runtime,
}

type Known = BTreeMap<String, Ipv4Addr>;

impl DnsServer {
    /// Starts one that knows no name yet.
    pub(crate) fn start() -> Self {
        let runtime = one_thread();
        let socket = runtime.block_on(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)));
        let socket = socket.expect("a free port");
        let address = socket.local_addr().expect("its address");
        let known = Arc::default();
        runtime.spawn(serve(socket, Arc::clone(&known)));
        Self {
            address,
            known,
            _runtime: runtime,
        }
    }

    /// Answers with this address from now on, or with NXDOMAIN.
    pub(crate) fn answer(&self, name: &str, address: Option<Ipv4Addr>) {
        let mut known = self.known.lock().expect("no panic");
        match address {
            Some(address) => known.insert(name.to_owned(), address),
            None => known.remove(name),
        };
    }
}

async fn serve(socket: UdpSocket, known: Arc<Mutex<Known>>) {
    let mut message = [0; 512];
    loop {
        let (length, client) = socket.recv_from(&mut message).await.expect("a question");
        let answer = answer(&message[..length], &known.lock().expect("no panic"));
        // Whoever does not wait for it any more has gone.
        drop(socket.send_to(&answer, client).await);
    }
}

/// A header of 12 bytes, and the name in labels, each with its length before it; then type and class.
fn answer(question: &[u8], known: &Known) -> Vec<u8> {
    let mut labels = Vec::new();
    let mut at = 12;
    while question[at] != 0 {
        let end = at + 1 + usize::from(question[at]);
        labels.push(String::from_utf8_lossy(&question[at + 1..end]));
        at = end;
    }
    let asked = &question[12..at + 5];
    let asks_for_v4 = question[at + 2] == 1;
    let address = known.get(&labels.join("."));
    let is_answered = address.is_some() && asks_for_v4;
    let code = if address.is_none() { 3 } else { 0 };
    let mut answer = question[..2].to_vec();
    answer.extend([
        0x81,
        0x80 | code,
        0,
        1,
        0,
        u8::from(is_answered),
        0,
        0,
        0,
        0,
    ]);
    answer.extend(asked);
    if let Some(address) = address.filter(|_| is_answered) {
        // The name of the question; A, IN, 1 s, four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        answer.extend(address.octets());
    }
    answer
}
