//! The life of a server: what it wants to be asked, and what it makes of the asking.

use std::future::pending;

use tokio::sync::watch;

/// It goes one way only, in this order.
///
/// The end has three steps, because a Pod is told to end at the same moment as everyone else is
/// told not to call it any more, and the API server goes on using the connections that it has
/// (kubernetes/kubernetes#127335). It sends a lost POST once only, but sends one that was answered
/// with 503 and `Retry-After` again (k8s.io/client-go/rest/with_retry.go).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Bound, and not yet asked to serve.
    Starting,
    /// Reviews are welcome.
    Serving,
    /// Not ready. Reviews are answered, and each answer ends its connection.
    Leaving,
    /// Reviews are answered with 503 and `Retry-After: 0`, by which the API server dials anew.
    Refusing,
    /// Nothing is accepted, and connections at rest are closed.
    Closing,
}

/// Who may move the server on.
#[derive(Debug)]
pub(super) struct Lifecycle(watch::Sender<Phase>);

/// Who may look.
#[derive(Clone, Debug)]
pub(super) struct PhaseView(watch::Receiver<Phase>);

impl Lifecycle {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(Phase::Starting))
    }

    pub(super) fn view(&self) -> PhaseView {
        PhaseView(self.0.subscribe())
    }

    /// Moves on, never back.
    pub(super) fn enter(&self, phase: Phase) {
        self.0.send_if_modified(|current| {
            let later = phase > *current;
            if later {
                *current = phase;
            }
            later
        });
    }
}

impl PhaseView {
    pub(super) fn current(&self) -> Phase {
        *self.0.borrow()
    }

    /// Waits until the server has come to `phase`.
    pub(super) async fn reached(&mut self, phase: Phase) {
        let gone = self.0.wait_for(|current| *current >= phase).await.is_err();
        // Without a `Lifecycle` it can never come to it.
        if gone {
            pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn never_goes_back() {
        let lifecycle = Lifecycle::new();
        let mut view = lifecycle.view();
        lifecycle.enter(Phase::Leaving);
        lifecycle.enter(Phase::Serving);
        assert_eq!(view.current(), Phase::Leaving);
        view.reached(Phase::Serving).await;
    }
}
