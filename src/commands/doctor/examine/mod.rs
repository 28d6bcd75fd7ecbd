//! From what a cluster told to what a person should know of it. Nobody is asked here.
#![deny(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros
)]

mod authority;
mod definitions;
mod reached;
mod replicas;
mod reviews;
mod webhooks;

use crate::mesh::line::one_line;

use super::Installed;
use super::facts::{Facts, Tried};

/// How much of a sentence is shown: a denial quotes names and lists findings.
const TOLD_CHARACTERS: usize = 600;

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Observation {
    /// What.
    pub(super) subject: String,
    pub(super) state: State,
    /// How it is.
    pub(super) told: String,
    /// What to do: lines, of which some are commands.
    pub(super) remedy: Option<String>,
}

/// Whether something is as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Ok,
    Failed,
    /// Nobody could tell.
    Unchecked,
}

impl Observation {
    fn ok(subject: impl Into<String>, told: &str) -> Self {
        Self::new(subject, State::Ok, told)
    }

    fn failed(subject: impl Into<String>, told: &str, remedy: impl Into<String>) -> Self {
        let remedy = Some(remedy.into());
        Self {
            remedy,
            ..Self::new(subject, State::Failed, told)
        }
    }

    /// Of which another observation has the way out.
    fn bad(subject: impl Into<String>, told: &str) -> Self {
        Self::new(subject, State::Failed, told)
    }

    fn unchecked(subject: impl Into<String>, why: &str) -> Self {
        Self::new(subject, State::Unchecked, why)
    }

    fn new(subject: impl Into<String>, state: State, told: &str) -> Self {
        Self {
            subject: one_line(&subject.into(), TOLD_CHARACTERS),
            state,
            told: one_line(told, TOLD_CHARACTERS),
            remedy: None,
        }
    }
}

/// Everything that there is to say, from what the rest stands on to what users notice.
pub(super) fn examine(facts: &Facts, tried: &[Tried], installed: &Installed) -> Vec<Observation> {
    let mut all = definitions::examine(facts);
    all.extend(webhooks::examine(facts, installed));
    all.extend(authority::examine(facts, installed));
    all.extend(reached::examine(facts, installed));
    all.extend(replicas::examine(facts, installed));
    all.extend(reviews::examine(facts, tried, installed));
    all
}

/// An amount of time as a person says it: `3 days`, `2 hours`, `40 s`.
fn duration(seconds: i64) -> String {
    match seconds.unsigned_abs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} minutes", seconds / 60),
        seconds @ 7200..172_800 => format!("{} hours", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
