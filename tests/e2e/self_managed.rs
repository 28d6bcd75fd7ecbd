//! What becomes of certificates that look after themselves where something is in their way.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::Test;
use crate::harness::manifests::{component, text_of};
use crate::harness::{
    Container, ControlPlane, FailurePolicy, Guard, Replicas, Stage, Way, await_some, repository,
    service_address,
};
use crate::nothing_lost::self_managed::bundles;

/// Renewed after 7 to 8 s.
const LIVES: [&str; 4] = ["--leaf-life", "12s", "--ca-life", "1h"];

const SECRET: &str = "-n tunnelguard-system secret tunnelguard-ca";

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("self_managed::at_the_start", at_the_start),
        test("self_managed::later", later),
    ]
}

fn test(name: &str, play: fn(&Scene<'_>)) -> Test {
    let begin = move |plane: &ControlPlane| play(&Scene::set(plane));
    (name.to_owned(), Box::new(begin))
}

/// Somebody else's Secret, and then a right that is missing: it says so, is not ready, and becomes it as soon
/// as both are mended.
fn at_the_start(scene: &Scene<'_>) {
    let plane = scene.plane;
    plane.prints(
        "-n tunnelguard-system create secret generic tunnelguard-ca --from-literal=ca.crt=theirs",
    );
    let take = r#"--type=json -p [{"op":"remove","path":"/rules/1"}]"#;
    plane.prints(&format!(
        "-n tunnelguard-system patch role tunnelguard-certificates {take}"
    ));
    let mut replica = scene.start("1", plane.address());
    scene.await_logged(
        "1",
        &[
            "ERROR",
            "the Secret tunnelguard-system/tunnelguard-ca is not tunnelguard's",
            "delete it, or name another: with certificates.authoritySecret of the chart",
        ],
    );
    let kept = plane.prints(&format!("get {SECRET} -o jsonpath={{.data}}"));
    assert_eq!(kept, r#"{"ca.crt":"dGhlaXJz"}"#, "it is left as it is");

    plane.prints(&format!("delete {SECRET}"));
    let missing = "the Secret tunnelguard-ca cannot be written: secrets is forbidden";
    let way_out = "apply the chart or install.yaml again";
    scene.await_logged("1", &["ERROR", missing, "cannot create resource", way_out]);
    let failures = "tunnelguard_self_managed_writes_total{object=\"secret\",result=\"failure\"}";
    await_some("it tries again", || {
        (replica.metric(failures) >= 2.0).then_some(())
    });
    assert!(!replica.ready());
    assert_eq!(scene.logged("1", &[missing]), 1, "told once");
    scene.grant();
    replica.await_ready();
}

/// The cluster does not answer for longer than the certificate lasts; and whoever leads dies in the midst of
/// a rotation.
fn later(scene: &Scene<'_>) {
    let plane = scene.plane;
    let mut way = Way::new();
    way.open(plane.address());
    let mut first = scene.start("1", way.begins);
    first.await_ready();
    way.cut();
    await_some("its certificate has ended", || {
        (!first.ready()).then_some(())
    });
    scene.await_logged("1", &["ERROR", "the certificate has ended: not ready"]);
    scene.await_logged("1", &["the cluster does not tell of its Secret"]);
    way.open(plane.address());
    first.await_ready();
    scene.await_logged("1", &["there is a certificate that is valid: ready again"]);

    let mut second = scene.start("2", plane.address());
    second.await_ready();
    await_some("the first leads", || {
        (first.metric("tunnelguard_leader") > 0.0).then_some(())
    });
    plane.prints(&format!("annotate {SECRET} tunnelguard.dev/rotate=now"));
    await_some("there is a next authority", || {
        (second.metric("tunnelguard_trusted_authorities") == 2.0).then_some(())
    });
    first.signal("KILL");
    first.ended();
    assert_eq!(second.metric("tunnelguard_certificate_generation"), 1.0);
    await_some("the other one goes on: the next authority signs", || {
        (second.metric("tunnelguard_certificate_generation") == 2.0).then_some(())
    });
    distrust_the_previous(scene, &second);
    assert!(second.ready());
}

/// At once, as docs/operations.md says, rather than when its last certificate has ended.
fn distrust_the_previous(scene: &Scene<'_>, replica: &Guard) {
    assert_eq!(replica.metric("tunnelguard_trusted_authorities"), 2.0);
    let page = fs::read_to_string(repository("docs/operations.md")).expect("a page");
    let patch = "--namespace tunnelguard-system patch secret tunnelguard-ca ";
    let mut commands = page
        .lines()
        .filter_map(|line| line.strip_prefix("kubectl "));
    let command = commands.find(|words| words.starts_with(patch));
    // No shell takes its quotes away.
    scene
        .plane
        .prints(&command.expect("a command").replace('\'', ""));
    await_some("each caBundle holds one certificate", || {
        let bundles = bundles(scene.plane);
        let mut counts = bundles.iter().map(|one| one.matches("BEGIN").count());
        counts.all(|count| count == 1).then_some(())
    });
    await_some("the replica counts one, too", || {
        (replica.metric("tunnelguard_trusted_authorities") == 1.0).then_some(())
    });
    assert_eq!(replica.metric("tunnelguard_certificate_generation"), 2.0);
    let by_itself = "the previous authority is trusted no longer";
    assert_eq!(scene.logged("2", &[by_itself]), 0, "it was the command");
}

/// A cluster whose webhooks wait for somebody who looks after them.
struct Scene<'a> {
    plane: &'a ControlPlane,
    _stage: Stage<'a>,
    /// Kubeconfigs and logs, in a directory for each replica.
    directory: TempDir,
    _cluster: Replicas<'a>,
}

impl<'a> Scene<'a> {
    fn set(plane: &'a ControlPlane) -> Self {
        let cluster = Replicas::new(plane);
        plane.forget_authority();
        let stage = Stage::new(plane, "self-managed-faults");
        stage.register_without_authority(FailurePolicy::Ignore);
        Self {
            plane,
            _stage: stage,
            directory: tempfile::tempdir().expect("a temporary directory"),
            _cluster: cluster,
        }
    }

    /// A replica of that name, which asks the API server by that address.
    fn start(&self, name: &str, api_server: SocketAddr) -> Guard {
        let directory = self.directory.path().join(name);
        fs::create_dir(&directory).expect("a directory");
        let kubeconfig = self.plane.kubeconfig_of_guard(&directory, api_server);
        let kubeconfig = kubeconfig.to_str().expect("UTF-8");
        let cluster = ["--kubeconfig", kubeconfig, "--drain-seconds", "0"];
        let log = File::create(self.log(name)).expect("a log");
        let flags = [&cluster[..], &LIVES].concat();
        Guard::start_container(&Container::shipped(), service_address(), &flags, log.into())
    }

    /// Gives back what was taken of its rights.
    fn grant(&self) {
        self.plane.apply(&text_of(&component("rbac")));
    }

    fn log(&self, replica: &str) -> PathBuf {
        Path::join(self.directory.path(), replica).join("log")
    }

    /// How many lines of a replica's log have all these words.
    fn logged(&self, replica: &str, words: &[&str]) -> usize {
        let log = fs::read_to_string(self.log(replica)).expect("a log");
        let lines = log.lines();
        lines
            .filter(|line| words.iter().all(|word| line.contains(word)))
            .count()
    }

    fn await_logged(&self, replica: &str, words: &[&str]) {
        await_some(&format!("the log says {words:?}"), || {
            (self.logged(replica, words) > 0).then_some(())
        });
    }
}

impl Drop for Scene<'_> {
    fn drop(&mut self) {
        self.grant();
        self.plane.forget_authority();
    }
}
