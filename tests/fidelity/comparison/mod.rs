//! What is predicted of a shape, against what istiod and Envoy do with it.

use std::fmt;
use std::sync::Mutex;

use jiff::Timestamp;
use libtest_mimic::Failed;
use serde_json::{Value, json};
use tunnelguard::commands::mesh_of;
use tunnelguard::mesh::simulation::OutboundPolicy;
use tunnelguard::mesh::validation::validate;
use tunnelguard::mesh::{Dial, Environment, Outcome, ServiceEntry, Speech, simulate};

use crate::harness::await_some;
use crate::lab::{Lab, names};
use crate::shape::Shape;

/// How often both agreed, over all shapes so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    shapes: usize,
    verdicts: usize,
    agreed: usize,
    unpredicted: usize,
    disagreed: usize,
    /// Shapes with an object that the API server refuses, so that nothing could be dialled.
    refused: usize,
}

static TOTALS: Mutex<Totals> = Mutex::new(Totals {
    shapes: 0,
    verdicts: 0,
    agreed: 0,
    unpredicted: 0,
    disagreed: 0,
    refused: 0,
});

impl Totals {
    /// Those since the last time.
    pub(crate) fn take() -> Self {
        std::mem::take(&mut *TOTALS.lock().expect("totals"))
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            shapes,
            verdicts,
            agreed,
            unpredicted,
            disagreed,
            refused,
        } = self;
        write!(
            f,
            "{shapes} runs of shapes ({refused} refused by the API server), {verdicts} verdicts; dials: {agreed} as predicted, {unpredicted} not predicted; {disagreed} disagreements"
        )
    }
}

/// Compares under one outbound policy. An error has all disagreements.
pub(crate) fn compare(lab: &Lab, shape: &Shape, outbound: OutboundPolicy) -> Result<(), Failed> {
    let mut totals = Totals {
        shapes: 1,
        ..Totals::default()
    };
    let mut disagreements = verdicts(lab, shape, &mut totals);
    lab.set_outbound(outbound);
    lab.clear();
    match stored(lab, shape) {
        Some(objects) => disagreements.extend(dials(lab, shape, objects, outbound, &mut totals)),
        None => totals.refused += 1,
    }
    totals.disagreed = disagreements.len();
    TOTALS.lock().expect("totals").add(totals);
    if disagreements.is_empty() {
        return Ok(());
    }
    Err(disagreements.join("\n").into())
}

impl Totals {
    fn add(&mut self, other: Self) {
        self.shapes += other.shapes;
        self.verdicts += other.verdicts;
        self.agreed += other.agreed;
        self.unpredicted += other.unpredicted;
        self.disagreed += other.disagreed;
        self.refused += other.refused;
    }
}

/// istiod's own verdict on each object.
fn verdicts(lab: &Lab, shape: &Shape, totals: &mut Totals) -> Vec<String> {
    let mut disagreements = Vec::new();
    for object in &shape.objects {
        // Of other kinds no verdict is predicted.
        if object["kind"] != "ServiceEntry" {
            continue;
        }
        let entry: ServiceEntry = serde_json::from_value(object.clone()).expect("an entry");
        let predicted = validate(&entry);
        let objection = lab.objection(object);
        totals.verdicts += 1;
        if predicted.is_empty() == objection.is_none() {
            continue;
        }
        let rules: Vec<String> = predicted.iter().map(|one| one.rule.to_string()).collect();
        let objection = objection.unwrap_or_else(|| "nothing".to_owned());
        disagreements.push(format!(
            "{}: validation predicted {rules:?}, istiod has {objection} against it",
            entry.name
        ));
    }
    disagreements
}

/// The objects as stored, one after the other. Nothing if the API server refuses one; then so must the
/// prediction.
fn stored(lab: &Lab, shape: &Shape) -> Option<Vec<Value>> {
    let mut stored = Vec::new();
    let mut newest = None;
    for object in &shape.objects {
        // Timestamps are whole seconds, and of one second the name decides. Nobody asks for the age of
        // an endpoint.
        let is_endpoint = object["kind"] == "EndpointSlice" || object["kind"] == "WorkloadEntry";
        await_some("the next second", || {
            let now = Timestamp::now().as_second();
            let is_newer = newest.is_none_or(|newest| now > newest);
            (shape.in_one_second || is_newer || is_endpoint).then_some(())
        });
        let answer = lab.create(object);
        if !answer.is_allowed() {
            let is_entry = object["kind"] == "ServiceEntry";
            let entry: ServiceEntry = serde_json::from_value(object.clone()).expect("an entry");
            assert!(
                is_entry && !validate(&entry).is_empty(),
                "refused: {}",
                answer.message()
            );
            return None;
        }
        let created = answer.body["metadata"]["creationTimestamp"].as_str();
        let created: Timestamp = created.expect("a time").parse().expect("a time");
        newest = Some(created.as_second());
        stored.push(answer.body);
    }
    Some(stored)
}

/// What each dial meets.
fn dials(
    lab: &Lab,
    shape: &Shape,
    mut objects: Vec<Value>,
    outbound: OutboundPolicy,
    totals: &mut Totals,
) -> Vec<String> {
    let named: Vec<&str> = shape.named().collect();
    let allocated = match shape.dns_capture {
        true => lab.allocate(&mut objects, &named),
        false => Vec::new(),
    };
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let mesh = mesh_of(&list.to_string());
    let names = names();
    let environment = Environment {
        outbound,
        version: lab.version,
        names: Some(&names),
        captures_dns: shape.dns_capture,
        ..Environment::default()
    };
    let mut disagreements = Vec::new();
    let mut settled = None;
    for (client, dial) in shape.dials(&allocated) {
        if settled.as_ref() != Some(&client) {
            lab.settle(&client);
            settled = Some(client);
        }
        let prediction = simulate(&mesh, &dial, &environment);
        // Where two share the load, three dials miss the other one in eight times, forty never.
        let times = if prediction.outcome == Outcome::Hijacked {
            40
        } else {
            3
        };
        let met = lab.dial(&dial, prediction.behind().unwrap_or_default(), times);
        if prediction.outcome == Outcome::Unknown {
            totals.unpredicted += 1;
        } else if met.is(prediction.outcome, &dial.speech) {
            totals.agreed += 1;
        } else {
            let why = prediction.why(&dial, &environment);
            let predicted = prediction.outcome;
            let dialled = shown(&dial);
            disagreements.push(format!(
                "{dialled}: predicted {predicted} ({why}), met {met}"
            ));
        }
    }
    disagreements
}

fn shown(dial: &Dial) -> String {
    let Dial {
        namespace,
        labels: _,
        address,
        port,
        speech,
    } = dial;
    let speech = match speech {
        Speech::Connect => "CONNECT".to_owned(),
        Speech::ConnectHttp10 => "CONNECT HTTP/1.0".to_owned(),
        Speech::Tls(name) => format!("TLS {}", name.as_deref().unwrap_or("without a name")),
    };
    format!("{speech} to {address} port {port} from {namespace}")
}
