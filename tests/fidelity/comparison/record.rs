//! What a run has shown: for the totals on the terminal, and for docs/fidelity.md.

use std::fmt;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use tunnelguard::mesh::simulation::{IstioVersion, OutboundPolicy};
use tunnelguard::mesh::{Dial, Outcome, Prediction, Speech};

use super::measure::Measured;
use super::repairs::Offer;
use crate::lab::{Allocated, Application, Met};
use crate::text;

/// One shape under one outbound policy on one istiod.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) shape: String,
    #[serde(with = "text")]
    pub(crate) version: IstioVersion,
    #[serde(with = "text")]
    pub(crate) outbound: OutboundPolicy,
    /// Whether the API server refuses an object, so that nothing could be dialled.
    pub(crate) refused: bool,
    /// The shape's own dials.
    pub(crate) dials: Vec<Line>,
    pub(crate) repairs: Vec<Repaired>,
    pub(super) verdicts: usize,
    pub(super) findings: usize,
    pub(super) disagreements: usize,
    agreed: usize,
    disagreed: usize,
    /// The dials that are predicted as Unknown, and why.
    pub(crate) unknown: Vec<String>,
}

/// A dial, in a word each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) dial: String,
    pub(crate) predicted: String,
    pub(crate) met: String,
}

/// A repair that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Repaired {
    pub(crate) offer: Offer,
    /// Whether API server and istiod accept the object.
    pub(crate) accepted: bool,
    /// What the shape's own dials meet then; none where the API server refused.
    pub(crate) met: Vec<String>,
}

static RECORDS: Mutex<Vec<Record>> = Mutex::new(Vec::new());

/// All that were kept since this was last asked.
pub(crate) fn taken() -> Vec<Record> {
    std::mem::take(&mut *RECORDS.lock().expect("records"))
}

/// All that were kept so far.
pub(crate) fn records() -> Vec<Record> {
    RECORDS.lock().expect("records").clone()
}

impl Record {
    pub(super) fn new(shape: &str, version: IstioVersion, outbound: OutboundPolicy) -> Self {
        Self {
            shape: shape.to_owned(),
            version,
            outbound,
            refused: false,
            dials: Vec::new(),
            repairs: Vec::new(),
            verdicts: 0,
            findings: 0,
            disagreements: 0,
            agreed: 0,
            disagreed: 0,
            unknown: Vec::new(),
        }
    }

    pub(super) fn count(&mut self, prediction: &Prediction<'_>, is_wrong: bool) {
        match (prediction.outcome, is_wrong) {
            (Outcome::Unknown, _) => {}
            (_, true) => self.disagreed += 1,
            (_, false) => self.agreed += 1,
        }
    }

    pub(super) fn unknown(&mut self, what: String) {
        self.unknown.push(what);
    }

    /// Notes what the shape's own dials met.
    pub(super) fn measured(
        &mut self,
        dials: &[(Application, Dial)],
        measured: &[Measured],
        allocated: &[Allocated],
    ) {
        self.dials = own(dials, measured)
            .map(|(client, one)| Line {
                dial: brief(client, &one.dial, allocated),
                predicted: predicted(one.predicted).to_owned(),
                met: met(&one.met).to_owned(),
            })
            .collect();
    }

    /// Notes a repair, and what the shape's own dials meet then.
    pub(super) fn repaired(
        &mut self,
        dials: &[(Application, Dial)],
        offer: Offer,
        accepted: bool,
        measured: &[Measured],
    ) {
        let met = own(dials, measured).map(|(_, one)| met(&one.met).to_owned());
        self.repairs.push(Repaired {
            offer,
            accepted,
            met: met.collect(),
        });
    }

    pub(crate) fn keep(self) {
        RECORDS.lock().expect("records").push(self);
    }
}

/// What was measured of the shape's own dials, in their order.
fn own<'a>(
    dials: &'a [(Application, Dial)],
    measured: &'a [Measured],
) -> impl Iterator<Item = (&'a Application, &'a Measured)> {
    dials.iter().filter_map(|(client, dial)| {
        let found = measured.iter().find(|one| one.dial == *dial);
        found.map(|found| (client, found))
    })
}

/// What a dial says beyond the usual one.
fn brief(client: &Application, dial: &Dial, allocated: &[Allocated]) -> String {
    let mut allocated = allocated.iter();
    let named = allocated.find(|one| one.address == dial.address);
    let mut text = match (named, dial.port) {
        (Some(named), _) => named.host.clone(),
        (None, 3128) => dial.address.to_string(),
        (None, _) => dial.target(),
    };
    match &dial.speech {
        Speech::Connect => {}
        Speech::ConnectHttp10 => text.push_str(" HTTP/1.0"),
        Speech::Tls(Some(name)) => text.push_str(&format!(" TLS {name}")),
        Speech::Tls(None) => text.push_str(" TLS"),
    }
    if *client.namespace != *"default" {
        text.push_str(&format!(" from {}", client.namespace));
    }
    for (key, value) in &client.labels {
        text.push_str(&format!(" {key}={value}"));
    }
    text
}

fn predicted(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Tunnel => "tunnel",
        Outcome::NotFound => "404",
        Outcome::NoEndpoints | Outcome::BlackHole => "closed",
        Outcome::Hijacked => "elsewhere",
        Outcome::Wrapped => "in TLS",
        Outcome::Unknown => "unknown",
    }
}

fn met(met: &Met) -> &'static str {
    match met {
        Met::Tunnel => "tunnel",
        Met::Refused(_) => "404",
        Met::Closed => "closed",
        Met::Silence => "silence",
        Met::Hijacked(_) => "elsewhere",
        Met::Wrapped => "in TLS",
    }
}

/// What records come to.
pub(crate) struct Totals(Vec<Record>);

impl Totals {
    /// Of these.
    pub(crate) fn of(records: Vec<Record>) -> Self {
        Self(records)
    }

    fn sum(&self, number: impl Fn(&Record) -> usize) -> usize {
        self.0.iter().map(number).sum()
    }

    fn repairs(&self, offer: Offer) -> usize {
        self.sum(|one| one.repairs.iter().filter(|one| one.offer == offer).count())
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} runs of shapes ({} refused by the API server), {} verdicts, {} findings; \
             dials: {} as predicted, {} not predicted, {} otherwise; \
             repairs made: {} safe, {} proved for a person, {} withheld; {} disagreements",
            self.0.len(),
            self.sum(|one| usize::from(one.refused)),
            self.sum(|one| one.verdicts),
            self.sum(|one| one.findings),
            self.sum(|one| one.agreed),
            self.sum(|one| one.unknown.len()),
            self.sum(|one| one.disagreed),
            self.repairs(Offer::Safe),
            self.repairs(Offer::Proved),
            self.repairs(Offer::Withheld),
            self.sum(|one| one.disagreements),
        )
    }
}
