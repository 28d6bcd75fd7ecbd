//! Helm, as `make helm` builds it, and the chart.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;
use tunnelguard::source::{self, SourceFile};

use crate::harness::repository;

/// The namespace of `manifests/install.yaml`.
pub(super) const NAMESPACE: &str = "tunnelguard-system";

/// Helm, with a home of its own.
pub(super) struct Helm {
    home: TempDir,
}

impl Helm {
    pub(super) fn new() -> Self {
        Self {
            home: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    /// Where it is.
    ///
    /// # Panics
    /// If nobody has built it.
    pub(super) fn binary() -> PathBuf {
        let binary = env::var_os("HELM").expect("HELM names the binary that `make e2e` builds");
        binary.into()
    }

    /// The definitions of the kinds that the chart can make, as their projects publish them.
    pub(super) fn definitions() -> PathBuf {
        Self::binary().with_file_name("definitions.yaml")
    }

    pub(super) fn command(&self, words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = Command::new(Self::binary());
        command.env_clear().env("HOME", self.home.path());
        command.current_dir(repository("")).args(words);
        command
    }

    /// What the chart is with some values.
    ///
    /// # Errors
    /// What Helm says about them.
    pub(super) fn template(&self, values: &Value) -> Result<String, String> {
        let file = self.home.path().join("values.json");
        fs::write(&file, values.to_string()).expect("a file");
        let mut command = self.command(["template", "tunnelguard", "manifests/chart"]);
        let output = command
            .args(["--namespace", NAMESPACE, "--values"])
            .arg(&file);
        printed(output.output().expect("Helm runs"))
    }
}

/// The standard output of a command that succeeds, else its standard error.
pub(super) fn printed(output: Output) -> Result<String, String> {
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    match output.status.success() {
        true => Ok(text(output.stdout)),
        false => Err(text(output.stderr)),
    }
}

/// The objects of a text.
pub(super) fn objects(text: &str) -> Vec<Value> {
    let reading = source::read(&SourceFile::from_text("rendered", text));
    assert!(reading.problems.is_empty(), "{:?}", reading.problems);
    let objects = reading.documents.into_iter();
    objects.map(|document| document.value).collect()
}
