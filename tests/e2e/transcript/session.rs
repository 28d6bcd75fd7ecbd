//! The place in which a transcript is typed again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::Setup;
use super::audit::AuditLog;
use super::many::create_many;
use crate::harness::manifests::{component, text_of};
use crate::harness::transcript::printed_by;
use crate::harness::{
    AnsweringWebhook, CelPolicies, Container, ControlPlane, Definition, DnsServer, Guard, Repair,
    Stage, USERS, Way, await_some, repository, within_limit,
};

/// A namespace, a guard that judges what is written to it, and users at their shells.
pub(crate) struct Session<'a> {
    stage: Stage<'a>,
    /// None while it is stopped.
    guard: Option<Guard>,
    /// How it is started, but for these flags.
    container: Container,
    flags: Vec<String>,
    /// Where the commands run.
    directory: TempDir,
    /// Each user's kubeconfig.
    kubeconfigs: TempDir,
    _others: Vec<AnsweringWebhook>,
    _policies: Option<CelPolicies<'a>>,
    _definition: Option<Definition<'a>>,
    way: Way,
    /// Whom the guard asks for names.
    names: DnsServer,
    /// How many lines of the guard's log were shown.
    logged: usize,
    audit: AuditLog,
    /// The guard's series when they were last shown.
    counted: BTreeMap<String, f64>,
}

impl<'a> Session<'a> {
    pub(crate) fn begin(plane: &'a ControlPlane, name: &str, case: &Path, setup: &Setup) -> Self {
        let stage = Stage::new(plane, name);
        let directory = tempfile::tempdir().expect("a temporary directory");
        copy_files(&repository("tests/e2e/objects"), directory.path());
        copy_files(case, directory.path());
        let kubeconfigs = tempfile::tempdir().expect("a temporary directory");
        for user in USERS.iter().map(|(user, _)| *user).chain(["admin"]) {
            plane.kubeconfig(kubeconfigs.path(), user, name);
        }
        let mut session = Self {
            stage,
            guard: None,
            container: Container::shipped(),
            flags: setup.flags.clone(),
            directory,
            kubeconfigs,
            _others: Vec::new(),
            _policies: setup
                .cel
                .then(|| CelPolicies::apply(plane, Repair::None, &[])),
            _definition: setup.cluster.then(|| Definition::of(plane)),
            way: Way::new(),
            names: DnsServer::start(),
            logged: 0,
            audit: AuditLog::default(),
            counted: BTreeMap::new(),
        };
        let policy = session.directory.path().join("policy.yaml");
        if policy.exists() {
            let policy = policy.to_str().expect("UTF-8").to_owned();
            session.flags.extend(["--policy".to_owned(), policy]);
        }
        if setup.cluster {
            session.clear_mesh();
            session.follow_cluster();
        }
        session.register(setup);
        session.start_guard();
        let guard = session.guard.as_ref().expect("it was started");
        session.stage.await_reviews(|| guard.has_been_asked());
        session.audit = AuditLog::from_now(plane);
        session.count("");
        session
    }

    /// Registers the others and the guard, which is yet to start.
    fn register(&mut self, setup: &Setup) {
        for other in &setup.others {
            let webhook = AnsweringWebhook::patching(&other.patch);
            let mut described = webhook.webhook(&format!("{}.example.com", other.name), "mutate");
            described["reinvocationPolicy"] = other.reinvocation_policy.as_str().into();
            let configuration = json!({
                "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
                "metadata": {"name": other.name}, "webhooks": [described],
            });
            self.stage.plane.apply(&configuration.to_string());
            self._others.push(webhook);
        }
        let Setup { failure_policy, .. } = *setup;
        if setup.looks_after_certificate() {
            self.stage.register_without_authority(failure_policy);
            return;
        }
        let container = Container::shipped();
        self.container = container.with_files(&self.stage.certificate);
        self.stage.register(failure_policy);
    }

