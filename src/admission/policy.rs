//! `/validate` of a ConnectProxyPolicy: what cannot be used is refused, what can hardly be meant is
//! warned about.

use jiff::civil::Date;
use serde_json::Value;

use crate::mesh::line::one_line;
use crate::policy::advice::advice;
use crate::policy::check::Context;
use crate::policy::compile::{Place, Remark, compile_object};

use super::outcome::Outcome;
use super::record::Decision;
use super::request::Request;
use super::response::{Answer, Denial};
use super::wording::TOLD;

/// Judges a policy, which is an object of its cluster.
pub(super) fn validate_policy(
    request: &Request<'_>,
    object: &Value,
    context: Context<'_>,
    today: Date,
) -> Outcome {
    // It can be told, labelled and taken away, whatever it says.
    if object["metadata"]["deletionTimestamp"].is_string() {
        return Outcome::allowed();
    }
    let name = request.object_name();
    let (decision, answer) = match compile_object(object, Place::Cluster) {
        Err(faults) => {
            let lines = told(&name, &faults, "faults");
            let answer = Answer {
                denial: Some(Denial::invalid(lines)),
                ..Answer::default()
            };
            (Decision::Denied, answer)
        }
        Ok((document, compiled)) => {
            let advice = advice(&document, &compiled, context.policies, today);
            if advice.is_empty() {
                return Outcome::allowed();
            }
            let answer = Answer {
                warnings: told(&name, &advice, "warnings"),
                ..Answer::default()
            };
            (Decision::Warned, answer)
        }
    };
    let audit = vec![("decision", decision.name().to_owned())];
    Outcome::new(Answer { audit, ..answer }, decision, &[])
}

/// How much of a policy's name each line has.
const NAME: usize = 64;

/// A line each, but no more than a person mends at once: where there are more, the last says so.
fn told(name: &str, remarks: &[Remark], called: &str) -> Vec<String> {
    let name = one_line(name, NAME);
    let told = match remarks.len() {
        0..=TOLD => remarks.len(),
        _ => TOLD - 1,
    };
    let lines = remarks.iter().take(told);
    let mut lines: Vec<String> = lines
        .map(|remark| format!("policy {name} {remark}"))
        .collect();
    let untold = remarks.len() - told;
    if untold > 0 {
        lines.push(format!("policy {name}: and {untold} more {called}"));
    }
    lines
}
