//! One review, from bytes to bytes.

use jiff::civil::Date;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::mesh::ServiceEntry;
use crate::mesh::service_entry::GROUP;
use crate::policy::check::Context;
use crate::policy::verdict::{Verdict, judge, leaves_an_error, repair};
use crate::policy::{Finding, evaluate};

use super::patch;
use super::request::{Rejected, Request, parse};
use super::response::Answer;

/// Which of the two webhooks is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Webhook {
    /// May patch, never denies.
    Mutate,
    /// May deny, never patches.
    Validate,
}

/// What a review came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Nothing to say.
    Allowed,
    /// Allowed, with warnings.
    Warned,
    /// Patched.
    Repaired,
    /// Refused.
    Denied,
}

impl Decision {
    /// As it stands in logs, metrics and audit annotations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Warned => "warned",
            Self::Repaired => "repaired",
            Self::Denied => "denied",
        }
    }
}

/// What the log says of a review: no user data beyond the object's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The review's uid.
    pub uid: String,
    /// CREATE or UPDATE.
    pub operation: String,
    /// `namespace/name`.
    pub object: String,
    /// What it came to.
    pub decision: Decision,
    /// The ids of the findings in force, each once.
    pub checks: Vec<String>,
    /// Whether nothing will be stored.
    pub dry_run: bool,
}

/// Answers a review. `today` decides which exemptions still hold.
///
/// # Errors
/// [`Rejected`] where the body is no AdmissionReview of `admission.k8s.io/v1` with a uid.
pub fn review(
    webhook: Webhook,
    body: &[u8],
    context: Context<'_>,
    today: Date,
) -> Result<(Vec<u8>, Record), Rejected> {
    let request = parse(body)?;
    let (answer, decision, checks) = match subject(&request) {
        None => (Answer::default(), Decision::Allowed, Vec::new()),
        Some(entry) => match webhook {
            Webhook::Mutate => mutate(&request, &entry, context, today),
            Webhook::Validate => validate(&request, &entry, context, today),
        },
    };
    let namespace = request.namespace.as_deref().unwrap_or_default();
    let name = request.name.as_deref().unwrap_or_default();
    let record = Record {
        uid: request.uid.to_string(),
        operation: request.operation.to_string(),
        object: format!("{namespace}/{name}"),
        decision,
        checks,
        dry_run: request.dry_run.unwrap_or(false),
    };
    Ok((answer.into_bytes(&request.uid), record))
}

/// The ServiceEntry to look at; `None` for whatever is allowed untouched: other kinds,
/// sub-resources, deletions, objects that are going away, and updates that leave the spec alone.
fn subject(request: &Request<'_>) -> Option<ServiceEntry> {
    let is_entry = request.kind.group == GROUP && request.kind.kind == "ServiceEntry";
    let whole = request
        .sub_resource
        .as_deref()
        .unwrap_or_default()
        .is_empty();
    if !is_entry || !whole || !matches!(&*request.operation, "CREATE" | "UPDATE") {
        return None;
    }
    let object = request.object?;
    let entry = read(object, request)?;
    if entry.deleting || request.old_object.is_some_and(|old| same_spec(object, old)) {
        return None;
    }
    Some(entry)
}

fn read(object: &RawValue, request: &Request<'_>) -> Option<ServiceEntry> {
    let mut entry: ServiceEntry = serde_json::from_str(object.get()).ok()?;
    if let Some(namespace) = request.namespace.as_deref().filter(|text| !text.is_empty()) {
        entry.namespace = namespace.into();
    }
    Some(entry)
}

fn same_spec(object: &RawValue, old: &RawValue) -> bool {
    let spec = |raw: &RawValue| -> Option<Value> {
        let mut value: Value = serde_json::from_str(raw.get()).ok()?;
        Some(value.get_mut("spec")?.take())
    };
    match (spec(object), spec(old)) {
        (Some(new), Some(old)) => new == old,
        _ => false,
    }
}

type Outcome = (Answer, Decision, Vec<String>);

fn allowed() -> Outcome {
    (Answer::default(), Decision::Allowed, Vec::new())
}

