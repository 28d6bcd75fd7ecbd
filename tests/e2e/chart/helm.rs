//! Helm, as `make helm` builds it, and the chart.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{ControlPlane, repository};

/// The namespace of `manifests/install.yaml`.
pub(crate) const NAMESPACE: &str = "tunnelguard-system";

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
        self.template_as("tunnelguard", NAMESPACE, values)
    }

    /// The same under other names.
    ///
    /// # Errors
    /// What Helm says about them.
    pub(super) fn template_as(
        &self,
        release: &str,
        namespace: &str,
        values: &Value,
    ) -> Result<String, String> {
        let file = self.home.path().join("values.json");
        fs::write(&file, values.to_string()).expect("a file");
        let mut command = self.command(["template", release, "manifests/chart"]);
        let output = command
            .args(["--namespace", namespace, "--values"])
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

/// Puts a `helm` into a directory for which the Service's port is another one than 443, which would take root.
pub(crate) fn helm_on_port(directory: &Path, port: u16) {
    let script = |name: &str, text: &str| {
        let path = directory.join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a script");
        fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("a script");
        path
    };
    let put = format!("exec sed -E 's/port: 443(,|$)/port: {port}\\1/'");
    let put = script("on-another-port", &put);
    let (helm, put) = (Helm::binary(), put.display().to_string());
    let helm = helm.display();
    let with = format!("case $1 in install | upgrade) set -- \"$@\" --post-renderer {put} ;; esac");
    script("helm", &format!("{with}\nexec {helm} \"$@\""));
}

/// Where the stored Service leads the API server.
pub(crate) fn address_of_service(plane: &ControlPlane) -> SocketAddr {
    let spec = stored(plane, "service/tunnelguard")["spec"].take();
    let ip = spec["clusterIP"].as_str().and_then(|ip| ip.parse().ok());
    let port = spec["ports"][0]["port"].as_u64();
    let port = port.and_then(|port| port.try_into().ok()).expect("a port");
    SocketAddr::new(ip.expect("an address"), port)
}

/// What the chart made, as it is stored.
pub(crate) fn stored(plane: &ControlPlane, what: &str) -> Value {
    let printed = plane.prints(&format!("get -n {NAMESPACE} {what} -o json"));
    serde_json::from_str(&printed).expect("JSON")
}
