//! Where a connection stands, told by those who serve it and read by those who bound it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

/// What a connection is at, in the order in which it gets there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Accepted; over TLS the handshake is not finished.
    Handshake,
    /// HTTP/2: open, and its preface has not come.
    Preface,
    /// HTTP/1: open, and its first byte has not come.
    Opening,
    /// HTTP/1: a header has begun.
    Header,
    /// HTTP/1: a header was read, its answer is not made yet.
    Request,
    /// HTTP/1: everything asked is answered.
    Resting,
    /// HTTP/2, after its preface: many requests at once.
    Multiplexed,
}

const STAGES: [Stage; 7] = [
    Stage::Handshake,
    Stage::Preface,
    Stage::Opening,
    Stage::Header,
    Stage::Request,
    Stage::Resting,
    Stage::Multiplexed,
];

/// The low bits that hold the stage; those above hold milliseconds since the connection began.
const STAGE_BITS: u32 = 3;

/// A connection's [`Stage`], and since when.
///
/// One task moves it on, others only look, so plain loads and stores are enough.
#[derive(Clone, Debug)]
pub(super) struct Activity {
    accepted: Instant,
    state: Arc<AtomicU64>,
    /// Requests that are not answered yet, answers that are not sent included.
    unanswered: Arc<AtomicU32>,
    dismissed: watch::Sender<bool>,
}

impl Activity {
    /// A connection accepted this moment.
    pub(super) fn begin() -> Self {
        Self {
            accepted: Instant::now(),
            state: Arc::default(),
            unanswered: Arc::default(),
            dismissed: watch::Sender::new(false),
        }
    }

    /// Asks the connection to end as soon as nothing is unanswered on it.
    pub(super) fn dismiss(&self) {
        self.dismissed.send_replace(true);
    }

    /// Whether it is asked to end.
    pub(super) fn is_dismissed(&self) -> bool {
        *self.dismissed.borrow()
    }

    /// Waits for being asked to end.
    pub(super) async fn dismissed(&self) {
        // It fails only where nobody could ask any more, and this value can.
        let _ = self.dismissed.subscribe().wait_for(|asked| *asked).await;
    }

    pub(super) fn stage(&self) -> Stage {
        let index = self.state.load(Ordering::Relaxed) & ((1 << STAGE_BITS) - 1);
        // Only `enter` writes these bits.
        STAGES[usize::try_from(index).unwrap_or_default()]
    }

    /// Whether nothing of a request has come that is not answered. Over HTTP/1 a connection that was
    /// never used is one of those: its client may keep it for the next request.
    pub(super) fn rests(&self) -> bool {
        match self.stage() {
            Stage::Opening | Stage::Resting => true,
            Stage::Multiplexed => !self.is_busy(),
            Stage::Handshake | Stage::Preface | Stage::Header | Stage::Request => false,
        }
    }

    /// Whether something was asked and is not answered.
    pub(super) fn is_busy(&self) -> bool {
        self.unanswered.load(Ordering::Relaxed) > 0
    }

    /// How long it has stood where it stands; over HTTP/2, since a request was last answered, or
    /// since the first of those that are not.
    pub(super) fn waiting(&self) -> Duration {
        let since = self.state.load(Ordering::Relaxed) >> STAGE_BITS;
        let since = Duration::from_millis(since);
        self.accepted.elapsed().saturating_sub(since)
    }

    pub(super) fn enter(&self, stage: Stage) {
        let since = u64::try_from(self.accepted.elapsed().as_millis()).unwrap_or(u64::MAX);
        let state = (since << STAGE_BITS) | stage as u64;
        self.state.store(state, Ordering::Relaxed);
    }

    /// A whole header was read: what follows is its body.
    pub(super) fn request_began(&self) {
        let others = self.unanswered.fetch_add(1, Ordering::Relaxed);
        match self.stage() {
            // One more says nothing about those that wait.
            Stage::Multiplexed if others > 0 => {}
            Stage::Multiplexed => self.enter(Stage::Multiplexed),
            _ => self.enter(Stage::Request),
        }
    }

    /// The response is made (HTTP/2: and sent): the next byte begins the next header.
    pub(super) fn request_answered(&self) {
        self.unanswered.fetch_sub(1, Ordering::Relaxed);
        match self.stage() {
            Stage::Multiplexed => self.enter(Stage::Multiplexed),
            _ => self.enter(Stage::Resting),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn knows_the_stage_and_since_when() {
        let activity = Activity::begin();
        assert_eq!(activity.stage(), Stage::Handshake);
        for stage in STAGES {
            tokio::time::advance(Duration::from_secs(200)).await;
            assert_eq!(activity.waiting(), Duration::from_secs(200));
            activity.enter(stage);
            assert_eq!(
                (activity.stage(), activity.waiting()),
                (stage, Duration::ZERO)
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_multiplexed_connection_waits_since_it_last_got_on() {
        let activity = Activity::begin();
        activity.enter(Stage::Multiplexed);
        let began: fn(&Activity) = Activity::request_began;
        let answered: fn(&Activity) = Activity::request_answered;
        for (step, busy, waiting) in [
            (began, true, 0),
            (began, true, 5),
            (began, true, 10),
            (answered, true, 0),
            (began, true, 5),
            (answered, true, 0),
            (answered, true, 0),
            (answered, false, 0),
            (began, true, 0),
        ] {
            tokio::time::advance(Duration::from_secs(5)).await;
            step(&activity);
            assert_eq!(activity.stage(), Stage::Multiplexed);
            let stands = (activity.is_busy(), activity.waiting());
            assert_eq!(stands, (busy, Duration::from_secs(waiting)));
        }
    }
}
