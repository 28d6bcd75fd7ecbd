//! The control plane that `tests/tools/control-plane` builds, as a child.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use serde_json::Value;
use tempfile::TempDir;

/// Who may sign in besides the administrator, and their group. RBAC lets `developers` do everything
/// with ServiceEntries and nothing else.
pub(crate) const USERS: &[(&str, &str)] = &[
    ("jane", "developers"),
    ("argocd", "developers"),
    ("visitor", "visitors"),
];

const DEVELOPERS: &str = r#"
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: developers}, rules: [
  {apiGroups: [networking.istio.io], resources: [serviceentries, serviceentries/status], verbs: ["*"]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: developers},
  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: developers},
  subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: developers}]}
"#;

/// A kube-apiserver with Istio's CRDs, which ends with this value.
pub(crate) struct ControlPlane {
    child: Child,
    /// Closed when this process ends, however it does; then the control plane ends, too.
    stdin: Option<ChildStdin>,
    directory: TempDir,
}

impl ControlPlane {
    /// Starts it from the binary that `make control-plane` builds, and waits until it serves. Of the guard there is
    /// nothing.
    ///
    /// # Panics
    /// If it does not come up.
    pub(crate) fn start(binary: &OsStr) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new(binary);
        command.arg("--dir").arg(directory.path());
        command.arg("--until-stdin-closes");
        for (name, group) in USERS {
            command.arg("--user").arg(format!("{name}:{group}"));
        }
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("CONTROL_PLANE is a binary");
        let stdin = child.stdin.take();
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let ready = lines.any(|line| line.is_ok_and(|line| line == "ready"));
        let plane = Self {
            child,
            stdin,
            directory,
        };
        assert!(ready, "the control plane ended before it was ready");
        plane.apply(DEVELOPERS);
        plane
    }

    /// A file in its directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A client that signs in as `admin` or as one of [`USERS`].
    pub(crate) async fn client(&self, user: &str) -> Client {
        let kubeconfig = Kubeconfig::read_from(self.file("kubeconfig")).expect("a kubeconfig");
        let options = KubeConfigOptions {
            context: Some(user.to_owned()),
            ..KubeConfigOptions::default()
        };
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        Client::try_from(config.expect("a user with a context")).expect("a client")
    }

    /// A kubeconfig for somebody who works in a namespace, in a file of that directory.
    pub(crate) fn kubeconfig(&self, directory: &Path, user: &str, namespace: &str) -> PathBuf {
        let path = directory.join(user);
        fs::copy(self.file("kubeconfig"), &path).expect("a kubeconfig");
        let mut command = self.kubectl(["config", "use-context", user]);
        run(command.env("KUBECONFIG", &path), "");
        let namespace = format!("--namespace={namespace}");
        let mut command = self.kubectl(["config", "set-context", "--current", &namespace]);
        run(command.env("KUBECONFIG", &path), "");
        path
    }

    /// Where it serves.
    pub(crate) fn address(&self) -> SocketAddr {
        let server = "jsonpath={.clusters[0].cluster.server}";
        let server = run(&mut self.kubectl(["config", "view", "-o", server]), "");
        let address = server.trim().strip_prefix("https://");
        let address = address.and_then(|address| address.parse().ok());
        address.expect("an address of the API server")
    }

    /// A kubeconfig for the ServiceAccount of the chart, who dials another address, in a file of
    /// that directory.
    pub(crate) fn kubeconfig_of_guard(&self, directory: &Path, dials: SocketAddr) -> PathBuf {
        let path = directory.join("tunnelguard");
        fs::copy(self.file("kubeconfig"), &path).expect("a kubeconfig");
        let account = ["create", "token", "-n", "tunnelguard-system", "tunnelguard"];
        let token = run(&mut self.kubectl(account), "");
        let token = format!("--token={}", token.trim());
        let cluster = "jsonpath={.clusters[0].name}";
        let cluster = run(&mut self.kubectl(["config", "view", "-o", cluster]), "");
        let server = format!("--server=https://{dials}");
        let commands = [
            vec!["config", "set-cluster", cluster.trim(), &server],
            vec!["config", "set-credentials", "tunnelguard", &token],
            vec![
                "config",
                "set-context",
                "--current",
                "--user=tunnelguard",
                "--namespace=tunnelguard-system",
            ],
        ];
        for arguments in commands {
            run(self.kubectl(arguments).env("KUBECONFIG", &path), "");
        }
        path
    }

    /// `kubectl` as the administrator.
    pub(crate) fn kubectl(
        &self,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Command {
        let mut command = Command::new(self.file("bin/kubectl"));
        command
            .args(arguments)
            .env("KUBECONFIG", self.file("kubeconfig"));
        command.env("HOME", self.directory.path());
        command
    }

    /// What `kubectl` prints to the administrator, of words without blanks in them.
    pub(crate) fn prints(&self, words: &str) -> String {
        run(&mut self.kubectl(words.split(' ')), "")
    }

    /// Applies objects as the administrator.
    pub(crate) fn apply(&self, yaml: &str) {
        let flags = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        run(&mut self.kubectl(flags), yaml);
    }

    /// Lets the next guard lead at once: those of earlier tests were killed, and hold the Lease still.
    pub(crate) fn forget_leader(&self) {
        self.prints("delete lease tunnelguard -n tunnelguard-system --ignore-not-found");
    }

    /// Lets the next guard that looks after its certificate begin with nothing.
    pub(crate) fn forget_authority(&self) {
        self.prints("delete secret tunnelguard-ca -n tunnelguard-system --ignore-not-found");
    }

    /// How much of the audit log there is.
    pub(crate) fn audited(&self) -> u64 {
        fs::metadata(self.file("audit.log")).map_or(0, |file| file.len())
    }

    /// What was done since the audit log had that size. The event of a request is there before its
    /// answer is (`--audit-log-mode=blocking`).
    pub(crate) fn audit(&self, since: u64) -> Vec<Value> {
        let mut file = File::open(self.file("audit.log")).expect("an audit log");
        file.seek(SeekFrom::Start(since)).expect("that much of it");
        let mut text = String::new();
        file.read_to_string(&mut text).expect("UTF-8");
        // Half a line, at either end, is of a request that nobody has waited for.
        let events = text.lines().map(serde_json::from_str);
        events.filter_map(Result::ok).collect()
    }

    /// The API server's metrics.
    pub(crate) async fn metrics(&self) -> String {
        let request = axum::http::Request::get("/metrics");
        let request = request.body(Vec::new()).expect("a request");
        let client = self.client("admin").await;
        client.request_text(request).await.expect("metrics")
    }
}

/// Runs a command to its end, and gives what it printed.
///
/// # Panics
/// If it fails.
pub(crate) fn run(command: &mut Command, stdin: &str) -> String {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = piped.spawn().expect("a command");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(stdin.as_bytes()).expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("its end");
    assert!(output.status.success(), "{command:?} {stdin}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // Fails only where it has ended already.
        drop(self.child.wait());
    }
}
