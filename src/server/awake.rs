//! Since when this process runs without a gap. A virtual machine that is paused or migrated, or a node short
//! of memory, stops it for seconds, after which everybody seems to have been silent, and what they said waits
//! to be read.

use std::time::Duration;

use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

const BEAT: Duration = Duration::from_millis(250);

/// So late a beat may come while the process runs: a busy machine delays it by tens of milliseconds.
const LATE: Duration = Duration::from_millis(500);

/// Knows for how long this process has run without a gap.
#[derive(Clone, Debug)]
pub(super) struct Awake(watch::Receiver<Heart>);

#[derive(Debug)]
struct Heart {
    since: Instant,
    beaten: Instant,
}

impl Awake {
    /// Begins to watch, in a task that ends when nobody asks any more.
    pub(super) fn watch() -> Self {
        let now = Instant::now();
        let heart = Heart {
            since: now,
            beaten: now,
        };
        let (heart, awake) = watch::channel(heart);
        tokio::spawn(beat(heart));
        Self(awake)
    }

    /// For how long; nothing in the moment in which it has woken up.
    pub(super) fn for_how_long(&self) -> Duration {
        let heart = self.0.borrow();
        match heart.is_late() {
            true => Duration::ZERO,
            false => heart.since.elapsed(),
        }
    }
}

impl Heart {
    fn is_late(&self) -> bool {
        self.beaten.elapsed() > LATE
    }

    fn beat(&mut self) {
        let late = self.is_late();
        self.beaten = Instant::now();
        if late {
            self.since = self.beaten;
        }
    }
}

async fn beat(heart: watch::Sender<Heart>) {
    while !heart.is_closed() {
        sleep(BEAT).await;
        heart.send_modify(Heart::beat);
    }
}

#[cfg(test)]
mod tests {
    use tokio::{task::yield_now, time::advance};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn counts_from_when_it_woke_up() {
        let awake = Awake::watch();
        sleep(Duration::from_secs(10)).await;
        assert_eq!(awake.for_how_long(), Duration::from_secs(10));

        // The clock goes on by itself, as it does while nothing runs.
        advance(Duration::from_secs(3)).await;
        let woken_up = Instant::now();
        assert_eq!(awake.for_how_long(), Duration::ZERO);
        yield_now().await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(awake.for_how_long(), woken_up.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_machine_is_awake() {
        let awake = Awake::watch();
        let begin = Instant::now();
        for _ in 0..20 {
            advance(LATE - BEAT).await;
            yield_now().await;
        }
        assert_eq!(awake.for_how_long(), begin.elapsed());
    }
}
