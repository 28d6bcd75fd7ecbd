//! The command line as scripts use it: exit statuses, what goes to stdout and what to stderr, and
//! the JSON that both `lint` and `trace` promise.

mod certificate;
mod commands;
mod doctor;
mod json;
mod lint;
mod policy;
mod trace;

use crate::support::text_of;

/// An entry of one port, in namespace default.
fn entry(name: &str, host: &str, address: &str, protocol: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\n\
         kind: ServiceEntry\n\
         metadata:\n  name: {name}\n\
         spec:\n  hosts: [{host}]\n  addresses: [{address}]\n  ports:\n  \
         - number: 3128\n    name: p\n    protocol: {protocol}\n"
    )
}

/// The line on which [`entry`] has its protocol.
const PROTOCOL_LINE: usize = 11;

/// An error: HTTP on corp-squid.
fn bad() -> String {
    entry("bad", "my-company-proxy.com", "10.20.0.5", "HTTP")
}

/// Nothing to say: TCP on corp-squid.
fn good() -> String {
    entry("good", "my-company-proxy.com", "10.20.0.5", "TCP")
}

/// A warning: names suggest a proxy that no policy declares.
fn suspect() -> String {
    entry("suspect", "squid.example.com", "192.0.2.9", "HTTP").replace("3128", "8888")
}

/// The examples' policy, with a text in place of another.
fn policy_with(from: &str, to: &str) -> String {
    let policy = text_of(crate::support::CORPORATE);
    assert!(
        policy.contains(from),
        "the examples' policy has no {from:?}"
    );
    policy.replacen(from, to, 1)
}

/// The examples' policy, with a line more in its `spec`.
fn policy_and(line: &str) -> String {
    policy_with("\nspec:\n", &format!("\nspec:\n  {line}\n"))
}

/// The examples' policy.
fn policy() -> String {
    text_of(crate::support::CORPORATE)
}

/// The rows of a table in `tests/fixtures/cli`: a line each, its columns between ` | `; those
/// that a row leaves out are empty.
fn rows<const COLUMNS: usize>(file: &str) -> Vec<[String; COLUMNS]> {
    let text = text_of(&format!("tests/fixtures/cli/{file}"));
    let mut rows = Vec::new();
    for line in text.lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut row = [const { String::new() }; COLUMNS];
        let columns: Vec<&str> = line.split('|').collect();
        assert!(columns.len() <= COLUMNS, "{file}: {line}");
        for (place, column) in row.iter_mut().zip(columns) {
            *place = column.trim().to_owned();
        }
        rows.push(row);
    }
    assert!(!rows.is_empty(), "{file} has no rows");
    rows
}
