//! What a user lives through, with real parts: `make demo-mesh` shows it, and a test holds it to
//! `transcript.txt`.
//!
//! The prompts say who types: `jane`, who may write ServiceEntries; `admin`; `app`, in the container
//! beside the sidecar; `pod`, whose one command is the guard's process. All of them type into bash, in a
//! directory with what is in `files/`, the `manifests/`, and the authority of the site that is asked for.
//! Nothing is typed before what was typed earlier is in force. `TRANSCRIPT=overwrite make fidelity
//! TESTS=story` writes what is printed.

mod show;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use tunnelguard::mesh::simulation::OutboundPolicy;

use crate::harness::transcript::{play_transcript, printed_by};
use crate::harness::{await_some, get, repository, series};
use crate::lab::{Application, Child, Lab};
pub(crate) use show::show;

/// The namespace of the application and of jane's entries.
const NAMESPACE: &str = "default";

/// Where `tunnelguard serve` answers probes, if it is not told.
const HEALTH: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8081);

/// The test: that the story is as it is told.
pub(crate) fn is_as_told(lab: &Lab) {
    let mut story = Story::begin(lab);
    play_transcript(&transcript(), |prompt, command| story.run(prompt, command));
}

fn transcript() -> PathBuf {
    repository("tests/fidelity/story/transcript.txt")
}

/// Everybody's shells, and the guard once it is started. With this value all of it goes.
struct Story<'a> {
    lab: &'a Lab,
    /// `files`, where commands run, and `home`, with each user's kubeconfig and the programs.
    directory: TempDir,
    guard: Option<Child>,
}

impl<'a> Story<'a> {
    fn begin(lab: &'a Lab) -> Self {
        lab.clear();
        lab.set_outbound(OutboundPolicy::RegistryOnly);
        lab.settle(&Application::default());
        let story = Self {
            lab,
            directory: tempfile::tempdir().expect("a temporary directory"),
            guard: None,
        };
        copy_yaml("tests/fidelity/story/files", &story.files());
        copy_yaml("manifests", &story.files().join("manifests"));
        fs::write(story.files().join("ca.crt"), lab.authority()).expect("a file");
        fs::create_dir_all(story.bin()).expect("a directory");
        let binary = env!("CARGO_BIN_EXE_tunnelguard");
        symlink(binary, story.bin().join("tunnelguard")).expect("a link");
        symlink(lab.plane().file("bin/kubectl"), story.bin().join("kubectl")).expect("a link");
        for user in ["jane", "admin"] {
            lab.plane().kubeconfig(&story.home(), user, NAMESPACE);
        }
        story
    }

    /// Runs one command, waits until it is in force, and gives what it prints.
    fn run(&mut self, prompt: &str, command: &str) -> String {
        if prompt == "pod" {
            return self.start_guard(command);
        }
        if prompt == "jane" {
            self.await_reviews();
        }
        let printed = printed_by(&mut self.shell(prompt), command);
        if prompt == "jane" {
            self.lab.settle(&Application::default());
        }
        printed
    }

    /// A user's shell. Nothing of the environment that the test was started in is there.
    fn shell(&self, user: &str) -> Command {
        let others = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("bash");
        shell.current_dir(self.files()).env_clear();
        shell.env("HOME", self.home());
        shell.env("PATH", format!("{}:{others}", self.bin().display()));
        shell.env("KUBECONFIG", self.kubeconfig(user));
        shell.stdin(Stdio::null());
        shell
    }

    /// Starts the guard, and gives what it says until it serves.
    fn start_guard(&mut self, command: &str) -> String {
        let mut shell = self.shell("pod");
        // There is no kubelet to make it a Pod of the cluster.
        shell.env_remove("KUBECONFIG");
        shell.args(["-c", &format!("exec {command}")]);
        let output = self.home().join("guard");
        let guard = Child::start("tunnelguard", &shell, output.clone());
        guard.await_ready(HEALTH, "/readyz");
        self.guard = Some(guard);
        await_some("the guard says that it serves", || {
            let said = fs::read_to_string(&output).expect("its output");
            said.contains("Ctrl-C").then_some(said)
        })
    }

    /// Where there is a guard, waits until the API server asks it: it hears of webhook configurations
    /// a moment after they are stored.
    fn await_reviews(&self) {
        if self.guard.is_none() {
            return;
        }
        let was_asked = |webhook: &str| {
            let metrics = get(HEALTH, "/metrics").expect("a guard that runs");
            let reviews = format!("tunnelguard_reviews_total{{webhook=\"{webhook}\"");
            !series(&metrics, &reviews).is_empty()
        };
        await_some("the API server asks the guard", || {
            if was_asked("mutate") && was_asked("validate") {
                return Some(());
            }
            let create = "kubectl create --dry-run=server -f corporate-proxy.yaml";
            printed_by(&mut self.shell("jane"), create);
            None
        });
    }

    fn files(&self) -> PathBuf {
        self.directory.path().join("files")
    }

    fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    fn bin(&self) -> PathBuf {
        self.home().join("bin")
    }

    fn kubeconfig(&self, user: &str) -> PathBuf {
        self.home().join(user)
    }
}

impl Drop for Story<'_> {
    fn drop(&mut self) {
        // Without the guard its webhooks, which are to be ignored then, stop nobody.
        drop(self.guard.take());
        let webhooks = "mutatingwebhookconfigurations,validatingwebhookconfigurations";
        let commands = [
            format!("kubectl delete {webhooks} --all"),
            "kubectl delete --ignore-not-found -f service.yaml".to_owned(),
        ];
        for command in commands {
            printed_by(&mut self.shell("admin"), &command);
        }
    }
}

/// Copies the YAML files of a directory of the repository into a new one.
fn copy_yaml(from: &str, to: &Path) {
    fs::create_dir(to).expect("a directory");
    for file in fs::read_dir(repository(from)).expect("a directory") {
        let file = file.expect("a file").path();
        let name = file.file_name().expect("a name");
        if file.extension().is_some_and(|kind| kind == "yaml") {
            fs::copy(&file, to.join(name)).expect("a copy");
        }
    }
}
