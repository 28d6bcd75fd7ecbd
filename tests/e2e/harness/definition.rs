//! The CustomResourceDefinition of the chart, installed for a while.

use std::process::Stdio;

use super::control_plane::run;
use super::{ControlPlane, repository};

/// What the chart calls the definition.
const NAME: &str = "customresourcedefinition/connectproxypolicies.tunnelguard.dev";

/// Taken away, with every policy, when this value is dropped.
pub(crate) struct Definition<'a>(&'a ControlPlane);

impl<'a> Definition<'a> {
    /// Installed by somebody else, if at all.
    pub(crate) fn of(plane: &'a ControlPlane) -> Self {
        Self(plane)
    }

    /// Installs it, and waits until its resources are served.
    pub(crate) fn install(plane: &'a ControlPlane) -> Self {
        let file = repository("manifests/chart/files/connectproxypolicy-crd.yaml");
        let flags = ["apply", "--server-side", "--validate=strict", "-f"];
        let mut command = plane.kubectl(flags);
        run(command.arg(file), "");
        run(
            &mut plane.kubectl(["wait", "--for=condition=Established", NAME]),
            "",
        );
        Self(plane)
    }
}

impl Drop for Definition<'_> {
    fn drop(&mut self) {
        let mut command = self.0.kubectl(["delete", "--ignore-not-found", NAME]);
        // Whoever comes next installs it anew.
        drop(command.stdout(Stdio::null()).stderr(Stdio::null()).status());
    }
}
