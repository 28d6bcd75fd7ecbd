//! Policies from texts: every fault with its file, line, field and way out.

use std::path::PathBuf;

use serde_json::Value;

use crate::mesh::FieldPath;
use crate::policy::PolicySet;
use crate::policy::compile::{Place, Remark};
use crate::policy::spec::{ConnectProxyPolicy, KIND, Unreadable};
use crate::source::{self, Collected, Document, Location, SourceFile};

/// Policies that cannot be used: each fault on a line of its own, as `file:line:column: message`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct PolicyFileError(pub Vec<String>);

/// Paths, and what they name.
pub(super) struct Given<'a> {
    pub(super) paths: &'a [PathBuf],
    pub(super) collected: &'a Collected,
}

/// Compiles all policies in what was given; each path has to bring one.
pub(super) fn compile(given: &[Given<'_>], place: Place) -> Result<PolicySet, PolicyFileError> {
    let mut faults = Vec::new();
    let mut policies: Vec<Loaded> = Vec::new();
    for given in given {
        read_all(given, &mut policies, &mut faults);
    }
    if !faults.is_empty() {
        return Err(PolicyFileError(faults));
    }
    // By name, so that the order of flags and files decides nothing.
    policies.sort_by(|a, b| a.policy.metadata.name.cmp(&b.policy.metadata.name));
    faults.extend(
        policies
            .windows(2)
            .filter_map(|pair| pair[1].repeats(&pair[0])),
    );
    let documents: Vec<ConnectProxyPolicy> = policies
        .iter()
        .map(|loaded| loaded.policy.clone())
        .collect();
    let compiled = PolicySet::compile_where(&documents, place);
    if let Err(invalid) = &compiled {
        let invalid = invalid.iter();
        faults.extend(invalid.map(|(index, invalid)| policies[*index].fault(invalid)));
    }
    match compiled {
        Ok(policies) if faults.is_empty() => Ok(policies),
        _ => Err(PolicyFileError(faults)),
    }
}

fn read_all(given: &Given<'_>, policies: &mut Vec<Loaded>, faults: &mut Vec<String>) {
    let mut brings = Vec::new();
    for file in &given.collected.files {
        let before = policies.len();
        read_file(file, policies, faults);
        brings.push(policies.len() > before);
    }
    for (path, named) in given.paths.iter().zip(&given.collected.named_by) {
        let nothing = !named.iter().any(|index| brings[*index]);
        if nothing && faults.is_empty() {
            faults.push(format!("{}: there is no {KIND} in it", path.display()));
        }
    }
}

/// A policy, with where it came from.
struct Loaded {
    file: String,
    document: Document,
    policy: ConnectProxyPolicy,
}

impl Loaded {
    fn fault(&self, invalid: &Remark) -> String {
        let location = self.document.locate(&invalid.path);
        at(&self.file, &location, &invalid.to_string())
    }

    /// Names are how proxies find their policy: with two of one name, each would be judged by both.
    fn repeats(&self, other: &Self) -> Option<String> {
        let name = &self.policy.metadata.name;
        // No name at all is a fault of its own.
        if name.is_empty() || *name != other.policy.metadata.name {
            return None;
        }
        let path = FieldPath::root().key("metadata").key("name");
        let first = other.document.locate(&path);
        let place = at(&other.file, &first, "");
        let place = place.trim_end_matches(": ");
        let message =
            format!("{path}: {place} has a policy {name:?} already; rename or remove one");
        Some(at(&self.file, &self.document.locate(&path), &message))
    }
}

fn at(file: &str, location: &Location, message: &str) -> String {
    format!("{file}:{}:{}: {message}", location.line, location.column)
}

fn read_file(file: &SourceFile, policies: &mut Vec<Loaded>, faults: &mut Vec<String>) {
    let reading = source::read(file);
    for problem in &reading.problems {
        faults.push(at(&file.name, &problem.location, &problem.message));
    }
    if let Some(skipped) = reading.skipped {
        faults.push(format!("{}: {}", file.name, skipped.reason));
    }
    for document in reading.documents {
        match ConnectProxyPolicy::read(&document.value) {
            Ok(policy) => policies.push(Loaded {
                file: file.name.clone(),
                document,
                policy,
            }),
            Err(error) => faults.push(explain(&file.name, &document, &error)),
        }
    }
}

/// Says what is wrong where.
fn explain(file: &str, document: &Document, unreadable: &Unreadable) -> String {
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
    let Unreadable {
        path,
        of_key,
        message,
    } = unreadable;
    let location = match of_key {
        true => document.locate_key(path),
        false => document.locate(path),
    };
    let invalid = Remark {
        path: path.clone(),
        message: message.clone(),
    };
    at(file, &location, &invalid.to_string())
}
