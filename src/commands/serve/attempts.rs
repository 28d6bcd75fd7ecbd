//! What those have in common who write to the cluster, and try again until it is written.

use std::time::Duration;

/// Who owns what is written.
pub(super) const FIELD_MANAGER: &str = "tunnelguard";

/// How long a write may take: what a leader begins at its end is over before the next one leads (15 s less
/// 10 s, see `leadership`).
pub(super) const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// How long the next attempt waits after so many failures: twice as long each time, 32 times `pause` at most.
pub(super) fn backed_off(pause: Duration, failures: u32) -> Duration {
    pause * (1 << failures.min(5))
}

/// What was told last, of what keeps somebody from going on.
#[derive(Default)]
pub(super) struct Told(Option<String>);

impl Told {
    /// Notes what is to be told, and whether that is news: whoever tries again and again has the same to say
    /// every time.
    pub(super) fn is_news(&mut self, what: &str) -> bool {
        let is_news = self.0.as_deref() != Some(what);
        if is_news {
            self.0 = Some(what.to_owned());
        }
        is_news
    }

    /// It goes on: the same is news again.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }
}
