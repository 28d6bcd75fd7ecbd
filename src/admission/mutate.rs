//! `/mutate`: the repair, where one is proved.

use jiff::civil::Date;

use crate::mesh::ServiceEntry;
use crate::policy::check::Context;
use crate::policy::evaluate;
use crate::policy::verdict::{leaves_an_error, repair};

use super::change::Changes;
use super::outcome::{Outcome, summary};
use super::patch;
use super::record::Decision;
use super::request::Request;
use super::response::Answer;
use super::wording::repair_warning;

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
    let changes = Changes::of(entry, &mended);
    let Some((patch, repaired)) = patch::build(object, &edits, &changes) else {
        return Outcome::allowed();
    };
    let Ok(mut after) = serde_json::from_value::<ServiceEntry>(repaired) else {
        return Outcome::allowed();
    };
    after.namespace = entry.namespace.clone();
    if leaves_an_error(&evaluate(&after, context), &after, &context, today) {
        return Outcome::allowed();
    }
    // The first repair stands for many.
    let (object, changed) = (request.object_name(), changes.in_brief());
    let warning = mended.iter().take(1);
    let warning = warning.map(|first| repair_warning(first, &object, &changed, unseen(&context)));
    let answer = Answer {
        patch: Some(patch),
        warnings: warning.collect(),
        audit: vec![
            ("decision", Decision::Repaired.name().to_owned()),
            ("findings", summary(&mended)),
        ],
        ..Answer::default()
    };
    Outcome::new(answer, Decision::Repaired, &mended)
}

/// What is said where not everything was seen.
fn unseen(context: &Context<'_>) -> &'static str {
    match (context.sees_mesh, context.mesh.is_empty()) {
        (true, _) => "",
        (false, true) => "; judged by this object alone",
        (false, false) => "; judged by a part of the mesh",
    }
}
