//! Findings as JSON: an array, one object a check and field.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::policy::fix::{Edit, Fix, Operation, Safety};
use crate::policy::proxy::Evidence;
use crate::source::SourceFile;

use super::Reported;

/// Writes the array, and nothing else.
pub fn write_json(
    reported: &[Reported],
    files: &[SourceFile],
    out: &mut dyn Write,
) -> io::Result<()> {
    let rows: Vec<Value> = reported.iter().map(|one| row(one, files)).collect();
    serde_json::to_writer_pretty(&mut *out, &rows)?;
    writeln!(out)
}

fn row(reported: &Reported, files: &[SourceFile]) -> Value {
    let finding = &reported.finding;
    let proxies: Vec<Value> = finding
        .proxies
        .iter()
        .map(|concerned| Value::from(&*concerned.proxy.name))
        .collect();
    let evidence = finding
        .proxies
        .iter()
        .map(|concerned| concerned.proxy.evidence)
        .max();
    json!({
        "check": finding.check.to_string(),
        "severity": finding.severity.to_string(),
        "message": finding.message(),
        "file": reported.file.map(|file| files[file].name.clone()),
        "line": reported.location.as_ref().map(|location| location.line),
        "column": reported.location.as_ref().map(|location| location.column),
        "path": reported.path().map(ToString::to_string),
        "object": reported.object.as_ref().map(|object| json!({
            "apiVersion": object.api_version,
            "kind": object.kind,
            "namespace": object.namespace,
            "name": object.name,
        })),
        "proxies": proxies,
        "evidence": evidence.map(|evidence: Evidence| evidence.to_string()),
        "expired": reported.expired,
        "fix": finding.fix.as_ref().map(fix),
    })
}

fn fix(fix: &Fix) -> Value {
    let (safety, proof) = match &fix.safety {
        Safety::Safe => ("safe", None),
        Safety::Unsafe { proof } => ("unsafe", proof.as_deref()),
    };
    let edits: Vec<Value> = fix.edits.iter().map(edit).collect();
    let mut value = json!({"safety": safety, "edits": edits});
    if let Some(proof) = proof {
        value["proof"] = Value::from(proof);
    }
    value
}

fn edit(edit: &Edit) -> Value {
    let path = edit.path.pointer();
    match &edit.operation {
        Operation::Add(value) => json!({"op": "add", "path": path, "value": value}),
        Operation::Replace(value) => json!({"op": "replace", "path": path, "value": value}),
        Operation::Remove => json!({"op": "remove", "path": path}),
    }
}
