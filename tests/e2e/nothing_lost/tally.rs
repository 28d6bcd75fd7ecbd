//! What came of requests, counted.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

/// What came of a request that was to be reviewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// Stored as /mutate repaired it.
    Repaired,
    /// Denied by /validate, and rightly: there was no repair.
    Denied,
    /// Denied by /validate, since /mutate, which would have repaired it, was not heard.
    Unrepaired,
    /// Stored as it was written, though it breaks a proxy.
    Unjudged,
    /// Anything else: the user sees an error that is not about the entry.
    Failed,
}

impl Outcome {
    /// What an answer says of the judging of an entry, which is always one that breaks a proxy.
    pub(super) fn of(entry: &Value, status: u16, answer: &Value) -> Self {
        let repairable = !entry["spec"]["addresses"].is_null();
        let message = answer["message"].as_str().unwrap_or_default();
        let repaired = answer["spec"]["ports"][0]["protocol"] == "TCP"
            && answer["metadata"]["annotations"]["tunnelguard.dev/repaired"].is_string();
        match status {
            200 | 201 if repaired => Self::Repaired,
            200 | 201 => Self::Unjudged,
            403 if !message.contains("\"validate.tunnelguard.dev\" denied the request") => {
                Self::Failed
            }
            403 if repairable => Self::Unrepaired,
            403 => Self::Denied,
            _ => Self::Failed,
        }
    }
}

/// What came of many requests.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    outcomes: BTreeMap<Outcome, usize>,
    /// How long each took.
    pub(super) times: Vec<Duration>,
    /// What was said where it is not as it should be.
    pub(super) said: Vec<String>,
}

impl Tally {
    pub(super) fn of(&self, outcome: Outcome) -> usize {
        self.outcomes.get(&outcome).copied().unwrap_or_default()
    }

    /// What came after an earlier state of the same tally.
    pub(super) fn since(mut self, earlier: &Self) -> Self {
        for (outcome, count) in &mut self.outcomes {
            *count -= earlier.of(*outcome);
        }
        self.times.drain(..earlier.times.len());
        self.said.drain(..earlier.said.len());
        self
    }

    /// # Panics
    /// If there was anything but repairs and due denials.
    pub(super) fn assert_nothing_lost(&self) {
        let fine = self.of(Outcome::Repaired) + self.of(Outcome::Denied);
        assert_eq!(fine, self.times.len(), "{self}: {:#?}", self.said);
        assert!(
            self.of(Outcome::Repaired) > 0 && self.of(Outcome::Denied) > 0,
            "{self}"
        );
    }

    pub(super) fn count(&mut self, outcome: Outcome, took: Duration, said: String) {
        *self.outcomes.entry(outcome).or_default() += 1;
        self.times.push(took);
        if !said.is_empty() {
            self.said.push(said);
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |outcome| self.of(outcome);
        write!(
            f,
            "{} requests: {} repaired, {} denied, {} unrepaired, {} unjudged, {} failed",
            self.times.len(),
            count(Outcome::Repaired),
            count(Outcome::Denied),
            count(Outcome::Unrepaired),
            count(Outcome::Unjudged),
            count(Outcome::Failed),
        )
    }
}
