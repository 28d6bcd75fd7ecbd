//! How long to wait between attempts.

use std::time::Duration;

use tokio::time::Instant;

/// How long to wait after failures: 1, 2, 4 and from then on 8 s, and from the beginning again once none has
/// come for a minute. Kube's own pauses grow to a minute, for which a definition that was just installed
/// would not count.
#[derive(Default)]
pub(super) struct Pauses {
    failures: u32,
    last: Option<Instant>,
}

impl Pauses {
    pub(super) fn after(&mut self, failure: Instant) -> Duration {
        let quiet = self.last.map(|last| failure.duration_since(last));
        if quiet.is_some_and(|quiet| quiet > Duration::from_secs(60)) {
            self.failures = 0;
        }
        self.last = Some(failure);
        let pause = Duration::from_secs(1 << self.failures.min(3));
        self.failures += 1;
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Instant, Pauses};

    #[test]
    fn pauses_grow_and_begin_again() {
        let begin = Instant::now();
        let mut pauses = Pauses::default();
        for (second, expected) in [
            (0, 1),
            (1, 2),
            (3, 4),
            (7, 8),
            (15, 8),
            (75, 8),
            (136, 1),
            (137, 2),
        ] {
            let pause = pauses.after(begin + Duration::from_secs(second));
            assert_eq!(pause, Duration::from_secs(expected), "at {second} s");
        }
    }
}
