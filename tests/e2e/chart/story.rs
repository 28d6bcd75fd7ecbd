//! A chart's life, typed again: `story.txt` is what the documentation shows.
//!
//! No controller and no network of Pods is there, so `$ pods start` is the kubelet's and kube-proxy's part: it runs
//! one replica as the stored Deployment says, with the rights of its ServiceAccount, behind the stored Service's address.
//! `$ pods stop` ends it.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::helm::{Helm, NAMESPACE};
use crate::harness::transcript::{play_transcript, printed_by};
use crate::harness::{Certificate, ControlPlane, Guard, await_some, free_address, repository, run};

/// Who takes part, beside `pods`.
const USERS: [&str; 2] = ["admin", "jane"];

pub(super) fn is_as_told(plane: &ControlPlane) {
    let mut story = Story::begin(plane);
    play_transcript(
        &repository("tests/e2e/chart/story.txt"),
        |prompt, command| story.run(prompt, command),
    );
}

struct Story<'a> {
    plane: &'a ControlPlane,
    directory: TempDir,
    pod: Option<Pod>,
    /// Where a replica listens, or did.
    address: Option<SocketAddr>,
}

/// A replica, with the certificate that it serves from files.
struct Pod {
    guard: Guard,
    _certificate: Certificate,
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
        symlink(Helm::binary(), path("bin/helm")).expect("a link");
        symlink(plane.file("bin/kubectl"), path("bin/kubectl")).expect("a link");
        for user in USERS {
            plane.kubeconfig(&path("home"), user, "default");
        }
        Self {
            plane,
            directory,
            pod: None,
            address: None,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run(&mut self, prompt: &str, command: &str) -> String {
        match (prompt, command) {
            ("", "pods start") => self.start(),
            ("", "pods stop") => self.pod = None,
            _ => return self.typed(prompt, command),
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
        if command.starts_with("helm upgrade") && self.pod.is_some() {
            // Helm has put the port right, and nothing else that is not the chart's.
            self.lead_to_pod(None);
            self.await_reviews();
        }
        let said = self.as_in_a_cluster(&said);
        let lines = said
            .lines()
            .filter(|line| !line.starts_with("LAST DEPLOYED:"));
        lines.map(|line| format!("{line}\n")).collect()
    }

    /// An address and a port that are other ones in every run, as some cluster has them.
    fn as_in_a_cluster(&self, said: &str) -> String {
        let Some(address) = self.address else {
            return said.to_owned();
        };
        let port = format!(".svc:{}", address.port());
        let said = said.replace(&address.to_string(), "10.96.0.10:443");
        said.replace(&port, ".svc:443")
    }

    /// Starts a replica, and waits until the API server asks it.
    fn start(&mut self) {
        let stored = |what: &str| -> Value {
            let printed = self
                .plane
                .prints(&format!("get -n {NAMESPACE} {what} -o json"));
            serde_json::from_str(&printed).expect("JSON")
        };
        let service = stored("service/tunnelguard");
        let ip: IpAddr = service["spec"]["clusterIP"]
            .as_str()
            .expect("an address")
            .parse()
            .expect("one");
        // 443 would take root.
        let address = free_address(ip);
        let deployment = stored("deployment/tunnelguard");
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        let certificate = Certificate::of_service();
        let kubeconfig = self
            .plane
            .kubeconfig_of_guard(&self.path("home"), self.plane.address());
        let mut flags = vec![
            "--kubeconfig".to_owned(),
            kubeconfig.to_str().expect("UTF-8").to_owned(),
        ];
        for argument in container["args"]
            .as_array()
            .expect("arguments")
            .iter()
            .skip(1)
        {
            let argument = argument.as_str().expect("an argument");
            let elsewhere = ["--listen=", "--health-listen=", "--self-managed", "--tls-"];
            if !elsewhere.iter().any(|start| argument.starts_with(start)) {
                flags.push(argument.to_owned());
            }
        }
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let guard = Guard::start(address, &certificate, &flags);
        let bundle = certificate.authority_bundle();
        self.pod = Some(Pod {
            guard,
            _certificate: certificate,
        });
        self.address = Some(address);
        let port = json!([{"op": "add", "path": "/spec/ports/-", "value": {"name": format!("at-{}", address.port()), "port": address.port()}}]);
        self.patch(&format!("service/tunnelguard -n {NAMESPACE}"), &port);
        self.lead_to_pod(Some(&bundle));
        self.await_reviews();
    }

    /// Has the API server dial the replica, and trust it.
    fn lead_to_pod(&self, bundle: Option<&str>) {
        let pod = self.pod.as_ref().expect("a replica");
        for (kind, webhooks) in [("mutating", 1), ("validating", 2)] {
            let mut patch = Vec::new();
            for index in 0..webhooks {
                let client = format!("/webhooks/{index}/clientConfig");
                let port = pod.guard.address().port();
                patch.push(
                    json!({"op": "add", "path": format!("{client}/service/port"), "value": port}),
                );
                if let Some(bundle) = bundle {
                    patch.push(
                        json!({"op": "add", "path": format!("{client}/caBundle"), "value": bundle}),
                    );
                }
            }
            let configuration = format!("{kind}webhookconfiguration/tunnelguard");
            self.patch(&configuration, &Value::Array(patch));
        }
    }

    fn patch(&self, what: &str, patch: &Value) {
        let patch = patch.to_string();
        let words = ["patch"].into_iter().chain(what.split(' '));
        let words = words.chain(["--type=json", "-p", &patch]);
        run(&mut self.plane.kubectl(words), "");
    }

    fn await_reviews(&self) {
        let pod = self.pod.as_ref().expect("a replica");
        let asked = || pod.guard.metric("tunnelguard_reviews_total");
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
