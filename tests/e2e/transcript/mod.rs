//! Cases as data: what somebody types, and what comes back.
//!
//! A case is a directory of `tests/e2e/cases`, and its name the namespace that it plays in:
//!
//! - `transcript.txt`: lines that begin with `#` are prose. `jane$ COMMAND` is run by bash, with a
//!   `kubectl` that is signed in as that user; what it prints follows, blank lines left out, and
//!   `exit status N` if that is not 0. `$ COMMAND` is one of [`session::Session::tool`]'s.
//! - `policy.yaml`: the guard's policy; without it the built-in one.
//! - `setup.yaml`: a [`Setup`], where the defaults do not do.
//! - any other file is in the commands' working directory, with those of `tests/e2e/objects`.
//!
//! `TRANSCRIPT=overwrite make e2e` writes what is printed into the transcripts, to be read as a diff.

mod session;

use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::Test;
use crate::harness::{ControlPlane, FailurePolicy, repository};
use session::Session;

/// What a case changes of what surrounds it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct Setup {
    /// The validating webhook's.
    failure_policy: FailurePolicy,
    /// Flags of `tunnelguard serve`.
    flags: Vec<String>,
    /// Whether the validating policy of `examples/cel` is in force, too.
    cel: bool,
    /// Mutating webhooks of others.
    others: Vec<Other>,
}

/// A mutating webhook that answers every review with the same patch. Webhooks are asked in the order
/// of their configurations' names; ours is `tunnelguard`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Other {
    name: String,
    reinvocation_policy: String,
    patch: serde_json::Value,
}

/// A test for each case.
pub(crate) fn tests() -> Vec<Test> {
    let cases = fs::read_dir(repository("tests/e2e/cases")).expect("cases");
    let names = cases.map(|case| case.expect("a case").file_name().into_string());
    let mut names: Vec<String> = names.map(|name| name.expect("UTF-8")).collect();
    names.sort();
    let tests = names.into_iter().map(|name| {
        let case = name.clone();
        let test = move |plane: &ControlPlane| play(plane, &case);
        (format!("case::{name}"), Box::new(test) as _)
    });
    tests.collect()
}

/// Types what a transcript says, and compares what is printed.
fn play(plane: &ControlPlane, name: &str) {
    let case = repository("tests/e2e/cases").join(name);
    let path = case.join("transcript.txt");
    let expected = fs::read_to_string(&path).expect("a transcript");
    let setup = fs::read_to_string(case.join("setup.yaml")).unwrap_or_else(|_| "{}".to_owned());
    let setup: Setup = serde_saphyr::from_str(&setup).expect("setup.yaml");
    let mut session = Session::begin(plane, name, &case, &setup);
    let printed = typed_again(&expected, |prompt, command| session.run(prompt, command));
    if printed != expected && std::env::var("TRANSCRIPT").is_ok_and(|word| word == "overwrite") {
        fs::write(&path, &printed).expect("a transcript");
        return;
    }
    assert!(
        printed == expected,
        "{}",
        difference(&path, &expected, &printed)
    );
}

/// The transcript with what its commands print now.
fn typed_again(transcript: &str, mut run: impl FnMut(&str, &str) -> String) -> String {
    let mut printed = String::new();
    for line in transcript.lines() {
        let command = line
            .split_once("$ ")
            .filter(|(prompt, _)| is_prompt(prompt));
        if let Some((prompt, command)) = command {
            printed += &format!("{line}\n");
            let output = run(prompt, command);
            for line in output.lines().filter(|line| !line.trim().is_empty()) {
                printed += &format!("{}\n", line.trim_end());
            }
        } else if line.is_empty() || line.starts_with('#') {
            printed += &format!("{line}\n");
        }
    }
    printed
}

fn is_prompt(text: &str) -> bool {
    text.chars().all(|letter| letter.is_ascii_lowercase())
}

/// The first command that prints something else, and all that is printed.
fn difference(path: &Path, expected: &str, printed: &str) -> String {
    let mut lines = expected.lines().zip(printed.lines()).enumerate();
    let line = lines.find(|(_, (expected, printed))| expected != printed);
    let (number, (expected, got)) = line.unwrap_or_default();
    format!(
        "{}:{}\nexpected: {expected}\nprinted:  {got}\n--- all that is printed\n{printed}",
        path.display(),
        number + 1
    )
}