    fn start_guard(&mut self) {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        let log = File::create(self.log_file()).expect("a log");
        let address = self.stage.address;
        let mut guard = Guard::start_container(&self.container, address, &flags, log.into());
        guard.await_ready();
        self.guard = Some(guard);
        self.logged = 0;
    }

    /// Lets the guard sign in as the ServiceAccount of the chart.
    fn follow_cluster(&mut self) {
        let plane = self.stage.plane;
        let directory = self.directory.path();
        copy_files(&repository("manifests/chart/files"), directory);
        for name in ["docs", "manifests"] {
            symlink(repository(name), directory.join(name)).expect("a link");
        }
        plane.apply(&text_of(&component("rbac")));
        plane.forget_leader();
        plane.forget_authority();
        self.way.open(plane.address());
        let kubeconfig = plane.kubeconfig_of_guard(self.kubeconfigs.path(), self.way.begins);
        let kubeconfig = kubeconfig.to_str().expect("UTF-8").to_owned();
        self.flags.extend(["--kubeconfig".to_owned(), kubeconfig]);
        let names = self.names.address.to_string();
        self.flags.extend(["--dns-server".to_owned(), names]);
    }

    /// What other tests left of theirs is not this one's mesh.
    fn clear_mesh(&self) {
        const KINDS: &str = "serviceentries,destinationrules,sidecars,workloadentries";
        let delete = ["delete", KINDS, "--all", "--all-namespaces"];
        let deleted = self.stage.plane.kubectl(delete).output();
        let deleted = deleted.expect("kubectl runs");
        assert!(deleted.status.success(), "{deleted:?}");
    }

    fn log_file(&self) -> PathBuf {
        self.kubeconfigs.path().join("guard.log")
    }

    /// Runs one command, and gives what it prints.
    pub(crate) fn run(&mut self, prompt: &str, command: &str) -> String {
        if prompt.is_empty() {
            return self.tool(command);
        }
        let mut shell = self.shell(prompt);
        printed_by(shell.args(["-o", "pipefail"]), command)
    }

