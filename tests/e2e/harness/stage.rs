//! The webhook configurations of the chart, with a Service whose address is ours to listen on.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use base64::Engine as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::control_plane::run;
use super::manifests::{component, text_of};
use super::{ControlPlane, await_some, free_address};

/// The Service's ClusterIP: the control plane takes them from loopback, so that whoever listens on
/// it is dialled as a Service is, without a kube-proxy.
const CLUSTER_IP: Ipv4Addr = Ipv4Addr::new(127, 10, 0, 10);

/// An address of the Service that nobody listens on. A port below 1024, as the chart has it, would
/// need root; and one of its own keeps a test clear of connections that the API server still has.
pub(crate) fn service_address() -> SocketAddr {
    free_address(CLUSTER_IP)
}

/// What becomes of a request whose review fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
pub(crate) enum FailurePolicy {
    #[default]
    Fail,
    Ignore,
}

/// A certificate as `tunnelguard certificate` makes it, in a directory of its own.
pub(crate) struct Certificate(TempDir);

impl Certificate {
    /// For the Service of the chart.
    pub(crate) fn of_service() -> Self {
        Self::made(&["--name", "tunnelguard.tunnelguard-system.svc"])
    }

    /// For this machine.
    pub(crate) fn of_loopback() -> Self {
        Self::made(&[])
    }

    fn made(flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tunnelguard"));
        command.env_clear().arg("certificate").args(flags);
        run(
            command
                .arg(directory.path().join("pki"))
                .stderr(Stdio::null()),
            "",
        );
        Self(directory)
    }

    /// `ca.crt`, `tls.crt` or `tls.key`.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join("pki").join(name)
    }

    /// Its authority, in PEM.
    pub(crate) fn authority(&self) -> Vec<u8> {
        fs::read(self.file("ca.crt")).expect("an authority")
    }

    /// Its authority, as a webhook's `clientConfig` has it.
    pub(crate) fn authority_bundle(&self) -> String {
        base64::engine::general_purpose::STANDARD.encode(self.authority())
    }
}

/// A namespace to work in, and webhook configurations that lead to an address of the Service. They
/// go when this value is dropped.
pub(crate) struct Stage<'a> {
    pub(crate) plane: &'a ControlPlane,
    pub(crate) namespace: String,
    /// Where the API server dials the webhook.
    pub(crate) address: SocketAddr,
    pub(crate) certificate: Certificate,
}

impl<'a> Stage<'a> {
    /// Makes the namespace. Nobody is asked about anything yet.
    pub(crate) fn new(plane: &'a ControlPlane, namespace: &str) -> Self {
        let object =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        plane.apply(&object.to_string());
        Self {
            plane,
            namespace: namespace.to_owned(),
            address: service_address(),
            certificate: Certificate::of_service(),
        }
    }

    /// Applies the chart's webhook configurations, with the port, the authority and the failurePolicy for ServiceEntries
    /// filled in.
    pub(crate) fn register(&self, failure_policy: FailurePolicy) {
        let bundle = self.certificate.authority_bundle();
        self.apply_manifests(failure_policy, Some(&bundle));
    }

    /// The same without an authority, as whoever looks after certificates finds them.
    pub(crate) fn register_without_authority(&self, failure_policy: FailurePolicy) {
        self.apply_manifests(failure_policy, None);
    }

    fn apply_manifests(&self, failure_policy: FailurePolicy, bundle: Option<&str>) {
        self.plane.apply(&self.service().to_string());
        let mut configurations = component("webhooks");
        for object in &mut configurations {
            for webhook in object["webhooks"].as_array_mut().expect("webhooks") {
                webhook["clientConfig"]["service"]["port"] = self.address.port().into();
                if let Some(bundle) = bundle {
                    webhook["clientConfig"]["caBundle"] = bundle.into();
                }
            }
            if object["kind"] == "ValidatingWebhookConfiguration" {
                object["webhooks"][0]["failurePolicy"] = format!("{failure_policy:?}").into();
            }
        }
        self.plane.apply(&text_of(&configurations));
    }

    /// Has the API server trust these authorities, in PEM, with both webhooks.
    pub(crate) fn trust(&self, bundle: &[u8]) {
        let bundle = base64::engine::general_purpose::STANDARD.encode(bundle);
        let path = "/webhooks/0/clientConfig/caBundle";
        let patch = json!([{"op": "replace", "path": path, "value": bundle}]).to_string();
        for kind in [
            "mutatingwebhookconfiguration",
            "validatingwebhookconfiguration",
        ] {
            let patch = ["patch", kind, "tunnelguard", "--type=json", "-p", &patch];
            run(&mut self.plane.kubectl(patch), "");
        }
    }

    fn service(&self) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "tunnelguard", "namespace": "tunnelguard-system"},
            "spec": {"clusterIP": self.address.ip(), "ports": [{"name": "https", "port": self.address.port()}]},
        })
    }

    /// Tries with dry runs until the API server has heard of the configurations.
    pub(crate) fn await_reviews(&self, mut reviewed: impl FnMut() -> bool) {
        let entry = json!({
            "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
            "metadata": {"name": "is-anybody-there", "namespace": self.namespace},
            "spec": {"hosts": ["ordinary.example"], "ports": [{"name": "https", "number": 443, "protocol": "TLS"}], "resolution": "DNS"},
        });
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        fs::write(file.path(), entry.to_string()).expect("a temporary file");
        await_some("the API server asks the webhook", || {
            let mut command = self.plane.kubectl(["create", "--dry-run=server", "-f"]);
            command.arg(file.path());
            // Refused, for as long as only a part of the configuration is known.
            drop(command.stdout(Stdio::null()).stderr(Stdio::null()).status());
            reviewed().then_some(())
        });
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        let kinds = "mutatingwebhookconfigurations,validatingwebhookconfigurations";
        let mut command = self.plane.kubectl(["delete", kinds, "--all"]);
        // Whoever comes next applies them anew.
        drop(command.stdout(Stdio::null()).stderr(Stdio::null()).status());
    }
}
