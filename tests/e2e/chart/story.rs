//! A chart's life, typed again: `story.txt` is what the documentation shows.
//!
//! No controller and no network of Pods is there, so `$ pods start` is the kubelet's and kube-proxy's part: it runs
//! one replica as the stored Deployment says, with the rights of its ServiceAccount, at the stored Service's address.
//! `$ pods stop` kills it, and `$ pods tell SERIES` shows the sum of what it counts. The port alone is another than 443,
//! which would take root.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::helm::{Helm, NAMESPACE, address_of_service, helm_on_port, stored};
use crate::harness::transcript::{play_transcript, printed_by};
use crate::harness::{Container, ControlPlane, Guard, await_some, repository, service_address};

/// Who takes part, beside `pods`.
const USERS: [&str; 2] = ["admin", "jane"];

pub(super) fn is_as_told(plane: &ControlPlane) {
    play(plane, "tests/e2e/chart/story.txt");
}

/// The same without Helm: `pieces.txt` is what manifests/README.md says.
pub(super) fn in_pieces(plane: &ControlPlane) {
    play(plane, "tests/e2e/chart/pieces.txt");
}

fn play(plane: &ControlPlane, transcript: &str) {
    let mut story = Story::begin(plane);
    play_transcript(&repository(transcript), |prompt, command| {
        story.run(prompt, command)
    });
}

struct Story<'a> {
    plane: &'a ControlPlane,
    directory: TempDir,
    pod: Option<Guard>,
    /// Where a replica listens, or did.
    address: Option<SocketAddr>,
    /// The Service's, in place of 443.
    port: u16,
}

impl<'a> Story<'a> {
    fn begin(plane: &'a ControlPlane) -> Self {
        let definitions = Helm::definitions();
        let definitions = definitions.to_str().expect("UTF-8");
        plane.prints(&format!("create -f {definitions}"));
        plane.prints(&format!(
            "wait --for=condition=Established --timeout=60s -f {definitions}"
        ));
        // Other tests leave what Helm would not take over.
        super::remove(plane);
        plane.forget_leader();
        plane.forget_authority();
        plane.prints(&format!(
            "label namespace {NAMESPACE} pod-security.kubernetes.io/enforce-"
        ));
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| directory.path().join(name);
        for name in ["files", "bin", "home"] {
            fs::create_dir(path(name)).expect("a directory");
        }
        for name in ["manifests", "examples"] {
            symlink(repository(name), path("files").join(name)).expect("a link");
        }
        let binary = env!("CARGO_BIN_EXE_tunnelguard");
        symlink(binary, path("bin/tunnelguard")).expect("a link");
        let port = service_address().port();
        helm_on_port(&path("bin"), port);
        symlink(plane.file("bin/kubectl"), path("bin/kubectl")).expect("a link");
        for user in USERS {
            plane.kubeconfig(&path("home"), user, "default");
        }
        Self {
            plane,
            directory,
            pod: None,
            address: None,
            port,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run(&mut self, prompt: &str, command: &str) -> String {
        if !prompt.is_empty() {
            return self.typed(prompt, command);
        }
        let words: Vec<&str> = command.split(' ').collect();
        match words[..] {
            ["pods", "start"] => self.start(),
            ["pods", "stop"] => self.pod = None,
            ["pods", "tell", series] => {
                let pod = self.pod.as_ref().expect("a replica");
                return format!("{series} {}\n", pod.metric(series));
            }
            _ => panic!("no such tool: {command}"),
        }
        String::new()
    }

    fn typed(&self, user: &str, command: &str) -> String {
        let others = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("bash");
        shell.current_dir(self.path("files")).env_clear();
        shell.env("HOME", self.path("home"));
        shell.env("PATH", format!("{}:{others}", self.path("bin").display()));
        shell.env("KUBECONFIG", self.path("home").join(user));
        let said = printed_by(&mut shell, command);
        let said = self.as_in_a_cluster(&said);
        let lines = said
            .lines()
            .filter(|line| !line.starts_with("LAST DEPLOYED:"));
        lines.map(|line| format!("{line}\n")).collect()
    }

    /// An address and a port that are other ones in every run, as some cluster has them.
    fn as_in_a_cluster(&self, said: &str) -> String {
        let port = format!(".svc:{}", self.port);
        let said = said.replace(&port, ".svc:443");
        let Some(address) = self.address else {
            return said;
        };
        said.replace(&address.to_string(), "10.96.0.10:443")
    }

    /// Starts a replica as the Deployment says, and waits until the API server asks it.
    fn start(&mut self) {
        let address = address_of_service(self.plane);
        let container = Container::of(&stored(self.plane, "deployment/tunnelguard"));
        let home = self.path("home");
        let kubeconfig = self.plane.kubeconfig_of_guard(&home, self.plane.address());
        let flags = ["--kubeconfig", kubeconfig.to_str().expect("UTF-8")];
        let mut pod = Guard::start_container(&container, address, &flags, Stdio::null());
        pod.await_ready();
        self.pod = Some(pod);
        self.address = Some(address);
        self.await_reviews();
    }

    fn await_reviews(&self) {
        let pod = self.pod.as_ref().expect("a replica");
        let asked = || pod.metric("tunnelguard_reviews_total");
        let before = asked();
        let entry = repository("tests/e2e/objects/tcp.yaml");
        await_some("the API server asks both webhooks", || {
            let mut create = self.plane.kubectl(["create", "--dry-run=server", "-f"]);
            drop(create.arg(&entry).output());
            (asked() >= before + 2.0).then_some(())
        });
    }
}

impl Drop for Story<'_> {
    fn drop(&mut self) {
        let definitions = Helm::definitions();
        let mut delete = self.plane.kubectl(["delete", "--ignore-not-found", "-f"]);
        // Fails only where a test has failed already.
        drop(delete.arg(definitions).output());
    }
}
