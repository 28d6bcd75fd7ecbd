//! Cases as data: what somebody types, and what comes back.
//!
//! A case is a directory of `tests/e2e/cases`, and its name the namespace that it plays in:
//!
//! - `transcript.txt`: lines that begin with `#` are prose. `jane$ COMMAND` is run by bash, with a
//!   `kubectl` that is signed in as that user; what it prints follows, blank lines left out, and
//!   `exit status N` if that is not 0. `$ COMMAND` is one of [`session::Session::tool`]'s.
//! - `policy.yaml`: the guard's policy; without it the built-in one.
//! - `setup.yaml`: a [`Setup`], where the defaults do not do.
//! - any other file is in the commands' working directory, with those of `tests/e2e/objects`; of a `cluster`
//!   case the repository's `docs` and `manifests`, too.
//!
//! `TRANSCRIPT=overwrite make e2e` writes what is printed into the transcripts, to be read as a diff.

mod audit;
mod many;
mod session;

use std::fs;

use serde::Deserialize;

use crate::Test;
use crate::harness::transcript::play_transcript;
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
    /// Whether the guard follows the policies of the cluster, with the rights of the chart's ServiceAccount.
    /// `manifests` and the files of `manifests/chart/files` are then in the working directory, too.
    cluster: bool,
    /// Whether it serves a certificate from files there, too, as with the chart's `certificates.type: files`.
    certificate_files: bool,
    /// Mutating webhooks of others.
    others: Vec<Other>,
}

impl Setup {
    /// Without a cluster nobody would keep its authority.
    fn looks_after_certificate(&self) -> bool {
        self.cluster && !self.certificate_files
    }
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
    let setup = fs::read_to_string(case.join("setup.yaml")).unwrap_or_else(|_| "{}".to_owned());
    let setup: Setup = serde_saphyr::from_str(&setup).expect("setup.yaml");
    let mut session = Session::begin(plane, name, &case, &setup);
    play_transcript(&case.join("transcript.txt"), |prompt, command| {
        session.run(prompt, command)
    });
}
