//! Thousands who connect and leave it at that, in each way there is, beside users.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;

use super::scene::{Scene, Unanswered};
use super::stranger::Stranger;
use crate::harness::{ControlPlane, await_some, one_thread};

/// Of each kind: say nothing, half a handshake, half a header, half a body.
const EACH: usize = 500;

const USERS: usize = 4;

/// Measured without and with them in turn, so that what else the machine does falls on both.
const ROUNDS: usize = 3;
const REQUESTS: usize = 150;

/// What the users' connections, and this process' own, take besides.
const OTHER_DESCRIPTORS: u64 = 500;

/// A header may take 10 s, so those who sent half of one are gone by then: what is measured has to
/// be, too. Handshakes come first, because nobody is hurried after one.
const AT_ONCE: usize = 32;

pub(super) fn play(plane: &ControlPlane) {
    allow_descriptors(4 * EACH as u64 + OTHER_DESCRIPTORS);
    let (scene, [guard]) = Scene::set(plane, "silent-clients", &[]);
    let unanswered = scene.unanswered();
    let stranger = Stranger::trusting(&scene.stage.certificate.authority());
    let open = || guard.metric("tunnelguard_connections ");
    let runtime = one_thread();
    let users = scene.users(USERS);

    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        alone.extend(users.next(REQUESTS).times);
        let silent = runtime.block_on(Silent::come(&stranger, guard.address()));
        await_some("all are connected", || {
            (open() >= (4 * EACH) as f64).then_some(())
        });
        beside.extend(users.next(REQUESTS).times);
        println!(
            "{} connections open after {REQUESTS} requests beside them",
            open()
        );
        drop(silent);
        await_some("they are gone", || (open() < EACH as f64).then_some(()));
    }

    let tally = users.end();
    let unanswered = scene.unanswered() - unanswered;
    let (alone, beside) = (median(alone), median(beside));
    println!(
        "{tally}; {unanswered:?}; median {alone:?} alone, {beside:?} beside {}",
        4 * EACH
    );
    tally.assert_nothing_lost();
    assert_eq!(unanswered, Unanswered::default());
    assert!(beside < 3 * alone, "silent clients cost others their time");
}

/// Connections whose clients say no more.
struct Silent {
    _plain: Vec<TcpStream>,
    _encrypted: Vec<TlsStream<TcpStream>>,
}

impl Silent {
    async fn come(stranger: &Stranger, guard: SocketAddr) -> Self {
        let mut encrypted = shake_hands(stranger, guard, 2 * EACH).await;
        for (number, stream) in encrypted.iter_mut().enumerate() {
            let half: &[u8] = match number % 2 {
                0 => b"POST /validate HTTP/1.1\r\nhost: x\r\nconte",
                _ => b"POST /validate HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf",
            };
            stream.write_all(half).await.expect("room");
        }
        let mut plain = Vec::new();
        for number in 0..2 * EACH {
            let mut stream = TcpStream::connect(guard).await.expect("a connection");
            if number % 2 == 0 {
                // A record that holds a handshake of 512 bytes, and its beginning: ClientHello.
                let half = [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
                stream.write_all(&half).await.expect("room");
            }
            plain.push(stream);
        }
        Self {
            _plain: plain,
            _encrypted: encrypted,
        }
    }
}

async fn shake_hands(
    stranger: &Stranger,
    guard: SocketAddr,
    count: usize,
) -> Vec<TlsStream<TcpStream>> {
    let mut streams = Vec::new();
    let mut begun = JoinSet::new();
    while streams.len() < count {
        while begun.len() < AT_ONCE && streams.len() + begun.len() < count {
            let stranger = stranger.clone();
            begun.spawn(async move { stranger.dial(guard).await });
        }
        let stream = begun.join_next().await.expect("some have begun");
        streams.push(stream.expect("no panic").expect("a handshake"));
    }
    streams
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Each connection takes one, here as in the guard, which sees to its own.
fn allow_descriptors(needed: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < needed) {
        let raised = Rlimit {
            current: Some(needed),
            ..limit
        };
        setrlimit(Resource::Nofile, raised).expect("the hard limit allows as many descriptors");
    }
}
