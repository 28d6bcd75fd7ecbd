//! What the tests stand on: a control plane, guards behind a Service of it, and clients.

mod answer;
mod answering_webhook;
mod balancer;
mod cel;
mod container;
mod control_plane;
mod definition;
mod dns_server;
mod dry_run;
mod guard;
pub(crate) mod manifests;
mod replicas;
mod stage;
pub(crate) mod transcript;
mod way;

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

pub(crate) use answer::Answer;
pub(crate) use answering_webhook::AnsweringWebhook;
pub(crate) use balancer::Balancer;
pub(crate) use cel::{CelPolicies, Repair};
pub(crate) use container::Container;
pub(crate) use control_plane::{ControlPlane, USERS, run};
pub(crate) use definition::Definition;
pub(crate) use dns_server::DnsServer;
pub(crate) use dry_run::Writer;
pub(crate) use guard::{Guard, series};
pub(crate) use replicas::Replicas;
pub(crate) use stage::{Certificate, FailurePolicy, Stage, service_address};
pub(crate) use way::Way;

/// How long anything may take before it counts as hung: far more than the slowest machine needs.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// A runtime for what a test needs beside itself.
pub(crate) fn one_thread() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build();
    runtime.expect("a runtime")
}

/// A path of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// An address that nobody listens on now.
pub(crate) fn free_address(ip: impl Into<IpAddr>) -> SocketAddr {
    let listener = TcpListener::bind((ip.into(), 0)).expect("a free port");
    listener.local_addr().expect("its address")
}

/// Waits until something is there.
///
/// # Panics
/// If it is not within [`LIMIT`].
pub(crate) fn await_some<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within_limit(look).unwrap_or_else(|| panic!("not in time: {what}"))
}

/// Waits until something is there; nothing if it is not within [`LIMIT`].
pub(crate) fn within_limit<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let begin = Instant::now();
    loop {
        let found = look();
        if found.is_some() || begin.elapsed() > LIMIT {
            return found;
        }
        // Not for a condition to come true, but for the others on this machine to get on with it.
        sleep(Duration::from_millis(5));
    }
}

/// What a plain HTTP server answers with 200, if it does.
pub(crate) fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.split_whitespace()
        .nth(1)
        .is_some_and(|status| status == "200")
        .then(|| body.to_owned())
}
