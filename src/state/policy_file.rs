//! Policies from files: every fault with its file, line, field and way out.

use std::path::PathBuf;

use serde_json::Value;
use serde_path_to_error::Segment;

use crate::mesh::FieldPath;
use crate::policy::PolicySet;
use crate::policy::compile::Invalid;
use crate::policy::spec::{ConnectProxyPolicy, KIND};
use crate::source::{self, Document, Location, SourceFile};

/// Policies that cannot be used: each fault on a line of its own, as `file:line:column: message`.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct PolicyFileError(pub Vec<String>);

/// Reads and compiles the policies in files and directories.
///
/// # Errors
/// Every fault of every file: nothing is applied in part.
pub fn load(paths: &[PathBuf]) -> Result<PolicySet, PolicyFileError> {
    let mut faults = Vec::new();
    let mut policies: Vec<Loaded> = Vec::new();
    for path in paths {
        let files = source::collect(std::slice::from_ref(path), std::io::stdin().lock())
            .map_err(|error| PolicyFileError(vec![error.to_string()]))?;
        let before = policies.len();
        for file in files {
            read_file(file, &mut policies, &mut faults);
        }
        if faults.is_empty() && policies.len() == before {
            faults.push(format!("{}: there is no {KIND} in it", path.display()));
        }
    }
    if !faults.is_empty() {
        return Err(PolicyFileError(faults));
    }
    // By name, so that the order of flags and files decides nothing.
    policies.sort_by(|a, b| a.policy.metadata.name.cmp(&b.policy.metadata.name));
    let documents: Vec<ConnectProxyPolicy> = policies
        .iter()
        .map(|loaded| loaded.policy.clone())
        .collect();
    PolicySet::compile(&documents).map_err(|invalid| {
        let faults = invalid
            .iter()
            .map(|(index, invalid)| policies[*index].fault(invalid));
        PolicyFileError(faults.collect())
    })
}

/// A policy, with where it came from.
struct Loaded {
    file: String,
    document: Document,
    policy: ConnectProxyPolicy,
}

impl Loaded {
    fn fault(&self, invalid: &Invalid) -> String {
        let location = self.document.locate(&invalid.path);
        at(
            &self.file,
            &location,
            &format!("{}: {}", invalid.path, invalid.message),
        )
    }
}

fn at(file: &str, location: &Location, message: &str) -> String {
    format!("{file}:{}:{}: {message}", location.line, location.column)
}

fn read_file(file: SourceFile, policies: &mut Vec<Loaded>, faults: &mut Vec<String>) {
    let reading = source::read(&file);
    for problem in &reading.problems {
        faults.push(at(&file.name, &problem.location, &problem.message));
    }
    if let Some(skipped) = reading.skipped {
        faults.push(format!("{}: {}", file.name, skipped.reason));
    }
    for document in reading.documents {
        match serde_path_to_error::deserialize::<_, ConnectProxyPolicy>(document.value.clone()) {
            Ok(policy) => policies.push(Loaded {
                file: file.name.clone(),
                document,
                policy,
            }),
            Err(error) => faults.push(explain(&file.name, &document, &error)),
        }
    }
}

/// Says what is wrong where; for an unknown field also which known one is nearest.
fn explain(
    file: &str,
    document: &Document,
    error: &serde_path_to_error::Error<serde_json::Error>,
) -> String {
    let kind = document.value.get("kind").and_then(Value::as_str);
    if kind != Some(KIND) {
        let found = kind.unwrap_or("no kind");
        let location = document.locate(&FieldPath::root().key("kind"));
        return at(
            file,
            &location,
            &format!("expected kind {KIND}, found {found}"),
        );
    }
    let path = field_path(error.path());
    let message = error.inner().to_string();
    let Some(field) = unknown_field(&message) else {
        let place = if path.segments().is_empty() {
            String::new()
        } else {
            format!("{path}: ")
        };
        return at(file, &document.locate(&path), &format!("{place}{message}"));
    };
    let known: Vec<&str> = message.split('`').skip(3).step_by(2).collect();
    let nearest = known
        .iter()
        .max_by(|a, b| similarity(field, a).total_cmp(&similarity(field, b)));
    // The path may or may not end in the field itself.
    let named = path
        .segments()
        .last()
        .is_some_and(|last| matches!(last, crate::mesh::Segment::Key(key) if &**key == field));
    let whole = if named { path } else { path.key(field) };
    let hint = nearest
        .map(|nearest| format!("; did you mean `{nearest}`?"))
        .unwrap_or_default();
    let known = known.join(", ");
    at(
        file,
        &document.locate_key(&whole),
        &format!("{whole}: unknown field `{field}`{hint} (known here: {known})"),
    )
}

fn similarity(a: &str, b: &str) -> f64 {
    strsim::jaro_winkler(&a.to_ascii_lowercase(), &b.to_ascii_lowercase())
}

/// The field of serde's "unknown field `x`, expected …".
fn unknown_field(message: &str) -> Option<&str> {
    message.strip_prefix("unknown field `")?.split('`').next()
}

fn field_path(path: &serde_path_to_error::Path) -> FieldPath {
    path.iter()
        .fold(FieldPath::root(), |path, segment| match segment {
            Segment::Seq { index } => path.index(*index),
            Segment::Map { key } => path.key(key),
            Segment::Enum { .. } | Segment::Unknown => path,
        })
}
