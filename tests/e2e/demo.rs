//! `make demo`: a cluster to look at and to play with, until Ctrl-C.
//!
//! It is the tests' control plane and guard, with the examples' policy; what is typed is what anybody
//! would type.

// Whatever fails here fails before anybody's eyes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[allow(dead_code, unused_imports, reason = "the tests use the rest")]
mod harness;

use std::env;
use std::fs::File;
use std::process::{Command, ExitCode};

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use harness::manifests::{component, text_of};
use harness::{Container, ControlPlane, FailurePolicy, Guard, Stage, repository};

/// What is shown: why, and what is typed.
const SCENES: &[(&str, &str)] = &[
    (
        "The policy, examples/policies/corporate.yaml, says Mutate: what is provably safe is repaired.",
        "kubectl apply -f tests/e2e/objects/http.yaml",
    ),
    (
        "What is stored.",
        "kubectl get serviceentry corporate-proxy -o jsonpath='{.spec}{\"\\n\"}'",
    ),
    (
        "Without an address TCP would take everything on that port: no safe repair, so it is denied.",
        "kubectl apply -n payments -f tests/e2e/objects/http-without-address.yaml",
    ),
    (
        "In prod the policy says Enforce: denied, with the edit to make.",
        "kubectl apply -n prod -f tests/e2e/objects/http.yaml",
    ),
    (
        "In sandbox it says Audit: stored as it is, with a warning.",
        "kubectl apply -n sandbox -f tests/e2e/objects/http.yaml",
    ),
    (
        "As it should be: not a word.",
        "kubectl apply -n prod -f tests/e2e/objects/tcp.yaml",
    ),
    (
        "Labels, and taking it away, are nobody's business.",
        "kubectl label -n sandbox serviceentry corporate-proxy team=net && kubectl delete -n sandbox serviceentry corporate-proxy",
    ),
];

fn main() -> ExitCode {
    let Some(binary) = env::var_os("CONTROL_PLANE") else {
        eprintln!("the demo needs a kube-apiserver: run `make demo`, which builds one");
        return ExitCode::FAILURE;
    };
    let runtime = Runtime::new().expect("a runtime");
    // From here on a signal is waited for, so that everything is put away at the end.
    let _guard = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt()).expect("signals");
    let mut terminate = signal(SignalKind::terminate()).expect("signals");

    println!("Starting etcd and kube-apiserver …");
    let plane = ControlPlane::start(&binary);
    plane.apply(&text_of(&component("namespace")));
    println!("Starting tunnelguard behind a Service …\n");
    let stage = Stage::new(&plane, "default");
    plane.apply(NAMESPACES);
    let policy = repository("examples/policies/corporate.yaml");
    let flags = ["--policy", policy.to_str().expect("UTF-8")];
    let log = plane.file("tunnelguard.log");
    let container = Container::shipped().with_files(&stage.certificate);
    let log = File::create(log).expect("a log");
    let mut guard = Guard::start_container(&container, stage.address, &flags, log.into());
    guard.await_ready();
    stage.register(FailurePolicy::Fail);
    stage.await_reviews(|| guard.metric("tunnelguard_reviews_total") >= 2.0);

    for (why, command) in SCENES {
        play(&plane, why, command);
    }
    let directory = plane.file("");
    println!("Everything is left running. In another terminal, in this directory:\n");
    println!("  export KUBECONFIG={}", plane.file("kubeconfig").display());
    println!(
        "  export PATH={}:$PATH   # kubectl",
        plane.file("bin").display()
    );
    println!("  kubectl get serviceentries --all-namespaces");
    println!("  tail -f {}tunnelguard.log\n", directory.display());
    println!("Ctrl-C ends it, and leaves nothing behind.");
    runtime
        .block_on(async { tokio::select!(_ = interrupt.recv() => {}, _ = terminate.recv() => {}) });
    ExitCode::SUCCESS
}

const NAMESPACES: &str = r#"
{apiVersion: v1, kind: Namespace, metadata: {name: payments}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: prod}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: sandbox}}
"#;

/// Types a command, and shows what comes back.
fn play(plane: &ControlPlane, why: &str, command: &str) {
    println!("# {why}\n$ {command}");
    let path = env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("bash");
    shell.args(["-c", command]).current_dir(repository(""));
    shell.env("KUBECONFIG", plane.file("kubeconfig"));
    shell.env("PATH", format!("{}:{path}", plane.file("bin").display()));
    // That it is refused is what some of them are to show.
    shell.status().expect("bash");
    println!();
}
