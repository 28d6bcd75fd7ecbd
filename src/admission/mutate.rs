//! `/mutate`: the repair, where one is proved.

use jiff::civil::Date;

use crate::mesh::ServiceEntry;
use crate::mesh::line::NAME_CHARACTERS;
use crate::policy::check::Context;
use crate::policy::verdict::{leaves_an_error, repair};
use crate::policy::{Finding, evaluate};

use super::patch;
use super::record::Decision;
use super::request::Request;
use super::response::Answer;
use super::review::{Outcome, summary};

/// May patch, never denies.
pub(super) fn mutate(
    request: &Request<'_>,
    entry: &ServiceEntry,
    context: Context<'_>,
    today: Date,
) -> Outcome {
    // The schema is checked after mutation: what it refuses is for the API server to say.
    if !entry.problems.is_empty() {
        return Outcome::allowed();
    }
    let findings = evaluate(entry, context);
    let Some((edits, mended)) = repair(&findings, entry, &context, today) else {
        return Outcome::allowed();
    };
    let object = request
        .object
        .and_then(|raw| serde_json::from_str(raw.get()).ok());
    let Some(object) = object else {
        return Outcome::allowed();
    };
    let Some((patch, repaired)) = patch::build(&object, entry, &edits, &mended) else {
        return Outcome::allowed();
    };
    let Ok(mut after) = serde_json::from_value::<ServiceEntry>(repaired) else {
        return Outcome::allowed();
    };
    after.namespace = entry.namespace.clone();
    if leaves_an_error(&evaluate(&after, context), &after, &context, today) {
        return Outcome::allowed();
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
    Outcome::new(answer, Decision::Repaired, &mended)
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
    let fate = first.brief_about(NAME_CHARACTERS).fate;
    let more = match mended.len() {
        1 => String::new(),
        count => format!(" and {} more ports", count - 1),
    };
    let unseen = match context.sees_mesh {
        true => "",
        false => "; DestinationRules and other entries were not seen",
    };
    format!(
        "{check} {path} repaired: {from}→TCP{more}, otherwise {fate}{unseen} (tunnelguard explain {check})",
        check = first.check,
        path = first.path,
    )
}
