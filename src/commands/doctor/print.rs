//! Observations for people and for programs.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};

use super::examine::{Observation, State};

/// Writes a JSON array, one object an observation.
pub(super) fn json(observations: &[Observation], out: &mut dyn Write) -> io::Result<()> {
    let rows = observations.iter().map(|observation| {
        json!({
            "subject": observation.subject,
            "state": match observation.state {
                State::Ok => "ok",
                State::Failed => "failed",
                State::Unchecked => "unchecked",
            },
            "message": observation.told,
            "remedy": observation.remedy,
        })
    });
    let rows: Vec<Value> = rows.collect();
    serde_json::to_writer_pretty(&mut *out, &rows)?;
    writeln!(out)
}

/// Writes a line each, with what to do below it, and a total.
pub(super) fn human(
    observations: &[Observation],
    styled: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    let widths = observations.iter().map(|one| one.subject.chars().count());
    let width = widths.max().unwrap_or_default();
    for observation in observations {
        let (word, colour) = match observation.state {
            State::Ok => ("ok  ", AnsiColor::Green),
            State::Failed => ("FAIL", AnsiColor::Red),
            State::Unchecked => ("?   ", AnsiColor::Yellow),
        };
        let style = match styled {
            true => Style::new().bold().fg_color(Some(colour.into())),
            false => Style::new(),
        };
        let Observation { subject, told, .. } = observation;
        writeln!(out, "{style}{word}{style:#}  {subject:width$}  {told}")?;
        for line in observation.remedy.iter().flat_map(|remedy| remedy.lines()) {
            writeln!(out, "      {:width$}  → {line}", "")?;
        }
    }
    let count = |state| observations.iter().filter(|one| one.state == state).count();
    let (ok, failed) = (count(State::Ok), count(State::Failed));
    let unchecked = count(State::Unchecked);
    writeln!(out, "\n{ok} ok, {failed} failed, {unchecked} not checked")
}
