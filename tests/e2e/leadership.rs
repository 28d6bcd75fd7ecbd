//! Replicas agree on one that writes to the cluster, and another takes its place when it is gone.

use std::fs;

use k8s_openapi::api::coordination::v1::LeaseSpec;
use tempfile::TempDir;

use crate::Test;
use crate::harness::{
    Certificate, ControlPlane, Definition, Guard, await_some, repository, service_address,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![(
        "leadership::takeover".to_owned(),
        Box::new(|plane| takeover(&Scene::new(plane))),
    )]
}

fn takeover(scene: &Scene<'_>) {
    let mut first = scene.replica();
    scene.await_leader(&first, None);
    scene.await_status_of("Enforce");
    let mut second = scene.replica();

    // One that hangs keeps its Lease until that is over, and stands back when it wakes up.
    first.signal("STOP");
    let lease = scene.lease();
    scene.await_leader(&second, Some(&lease));
    scene.await_status_of("Audit");
    first.signal("CONT");
    await_some("the first leads no longer", || {
        (!leads(&first)).then_some(())
    });
    assert!(leads(&second));

    // One that is killed does, too.
    second.signal("KILL");
    second.ended();
    let lease = scene.lease();
    scene.await_leader(&first, Some(&lease));
    scene.await_status_of("Mutate");

    // One that ends passes it on.
    let third = scene.replica();
    let before = scene.lease().holder_identity;
    first.signal("TERM");
    assert!(first.ended().success());
    assert_ne!(scene.lease().holder_identity, before, "it was not released");
    scene.await_leader(&third, None);
    scene.await_status_of("Enforce");
}

fn leads(replica: &Guard) -> bool {
    replica.metric("tunnelguard_leader") > 0.0
}

/// A policy, and replicas that write its status.
struct Scene<'a> {
    plane: &'a ControlPlane,
    certificate: Certificate,
    kubeconfigs: TempDir,
    _definition: Definition<'a>,
}

impl<'a> Scene<'a> {
    fn new(plane: &'a ControlPlane) -> Self {
        let definition = Definition::install(plane);
        let rights = fs::read_to_string(repository("manifests/rbac.yaml"));
        plane.apply(&rights.expect("a manifest"));
        plane.forget_leader();
        Self {
            plane,
            certificate: Certificate::of_service(),
            kubeconfigs: tempfile::tempdir().expect("a temporary directory"),
            _definition: definition,
        }
    }

    fn replica(&self) -> Guard {
        let dials = self.plane.address();
        let kubeconfig = self
            .plane
            .kubeconfig_of_guard(self.kubeconfigs.path(), dials);
        let kubeconfig = kubeconfig.to_str().expect("UTF-8");
        let flags = ["--kubeconfig", kubeconfig, "--drain-seconds", "0"];
        Guard::start(service_address(), &self.certificate, &flags)
    }

    fn lease(&self) -> LeaseSpec {
        let get = "get lease tunnelguard -n tunnelguard-system -o jsonpath={.spec}";
        let printed = self.plane.prints(get);
        serde_json::from_str(&printed).expect("a Lease")
    }

    /// Waits until a replica leads; where another held the Lease, not before that was over.
    fn await_leader(&self, replica: &Guard, before: Option<&LeaseSpec>) {
        await_some("a replica leads", || leads(replica).then_some(()));
        let Some(before) = before else {
            return;
        };
        let now = self.lease();
        let [renewed, acquired] = [&before.renew_time, &now.acquire_time].map(|time| {
            let time = time.as_ref().expect("a Lease that is held");
            time.0
        });
        let seconds = acquired.duration_since(renewed).as_secs();
        assert!(seconds >= 15, "taken over after {seconds} s");
        assert_eq!(
            now.lease_transitions,
            before.lease_transitions.map(|transitions| transitions + 1)
        );
    }

    /// Edits the policy, and waits until its status is about that.
    fn await_status_of(&self, mode: &str) {
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
