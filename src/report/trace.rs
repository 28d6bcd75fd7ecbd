//! One dial's way through the sidecar, as a picture and as JSON.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::mesh::simulation::Blame;
use crate::mesh::{Dial, Environment, Outcome, Prediction, Speech};

/// What is traced.
pub struct TraceReport<'a> {
    /// The dial.
    pub dial: &'a Dial,
    /// What the mesh is set to.
    pub environment: Environment<'a>,
    /// What becomes of it.
    pub prediction: Prediction<'a>,
}

/// Writes one trace as a JSON object.
pub fn trace_json(traces: &[TraceReport<'_>], out: &mut dyn Write) -> io::Result<()> {
    let rows: Vec<Value> = traces.iter().map(row).collect();
    // One dial, one object; a host name with several addresses is several dials.
    match rows.as_slice() {
        [one] => serde_json::to_writer_pretty(&mut *out, one)?,
        rows => serde_json::to_writer_pretty(&mut *out, rows)?,
    }
    writeln!(out)
}

fn row(trace: &TraceReport<'_>) -> Value {
    let (dial, prediction) = (trace.dial, &trace.prediction);
    let tls = matches!(dial.speech, Speech::Tls(_));
    json!({
        "dial": {
            "address": dial.address.to_string(),
            "port": dial.port,
            "from": &*dial.namespace,
            "tls": tls,
        },
        "outcome": prediction.outcome.to_string(),
        "by": prediction.by.as_ref().map(blame),
        "sidecar": prediction.sidecar().map(|sidecar| json!({
            "namespace": &*sidecar.namespace,
            "name": &*sidecar.name,
        })),
        "why": prediction.why(dial, &trace.environment),
        "path": prediction.path(dial, &trace.environment),
    })
}

fn blame(by: &Blame<'_>) -> Value {
    json!({
        "kind": by.entry.kind(),
        "namespace": &*by.entry.namespace,
        "name": &*by.entry.name,
        "host": by.host,
        "port": by.port,
    })
}

/// Draws traces for people.
pub fn trace_human(
    traces: &[TraceReport<'_>],
    styled: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    for (index, trace) in traces.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        draw(trace, styled, out)?;
    }
    Ok(())
}

fn draw(trace: &TraceReport<'_>, styled: bool, out: &mut dyn Write) -> io::Result<()> {
    let prediction = &trace.prediction;
    for (depth, step) in prediction
        .path(trace.dial, &trace.environment)
        .iter()
        .enumerate()
    {
        match depth {
            0 => writeln!(out, "{step}")?,
            _ => writeln!(out, "{}└─ {step}", "   ".repeat(depth - 1))?,
        }
    }
    let style = match prediction.outcome {
        Outcome::Tunnel => anstyle::AnsiColor::Green,
        Outcome::Unknown => anstyle::AnsiColor::Yellow,
        _ => anstyle::AnsiColor::Red,
    };
    let style = anstyle::Style::new().bold().fg_color(Some(style.into()));
    let outcome = prediction.outcome;
    let why = prediction.why(trace.dial, &trace.environment);
    writeln!(out)?;
    match styled {
        true => writeln!(out, "{style}{outcome}{style:#}: {why}"),
        false => writeln!(out, "{outcome}: {why}"),
    }
}
