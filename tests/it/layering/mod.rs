//! The folders of `src/` are layers: none uses a module that it may not, and the pure ones touch
//! neither clock, file, environment, socket, log nor runtime.
//!
//! The list of edges here is the truth; prose elsewhere quotes it. What is scanned is the text of
//! everything that is not a test (see `scan`), so that macros and platforms hide nothing.

mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::support::{repository, text_of};
use scan::{Source, Use};

/// Who may use whom, complete. `commands` may use everything, and nobody may use `commands`.
const EDGES: [(&str, &[&str]); 9] = [
    ("mesh", &[]),
    ("policy", &["mesh"]),
    ("source", &["mesh"]),
    ("admission", &["policy", "mesh"]),
    ("state", &["policy", "mesh", "source"]),
    ("discovery", &["policy", "mesh", "state"]),
    ("report", &["policy", "mesh", "source"]),
    ("pki", &[]),
    ("server", &["pki", "admission", "state"]),
];

/// Values in, values out: folders of `src/`, and modules in them.
const PURE: [&str; 8] = [
    "mesh",
    "policy",
    "admission",
    "discovery/env",
    "discovery/index",
    "discovery/observed",
    "commands/doctor/examine",
    "pki/plan",
];

/// What a pure module never names: these paths, and what is inside them.
const IMPURE: [&str; 13] = [
    "tokio",
    "axum",
    "hyper",
    "hyper_util",
    "rustls",
    "tokio_rustls",
    "tracing",
    "std::fs",
    "std::env",
    "std::thread",
    "std::io::stdin",
    "jiff::Timestamp::now",
    "jiff::Zoned::now",
];

/// What a pure module never names, wherever it was imported from.
const IMPURE_WORDS: [&str; 6] = [
    "SystemTime",
    "Instant",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "await",
];

