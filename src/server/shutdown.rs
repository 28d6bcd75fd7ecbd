//! The end of a server: one signal lets it finish, a second one does not wait.

use std::{io, pin::pin, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

use super::Server;

/// How long requests in flight, and clients that were not told yet, may take to finish.
///
/// 10 s is a webhook's default `timeoutSeconds` (k8s.io/api/admissionregistration/v1): a review
/// older than that has no one waiting for it.
pub(super) const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// How long the last answers may take to be sent once nothing is accepted any more.
pub(super) const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// Runs `server` until SIGTERM or SIGINT, then lets it drain; a second signal ends it at once.
///
/// SIGTERM is what a Pod is sent (`linger` is how long it then serves on, see [`Server::run`]);
/// SIGINT comes from a person's Ctrl-C, and no Service has to hear of it first.
///
pub async fn run_until_signalled(server: Server, mut signals: Signals, linger: Duration) {
    run_until(server, async || match signals.next().await {
        SIGTERM => (SIGTERM, linger),
        other => (other, Duration::ZERO),
    })
    .await;
}

const SIGTERM: &str = "SIGTERM";

/// The signals that end a server. Once they are listened for, they end nothing by themselves.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// The system does not let it.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one, and says which it is.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => SIGTERM,
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// [`run_until_signalled`], whatever a signal is: a name, and how long to serve on.
pub(super) async fn run_until(
    server: Server,
    mut next_signal: impl AsyncFnMut() -> (&'static str, Duration),
) {
    let (drain, draining) = oneshot::channel();
    let mut run = pin!(server.run(async {
        // The sender lives as long as `run` does, so this ends with a signal only.
        draining.await.unwrap_or_default()
    }));
    tokio::select! {
        () = &mut run => return,
        (name, linger) = next_signal() => {
            match linger.is_zero() {
                true => tracing::info!("{name}: finishing what is in flight"),
                false => tracing::info!("{name}: not ready any more, serving on for {linger:?}"),
            }
            let _ = drain.send(linger);
        }
    }
    tokio::select! {
        () = &mut run => {}
        (name, _) = next_signal() => tracing::warn!("{name}: not waiting any longer"),
    }
}