fn mutate(
    request: &Request<'_>,
    entry: &ServiceEntry,
    context: Context<'_>,
    today: Date,
) -> Outcome {
    // The schema is checked after mutation: what it refuses is for the API server to say.
    if !entry.problems.is_empty() {
        return allowed();
    }
    let findings = evaluate(entry, context);
    let Some((edits, mended)) = repair(&findings, entry, &context, today) else {
        return allowed();
    };
    let object = request
        .object
        .and_then(|raw| serde_json::from_str(raw.get()).ok());
    let Some(object) = object else {
        return allowed();
    };
    let Some((patch, repaired)) = patch::build(&object, entry, &edits, &mended) else {
        return allowed();
    };
    let Ok(mut after) = serde_json::from_value::<ServiceEntry>(repaired) else {
        return allowed();
    };
    after.namespace = entry.namespace.clone();
    if leaves_an_error(&evaluate(&after, context), &after, &context, today) {
        return allowed();
    }
    let answer = Answer {
        patch: Some(patch),
        warnings: vec![repair_warning(entry, &mended, context)],
        audit: vec![
            ("decision", Decision::Repaired.name().to_owned()),
            ("findings", summary(&mended)),
        ],
        ..Answer::default()
    };
    (answer, Decision::Repaired, checks_of(&mended))
}

/// What was changed, why, and what was not seen, in one line; the first repair stands for many.
fn repair_warning(entry: &ServiceEntry, mended: &[Finding], context: Context<'_>) -> String {
    let Some(first) = mended.first() else {
        return String::new();
    };
    let port = first.port.and_then(|number| entry.port(number));
    let from = port
        .and_then(|port| port.protocol_text.as_deref())
        .unwrap_or("(none)");
    let proxy = first
        .proxies
        .first()
        .map_or("a proxy", |concerned| &concerned.proxy.name);
    let more = match mended.len() {
        1 => String::new(),
        count => format!(" and {} more ports", count - 1),
    };
    let unseen = match context.sees_mesh {
        true => "",
        false => "; DestinationRules and other entries were not seen",
    };
    format!(
        "{check} {path} repaired: {from}→TCP{more}, since CONNECT to {proxy} would get 404{unseen} (tunnelguard explain {check})",
        check = first.check,
        path = first.path,
    )
}

fn validate(
    request: &Request<'_>,
    entry: &ServiceEntry,
    context: Context<'_>,
    today: Date,
) -> Outcome {
    let findings = evaluate(entry, context);
    if findings.is_empty() {
        return allowed();
    }
    let old = request.old_object.and_then(|old| read(old, request));
    let known = old.as_ref().map(|old| evaluate(old, context));
    let old = old.as_ref().zip(known.as_deref());
    let verdict = judge(findings, entry, old, &context, today);
    if !verdict.is_allowed() {
        let answer = Answer {
            denial: Some(denial(&verdict)),
            audit: vec![
                ("decision", Decision::Denied.name().to_owned()),
                ("findings", summary(&verdict.denied)),
            ],
            ..Answer::default()
        };
        return (answer, Decision::Denied, checks_of(&verdict.denied));
    }
    if verdict.warned.is_empty() && verdict.expired.is_empty() {
        return allowed();
    }
    let mut warnings: Vec<String> = verdict.warned.iter().map(Finding::warning).collect();
    warnings.extend(verdict.expired);
    let answer = Answer {
        warnings,
        audit: vec![
            ("decision", Decision::Warned.name().to_owned()),
            ("findings", summary(&verdict.warned)),
        ],
        ..Answer::default()
    };
    (answer, Decision::Warned, checks_of(&verdict.warned))
}

/// Every finding that denies, one a line; then what a person can run to read more.
fn denial(verdict: &Verdict) -> String {
    let mut lines: Vec<String> = verdict
        .denied
        .iter()
        .map(|finding| format!("{} {}: {}", finding.check, finding.path, finding.message()))
        .collect();
    lines.extend(verdict.expired.iter().map(|note| format!("{note}.")));
    let explain = verdict
        .denied
        .first()
        .map(|finding| finding.check.to_string());
    if let (Some(last), Some(check)) = (lines.last_mut(), explain) {
        last.push_str(&format!(" More: tunnelguard explain {check}"));
    }
    lines.join("\n")
}

fn checks_of(findings: &[Finding]) -> Vec<String> {
    let mut checks: Vec<String> = findings
        .iter()
        .map(|finding| finding.check.to_string())
        .collect();
    checks.dedup();
    checks
}

/// `TG001 spec.ports[0].protocol corp-squid`, one a finding, for the audit log.
fn summary(findings: &[Finding]) -> String {
    let lines = findings.iter().map(|finding| {
        let proxies = finding
            .proxies
            .iter()
            .map(|concerned| &*concerned.proxy.name);
        let proxies = proxies.collect::<Vec<_>>().join(",");
        format!("{} {} {proxies}", finding.check, finding.path)
    });
    lines.collect::<Vec<_>>().join("; ")
}