#[test]
fn no_layer_uses_one_above_it() {
    let sources = sources();
    let layers: BTreeSet<&str> = sources.iter().filter_map(Source::layer).collect();
    let listed = EDGES.iter().map(|(layer, _)| *layer).chain(["commands"]);
    assert_eq!(layers, listed.collect(), "every folder of src is in EDGES");
    let faults: Vec<String> = sources.iter().flat_map(forbidden_edges).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn pure_layers_touch_nothing() {
    let faults: Vec<String> = sources().iter().flat_map(impurities).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn pure_layers_deny_the_disallowed_lints() {
    for layer in PURE {
        let path = format!("src/{layer}/mod.rs");
        let text: String = text_of(&path).split_whitespace().collect();
        let denied = "#![deny(clippy::disallowed_methods,clippy::disallowed_types,clippy::disallowed_macros)]";
        assert!(text.contains(denied), "{path}: no {denied}");
    }
}

/// A file, its text, and what is said of it; nothing: it is fine.
const PLANTED: &[(&str, &str, &str)] = &[
    (
        "src/mesh/a.rs",
        "use crate::server::Server;",
        "src/mesh/a.rs:1: mesh → server (crate::server::Server)",
    ),
    ("src/mesh/a.rs", "use crate::mesh::view;", ""),
    (
        "src/pki/a.rs",
        "\nfn f() { crate::state::load() }",
        "src/pki/a.rs:2: pki → state (crate::state::load)",
    ),
    (
        "src/policy/a.rs",
        "use crate::{mesh, report::{self}};",
        "src/policy/a.rs:1: policy → report (crate::report::self)",
    ),
    (
        "src/policy/a.rs",
        "use super::super::source;",
        "src/policy/a.rs:1: policy → source (crate::source)",
    ),
    (
        "src/policy/a/mod.rs",
        "use super::super::source;",
        "src/policy/a/mod.rs:1: policy → source (crate::source)",
    ),
    ("src/policy/checks/a.rs", "use super::super::source;", ""),
    (
        "src/mesh/mod.rs",
        "pub use super::commands::main;",
        "src/mesh/mod.rs:1: mesh → commands (crate::commands::main)",
    ),
    (
        "src/report/a.rs",
        "//! See [crate::server].\n/* crate::pki /* */ */ const A: &str = \"crate::pki\";",
        "",
    ),
    (
        "src/report/a.rs",
        "const A: &str = r#\"\"crate::pki\"#; use crate::pki;",
        "src/report/a.rs:1: report → pki (crate::pki)",
    ),
    (
        "src/mesh/a.rs",
        "#[cfg(test)]\nmod tests { use crate::pki; }\nuse crate::server;",
        "src/mesh/a.rs:3: mesh → server (crate::server)",
    ),
    ("src/mesh/a.rs", "#[cfg(test)] use crate::pki;", ""),
    (
        "src/mesh/a.rs",
        "fn f<'a>(c: char) -> bool { c == '\"' } use crate::pki; // \"",
        "src/mesh/a.rs:1: mesh → pki (crate::pki)",
    ),
    ("src/mesh/tests/a.rs", "use crate::server;", ""),
    (
        "src/mesh/a.rs",
        "let t = std::time::SystemTime::now();",
        "src/mesh/a.rs:1: mesh is pure, and names std::time::SystemTime::now",
    ),
    (
        "src/policy/a.rs",
        "use std::{collections::BTreeMap, fs::{self, File}};",
        "src/policy/a.rs:1: policy is pure, and names std::fs::self",
    ),
    (
        "src/admission/a.rs",
        "use std::time as t; t::Instant::now()",
        "src/admission/a.rs:1: admission is pure, and names t::Instant::now",
    ),
    (
        "src/admission/a.rs",
        "f().await",
        "src/admission/a.rs:1: admission is pure, and names await",
    ),
    (
        "src/admission/a.rs",
        "tracing::info!(\"\");",
        "src/admission/a.rs:1: admission is pure, and names tracing::info",
    ),
    (
        "src/mesh/a.rs",
        "use std::net::{IpAddr, TcpStream};",
        "src/mesh/a.rs:1: mesh is pure, and names std::net::TcpStream",
    ),
    ("src/server/a.rs", "std::time::Instant::now()", ""),
    (
        "src/discovery/env/a.rs",
        "tracing::info!(\"\");",
        "src/discovery/env/a.rs:1: discovery/env is pure, and names tracing::info",
    ),
    (
        "src/discovery/observed/a.rs",
        "f().await",
        "src/discovery/observed/a.rs:1: discovery/observed is pure, and names await",
    ),
    ("src/discovery/watch.rs", "f().await", ""),
];

#[test]
fn planted_violations_are_found() {
    for (path, text, expected) in PLANTED {
        let source = Source::new(path, text);
        let mut found = source.iter().flat_map(forbidden_edges).next();
        found = found.or_else(|| source.iter().flat_map(impurities).next());
        assert_eq!(found.unwrap_or_default(), *expected, "{path}: {text}");
    }
}

#[test]
fn the_scan_sees_the_edges_there_are() {
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources() {
        let Some(layer) = source.layer() else {
            continue;
        };
        let used = source.uses().filter_map(Use::layer);
        seen.entry(layer.to_owned()).or_default().extend(used);
    }
    for (from, to) in [
        ("policy", "mesh"),
        ("admission", "policy"),
        ("commands", "server"),
    ] {
        assert!(seen[from].contains(to), "{from} uses {to}: {seen:?}");
    }
}

/// Every file of `src/` that is not a test.
fn sources() -> Vec<Source> {
    let root = repository("src");
    let mut files = Vec::new();
    below(&root, &mut files);
    files.sort();
    let sources = files
        .iter()
        .filter_map(|path| Source::new(path, &text_of(path)));
    sources.collect()
}

fn below(directory: &Path, files: &mut Vec<String>) {
    for file in std::fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            below(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let inside = path.strip_prefix(repository("")).unwrap();
            files.push(inside.to_str().unwrap().to_owned());
        }
    }
}

fn forbidden_edges(source: &Source) -> Vec<String> {
    let Some(from) = source.layer().filter(|layer| *layer != "commands") else {
        return Vec::new();
    };
    let listed = EDGES.iter().find(|(layer, _)| *layer == from);
    let (_, allowed) = listed.unwrap_or_else(|| panic!("{from} is not in EDGES"));
    let mut faults = Vec::new();
    for used in source.uses() {
        let Some(to) = used.layer().filter(|to| to != from) else {
            continue;
        };
        if !allowed.contains(&&*to) {
            let (path, line) = (&source.path, used.line);
            faults.push(format!("{path}:{line}: {from} → {to} ({})", used.path));
        }
    }
    faults
}

fn impurities(source: &Source) -> Vec<String> {
    let is_inside = |layer: &&&str| {
        let rest = source.path.strip_prefix("src/");
        let rest = rest.and_then(|path| path.strip_prefix(**layer));
        rest.is_some_and(|rest| rest.starts_with('/'))
    };
    let Some(layer) = PURE.iter().find(is_inside) else {
        return Vec::new();
    };
    let is_impure = |path: &str| {
        let inside = |outer: &str| {
            let rest = path.strip_prefix(outer);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        IMPURE.iter().any(|impure| inside(impure))
            || path.split("::").any(|word| IMPURE_WORDS.contains(&word))
    };
    let impure = source.uses().filter(|used| is_impure(&used.path));
    let faults = impure.map(|used| {
        let (path, line) = (&source.path, used.line);
        format!("{path}:{line}: {layer} is pure, and names {}", used.path)
    });
    faults.collect()
}
