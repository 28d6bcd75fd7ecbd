//! What a CONNECT really meets, with real istiod and real Envoy: `make fidelity`, as root on Linux.
//!
//! This program starts itself again inside a network namespace of its own, where the sidecar's
//! redirect is in force, and takes everything away when that one ends, however it does.
//! `cargo test --test fidelity -- NAME` runs the tests whose name contains NAME; with `--demo` it is
//! `make demo-mesh`, which tells the story of one of them on the terminal.

// Every line here is a test's or a test's helper's: a panic is how they fail.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod comparison;
#[allow(dead_code, unused_imports, reason = "the other tests use the rest")]
#[path = "../e2e/harness/mod.rs"]
mod harness;
mod lab;
mod namespace;
mod page;
mod random;
mod shape;
mod story;
mod tests;

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tunnelguard::mesh::simulation::IstioVersion;

use comparison::record::{Record, Totals, records};
use lab::{Lab, Pin, Site};
use namespace::Namespace;
use random::Random;

/// The namespace's name, for the program that runs inside.
const INSIDE: &str = "TUNNELGUARD_LAB_INSIDE";

fn main() -> ExitCode {
    if let Ok(network) = env::var(INSIDE) {
        return if is_demo() { demo(&network) } else { inside() };
    }
    if !is_demo() {
        let arguments = Arguments::from_args();
        if arguments.list {
            let random = Random::from_environment();
            return run(&arguments, random, &Pin::newest(OsString::new()), None);
        }
    }
    if let Some(obstacle) = obstacle() {
        println!("the lab cannot run: {obstacle}");
        // A machine that is there to run it must not pass for having done so.
        let demanded = env::var("CI").is_ok_and(|ci| ci == "true");
        return ExitCode::from(u8::from(demanded));
    }
    outside()
}

/// Whether this is for people, and no test.
fn is_demo() -> bool {
    env::args_os().any(|argument| argument == "--demo")
}

/// Why the lab cannot run here, if it cannot.
fn obstacle() -> Option<String> {
    if let Some(obstacle) = namespace::obstacle() {
        return Some(obstacle);
    }
    let unset = ["CONTROL_PLANE", "ISTIOD", "ENVOY"]
        .into_iter()
        .find(|name| env::var_os(name).is_none());
    unset.map(|name| format!("{name} is not set; run `make fidelity`, which builds what it needs"))
}

/// Starts this program inside a namespace, and waits for its end or for somebody's signal.
fn outside() -> ExitCode {
    let runtime = Runtime::new().expect("a runtime");
    let _guard = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt()).expect("signals");
    let mut terminate = signal(SignalKind::terminate()).expect("signals");
    // Everything's, so that nothing is left of a run that is broken off.
    let directory = tempfile::tempdir().expect("a temporary directory");
    // Put away before both: the runtime's thread waits for the child.
    let namespace = Namespace::new();
    let mut command = namespace.command(&env::current_exe().expect("this program"));
    command
        .args(env::args_os().skip(1))
        .env(INSIDE, namespace.name());
    command.env("TMPDIR", directory.path());
    // Ctrl-C is for this process alone, which then ends what is inside.
    command.process_group(0);
    let mut child = command.spawn().expect("`ip netns exec`");
    let ended = runtime.spawn_blocking(move || child.wait().expect("its end"));
    // The demo is there to be ended so.
    let broken_off = ExitCode::from(u8::from(!is_demo()));
    runtime.block_on(async {
        tokio::select! {
            status = ended => ExitCode::from(u8::from(!status.expect("its end").success())),
            _ = interrupt.recv() => broken_off,
            _ = terminate.recv() => broken_off,
        }
    })
}

/// Runs the tests on every istiod, one after the other.
fn inside() -> ExitCode {
    let arguments = Arguments::from_args();
    let random = Random::from_environment();
    println!("{random}");
    let site = Site::start(&env::var_os("CONTROL_PLANE").expect("checked outside"));
    let site = Arc::new(site);
    let older = env::var_os("ISTIOD_OLDER").map(Pin::oldest);
    let newest = Pin::newest(env::var_os("ISTIOD").expect("checked outside"));
    let mut agreed = true;
    let mut versions = Vec::new();
    for pin in older.iter().chain([&newest]) {
        let lab = Arc::new(Lab::start(&site, pin));
        println!("{}", lab.versions);
        agreed &= run(&arguments, random, pin, Some(&lab)) == ExitCode::SUCCESS;
        versions.push(lab.versions.clone());
        report(pin.version);
    }
    println!("{random}");
    let keeps_page = env::var("PAGE").is_ok_and(|page| page == "keep");
    if agreed && older.is_some() && is_whole(&arguments) && !keeps_page {
        page::write(&versions);
    }
    ExitCode::from(u8::from(!agreed))
}

/// Whether every test runs.
fn is_whole(arguments: &Arguments) -> bool {
    arguments.filter.is_none() && arguments.skip.is_empty() && !arguments.ignored
}

/// What is still to be said of an istiod's run.
fn report(version: IstioVersion) {
    let records = records().into_iter();
    let own: Vec<Record> = records.filter(|one| one.version == version).collect();
    for record in &own {
        for unknown in &record.unknown {
            let (shape, outbound) = (&record.shape, record.outbound);
            println!("not predicted: {shape}, {outbound}: {unknown}");
        }
    }
    println!("{}\n", Totals::of(own));
}

/// Tells the story on the newest istiod.
fn demo(network: &str) -> ExitCode {
    println!("Starting kube-apiserver, istiod and Envoy in a network namespace …");
    let site = Site::start(&env::var_os("CONTROL_PLANE").expect("checked outside"));
    let newest = Pin::newest(env::var_os("ISTIOD").expect("checked outside"));
    let lab = Lab::start(&Arc::new(site), &newest);
    println!("{}", lab.versions);
    story::show(&lab, network);
    ExitCode::SUCCESS
}

/// Runs the tests, which need a lab unless they are only listed.
fn run(arguments: &Arguments, random: Random, pin: &Pin, lab: Option<&Arc<Lab>>) -> ExitCode {
    let mut arguments = arguments.clone();
    arguments.test_threads = Some(1);
    // A dot for each of a thousand.
    arguments.quiet |= is_whole(&arguments) && arguments.format.is_none() && !arguments.list;
    let trials = tests::tests(pin, random).into_iter().map(|(name, test)| {
        let lab = lab.cloned();
        Trial::test(name, move || {
            let lab = lab.expect("tests that run have one");
            catch_unwind(AssertUnwindSafe(|| test(&lab))).map_err(said)?
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// What a panic said.
fn said(panic: Box<dyn std::any::Any + Send>) -> Failed {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
    text.unwrap_or_else(|| "a panic without a word".to_owned())
        .into()
}

/// Whether a command runs at all and says it went well.
fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}
