//! Replicas that follow a cluster, each as a child.

use std::net::SocketAddr;

use k8s_openapi::api::coordination::v1::LeaseSpec;
use tempfile::TempDir;

use super::manifests::{component, text_of};
use super::{Certificate, ControlPlane, Definition, Guard, await_some, service_address};

/// A cluster with the chart's definition, and replicas that work in it with the rights of the chart's
/// ServiceAccount. The first of them leads at once.
pub(crate) struct Replicas<'a> {
    pub(crate) plane: &'a ControlPlane,
    certificate: Certificate,
    kubeconfigs: TempDir,
    _definition: Definition<'a>,
}

impl<'a> Replicas<'a> {
    /// Starts none yet.
    pub(crate) fn new(plane: &'a ControlPlane) -> Self {
        let definition = Definition::install(plane);
        plane.apply(&text_of(&component("rbac")));
        plane.forget_leader();
        Self {
            plane,
            certificate: Certificate::of_service(),
            kubeconfigs: tempfile::tempdir().expect("a temporary directory"),
            _definition: definition,
        }
    }

    /// Another one, which is ready.
    pub(crate) fn start(&self) -> Guard {
        let kubeconfig = self.kubeconfig();
        let flags = ["--kubeconfig", &kubeconfig, "--drain-seconds", "0"];
        Guard::start(service_address(), &self.certificate, &flags)
    }

    /// Another one, which looks after its certificate itself, and is not ready yet.
    pub(crate) fn start_self_managed(&self, listen: SocketAddr, flags: &[&str]) -> Guard {
        let kubeconfig = self.kubeconfig();
        let cluster = ["--kubeconfig", &kubeconfig, "--drain-seconds", "0"];
        Guard::start_self_managed(listen, &[&cluster, flags].concat())
    }

    fn kubeconfig(&self) -> String {
        let dials = self.plane.address();
        let path = self
            .plane
            .kubeconfig_of_guard(self.kubeconfigs.path(), dials);
        path.to_str().expect("UTF-8").to_owned()
    }

    /// The Lease by which they agree on a leader.
    pub(crate) fn lease(&self) -> LeaseSpec {
        let get = "get lease tunnelguard -n tunnelguard-system -o jsonpath={.spec}";
        let printed = self.plane.prints(get);
        serde_json::from_str(&printed).expect("a Lease")
    }

    /// Edits the policy, and waits until its status is about that.
    pub(crate) fn await_status_of(&self, mode: &str) {
        self.plane.apply(&format!(
            "{{apiVersion: tunnelguard.dev/v1alpha1, kind: ConnectProxyPolicy, \
              metadata: {{name: corporate}}, spec: {{mode: {mode}}}}}"
        ));
        let policy = "get connectproxypolicy corporate -o jsonpath=";
        await_some("the status tells of the edit", || {
            let fields = "{.metadata.generation}/{.status.observedGeneration}/{.status.conditions[0].status}";
            let printed = self.plane.prints(&format!("{policy}{fields}"));
            let (generation, rest) = printed.split_once('/').expect("three fields");
            (rest == format!("{generation}/True")).then_some(())
        });
    }
}