    /// A user's shell, with the control plane's `kubectl` and with `tunnelguard`.
    fn shell(&self, user: &str) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let bin = self.stage.plane.file("bin");
        let own = Path::new(env!("CARGO_BIN_EXE_tunnelguard")).parent();
        let own = own.expect("a directory with the binary");
        let mut shell = Command::new("bash");
        shell.current_dir(self.directory.path());
        shell.env("HOME", self.kubeconfigs.path());
        shell.env("KUBECONFIG", self.kubeconfigs.path().join(user));
        shell.env(
            "PATH",
            format!("{}:{}:{path}", bin.display(), own.display()),
        );
        shell
    }

    /// What a transcript can ask for that is no shell command:
    ///
    /// - `audit`: what the audit log has of the requests since it was last shown, with annotations;
    ///   `audit PREFIX`: with those annotations alone;
    /// - `metrics PREFIX`: by how much the guard's series with that prefix grew since last shown; `metrics`: from now on;
    /// - `await SERIES VALUE`: waits until the guard's series has that value;
    /// - `readyz`: whether the guard wants reviews;
    /// - `log WORDS`: waits until the guard logs a line with these words, after those that were shown, and
    ///   shows it;
    /// - `cluster away`, `cluster silent` (connections are cut, and new ones not answered), `cluster back`: for
    ///   the guard alone;
    /// - `create COUNT FILE`: so many objects, see [`create_many`];
    /// - `dns NAME ADDRESS`, `dns NAME`: what the DNS server answers from now on, if anything;
    /// - `guard stop`, `guard start`.
    fn tool(&mut self, command: &str) -> String {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words[..] {
            ["audit"] => self.audit.next(&self.stage, ""),
            ["audit", prefix] => self.audit.next(&self.stage, prefix),
            ["metrics"] => self.count(""),
            ["metrics", prefix] => self.count(prefix),
            ["await", .., value] => {
                let guard = self.guard.as_ref().expect("a guard that runs");
                let series = &command["await ".len()..command.len() - value.len() - 1];
                let value: f64 = value.parse().expect("a number");
                await_some(command, || (guard.metric(series) == value).then_some(()));
                String::new()
            }
            ["readyz"] => {
                let guard = self.guard.as_ref().expect("a guard that runs");
                format!("{}\n", if guard.ready() { "ready" } else { "not ready" })
            }
            ["log", ..] => self.log(&command["log ".len()..]),
            ["cluster", "away"] => {
                self.way.cut();
                String::new()
            }
            ["cluster", "silent"] => {
                self.way.hold();
                String::new()
            }
            ["cluster", "back"] => {
                self.way.open(self.stage.plane.address());
                String::new()
            }
            ["create", count, file] => {
                let template = fs::read_to_string(self.directory.path().join(file));
                let count = count.parse().expect("a number");
                create_many(&self.stage, &template.expect("a file"), count)
            }
            ["dns", name] => self.answer(name, None),
            ["dns", name, address] => self.answer(name, Some(address)),
            ["guard", "stop"] => {
                self.guard = None;
                String::new()
            }
            ["guard", "start"] => {
                self.start_guard();
                self.counted.clear();
                String::new()
            }
            _ => panic!("no such tool: {command}"),
        }
    }

    fn answer(&mut self, name: &str, address: Option<&str>) -> String {
        let address = address.map(|address| address.parse().expect("an IPv4 address"));
        self.names.answer(name, address);
        String::new()
    }

    fn log(&mut self, words: &str) -> String {
        let text = || fs::read_to_string(self.log_file()).expect("a log");
        let logged = within_limit(|| {
            let text = text();
            let mut lines = text.lines().enumerate().skip(self.logged);
            let line = lines.find(|(_, line)| line.contains(words))?;
            // Half a line is none yet.
            Some((line.0 + 1, serde_json::from_str::<Value>(line.1).ok()?))
        });
        let (shown, line) = logged.unwrap_or_else(|| {
            let text = text();
            let since: Vec<&str> = text.lines().skip(self.logged).collect();
            panic!("not in time: {words}; logged since:\n{}", since.join("\n"))
        });
        self.logged = shown;
        let mut printed = format!("{}: ", line["level"].as_str().expect("a level"));
        printed += line["message"].as_str().expect("a message");
        let address = self.way.begins.to_string();
        for field in [
            "cluster",
            "missing",
            "policy",
            "policies",
            "object",
            "error",
            "differing",
        ] {
            if let Some(value) = line[field].as_str() {
                // Another one in every run.
                let value = without_versions(&value.replace(&address, "ADDRESS"));
                printed += &format!("\n  {field}: {value}");
            }
        }
        printed
    }

    fn count(&mut self, prefix: &str) -> String {
        let guard = self.guard.as_ref().expect("a guard that runs");
        let mut printed = String::new();
        let mut metrics = guard.metrics("tunnelguard_");
        metrics.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (series, value) in metrics {
            let before = self.counted.get(&series).copied().unwrap_or_default();
            if value > before && !prefix.is_empty() && series.starts_with(prefix) {
                printed += &format!("{series} +{}\n", value - before);
            }
            if prefix.is_empty() || series.starts_with(prefix) {
                self.counted.insert(series, value);
            }
        }
        printed
    }
}

/// `too old resource version: 260 (264)` with other numbers in every run.
fn without_versions(text: &str) -> String {
    const BEFORE: &str = "resource version: ";
    let Some((before, versions)) = text.split_once(BEFORE) else {
        return text.to_owned();
    };
    let rest = versions.split_once(')').map_or("", |(_, rest)| rest);
    format!("{before}{BEFORE}VERSION (VERSION){rest}")
}

/// Copies the files of a directory.
fn copy_files(from: &Path, to: &Path) {
    for file in fs::read_dir(from).expect("a directory") {
        let file = file.expect("a file");
        fs::copy(file.path(), to.join(file.file_name())).expect("a copy");
    }
}
