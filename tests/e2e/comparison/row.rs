//! An entry, and what is said of it in a line of a table.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;

use serde::Deserialize;
use serde_json::{Value, json};

use super::NAMESPACES;
use super::fate::Fates;
use crate::harness::{Answer, repository};

/// A row as `rows.yaml` has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    row: String,
    name: Option<String>,
    namespace: Option<String>,
    spec: Value,
    old: Option<Value>,
    #[serde(default = "corp_squid")]
    dials: [SocketAddr; 2],
    tls: Option<String>,
}

fn corp_squid() -> [SocketAddr; 2] {
    ["10.20.0.5:3128", "10.20.0.6:3128"].map(|address| address.parse().expect("an address"))
}

/// An entry that is written.
pub(super) struct Row {
    called: String,
    pub(super) object: Value,
    /// The spec that it replaces.
    pub(super) old: Option<Value>,
    dials: [SocketAddr; 2],
    tls: Option<String>,
}

/// Every row of `rows.yaml`.
pub(super) fn rows() -> Vec<Row> {
    let text = fs::read_to_string(repository("tests/e2e/comparison/rows.yaml"));
    let rows: Vec<Written> = serde_saphyr::from_str(&text.expect("rows")).expect("rows.yaml");
    let rows = rows.into_iter().enumerate().map(|(position, row)| {
        let name = row.name.unwrap_or_else(|| format!("row-{position}"));
        let namespace = row.namespace.unwrap_or_else(|| NAMESPACES[0].to_owned());
        let object = json!({
            "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
            "metadata": {"name": name, "namespace": namespace},
            "spec": row.spec,
        });
        Row {
            called: row.row,
            object,
            old: row.old,
            dials: row.dials,
            tls: row.tls,
        }
    });
    rows.collect()
}

/// The line of a row: what becomes of the dials with the entry as it is written, then what is done
/// about it. Bold is what lets pass, without a word, what breaks a dial, or denies what breaks none.
pub(super) fn line(row: &Row, answers: &[&Answer], fates: &Fates) -> String {
    let object = &row.object;
    let fate = |object: &Value| fates.of(object, &row.dials, row.tls.as_deref());
    let before = fate(object);
    let mut line = format!("| {} | {} |", row.called, before.told());
    for answer in answers {
        let checks = checks(answer);
        let because = match checks.is_empty() {
            true => String::new(),
            false => format!(" ({})", Vec::from_iter(checks).join(", ")),
        };
        let (cell, right) = if !answer.is_allowed() {
            assert_judged(answer);
            (format!("denied{because}"), !before.is_good())
        } else if answer.body["spec"] != object["spec"] {
            let after = fate(&answer.body);
            let located = &object["spec"]["location"];
            let moved = match located.is_null() || *located == answer.body["spec"]["location"] {
                true => "",
                false => ", location replaced",
            };
            let right = after.is_good() && moved.is_empty();
            (format!("repaired{because}: {}{moved}", after.told()), right)
        } else if answer.warnings.is_empty() {
            ("allowed".to_owned(), before.is_good())
        } else {
            (format!("warned{because}"), true)
        };
        let mark = if right { "" } else { "**" };
        line += &format!(" {mark}{cell}{mark} |");
    }
    line
}

/// The checks that an answer names.
fn checks(answer: &Answer) -> BTreeSet<String> {
    let message = answer.message();
    let lines = answer.warnings.iter().map(String::as_str).chain([message]);
    let words = lines.flat_map(|line| line.split(|letter: char| !letter.is_ascii_alphanumeric()));
    let checks = words.filter(|word| {
        word.strip_prefix("TG")
            .is_some_and(|id| id.len() == 3 && id.bytes().all(|b| b.is_ascii_digit()))
    });
    checks.map(str::to_owned).collect()
}

/// A policy or webhook denies it, and not the schema.
fn assert_judged(answer: &Answer) {
    let message = answer.message();
    assert!(
        message.contains("ValidatingAdmissionPolicy 'connect-proxies'")
            || message.contains("tunnelguard.dev"),
        "refused by somebody else: {message}"
    );
}
