//! The end of a server: one signal lets it finish, a second one does not wait.

use std::{io, pin::pin, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

use super::Server;

/// How long requests in flight may take to finish.
///
/// 10 s is a webhook's default `timeoutSeconds` (k8s.io/api/admissionregistration/v1): a review
/// older than that has no one waiting for it. It also leaves 20 of the 30 s that a Pod is given
/// to end (`terminationGracePeriodSeconds`).
pub(super) const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// Runs `server` until SIGTERM or SIGINT, then lets it drain; a second signal ends it at once.
///
/// # Errors
/// If the signals cannot be listened for.
pub async fn run_until_signalled(server: Server) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    run_until(server, async || {
        either(&mut terminate, &mut interrupt).await
    })
    .await;
    Ok(())
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// [`run_until_signalled`], whatever a signal is.
pub(super) async fn run_until(server: Server, mut next_signal: impl AsyncFnMut() -> &'static str) {
    let (drain, draining) = oneshot::channel::<()>();
    let mut run = pin!(server.run(async {
        // The sender lives as long as `run` does, so this ends with a signal only.
        let _ = draining.await;
    }));
    tokio::select! {
        () = &mut run => return,
        name = next_signal() => tracing::info!("{name}: finishing the requests in flight"),
    }
    let _ = drain.send(());
    tokio::select! {
        () = &mut run => {}
        name = next_signal() => tracing::warn!("{name}: not waiting for them any longer"),
    }
}
