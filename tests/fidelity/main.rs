//! What a CONNECT really meets, with real istiod and real Envoy: `make fidelity`, as root on Linux.
//!
//! This program starts itself again inside network namespaces of its own, where the sidecar's redirect is
//! in force, and takes everything away when those end, however they do: `lanes`.
//! `cargo test --test fidelity -- NAME` runs the tests whose name contains NAME; with `--demo` it is
//! `make demo-mesh`, which tells the story of one of them on the terminal.

// Every line here is a test's or a test's helper's: a panic is how they fail.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod comparison;
#[allow(dead_code, unused_imports, reason = "the other tests use the rest")]
#[path = "../e2e/harness/mod.rs"]
mod harness;
mod lab;
mod lanes;
mod namespace;
mod page;
mod random;
mod shape;
mod story;
mod tests;
mod text;

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::thread;

use libtest_mimic::{Arguments, Failed, Trial};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tunnelguard::mesh::simulation::IstioVersion;

use comparison::record::{Record, Totals, records};
use harness::one_thread;
use lab::{Lab, Pin, Site, pins};
use lanes::Lanes;
use namespace::Namespace;
use random::Random;

/// The namespace's name, for the demo that runs inside.
const INSIDE: &str = "TUNNELGUARD_LAB_INSIDE";

fn main() -> ExitCode {
    if lanes::is_inside() {
        return lanes::serve();
    }
    if let Ok(network) = env::var(INSIDE) {
        return demo(&network);
    }
    if !is_demo() && Arguments::from_args().list {
        let pin = Pin::newest(OsString::new());
        let listed = tests::tests(&pin, Random::from_environment());
        let names = listed.into_iter().map(|(name, _)| name);
        return run(&Arguments::from_args(), names, |_| Ok(()));
    }
    if let Some(obstacle) = obstacle() {
        println!("the lab cannot run: {obstacle}");
        // A machine that is there to run it must not pass for having done so.
        let demanded = env::var("CI").is_ok_and(|ci| ci == "true");
        return ExitCode::from(u8::from(demanded));
    }
    // Everything's, so that nothing is left of a run that is broken off.
    let directory = tempfile::tempdir().expect("a temporary directory");
    match is_demo() {
        true => demonstrate(directory.path()),
        false => compare(directory.path()),
    }
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

/// Runs the tests on every istiod, one after the other.
fn compare(directory: &Path) -> ExitCode {
    let random = Random::from_environment();
    println!("{random}");
    let (lanes, namespaces) = Lanes::new(directory, random);
    let ended = until_end_or_signal(move || all(Arc::new(lanes), random));
    drop(namespaces);
    ended.unwrap_or(ExitCode::FAILURE)
}

fn all(lanes: Arc<Lanes>, random: Random) -> ExitCode {
    let arguments = Arguments::from_args();
    let mut agreed = true;
    let mut versions = Vec::new();
    let pins = pins();
    for (number, pin) in pins.iter().enumerate() {
        let started = lanes.versions(number);
        println!("{started}");
        let tests = tests::tests(pin, random).into_iter();
        let lanes = lanes.clone();
        let run_one = move |name: String| lanes.run(number, name);
        agreed &= run(&arguments, tests.map(|(name, _)| name), run_one) == ExitCode::SUCCESS;
        versions.push(started);
        report(pin.version);
    }
    println!("{random}");
    let keeps_page = env::var("PAGE").is_ok_and(|page| page == "keep");
    if agreed && pins.len() > 1 && is_whole(&arguments) && !keeps_page {
        page::write(&versions);
    }
    ExitCode::from(u8::from(!agreed))
}

/// Runs the tests of these names, one in each lane at a time.
fn run(
    arguments: &Arguments,
    names: impl Iterator<Item = String>,
    test: impl Fn(String) -> Result<(), Failed> + Clone + Send + 'static,
) -> ExitCode {
    let mut arguments = arguments.clone();
    arguments.test_threads = Some(lanes::count());
    // A dot for each of a thousand.
    arguments.quiet |= is_whole(&arguments) && arguments.format.is_none() && !arguments.list;
    let trials = names.map(|name| {
        let test = test.clone();
        Trial::test(name.clone(), move || test(name))
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
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

/// Starts this program inside a namespace, where it tells the story until somebody has seen enough.
fn demonstrate(directory: &Path) -> ExitCode {
    let namespace = Namespace::new(0);
    let mut command = namespace.command(&env::current_exe().expect("this program"));
    command.arg("--demo").env(INSIDE, namespace.name());
    command.env("TMPDIR", directory);
    // Ctrl-C is for this process alone, which then ends what is inside.
    command.process_group(0);
    let mut child = command.spawn().expect("`ip netns exec`");
    let ended = until_end_or_signal(move || child.wait().expect("its end"));
    drop(namespace);
    // It is there to be ended by a signal.
    let went_well = ended.is_none_or(|status| status.success());
    ExitCode::from(u8::from(!went_well))
}

/// What `work` comes to, in a thread of its own, or nothing if a signal comes first, or a panic.
fn until_end_or_signal<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let runtime = one_thread();
    let _guard = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt()).expect("signals");
    let mut terminate = signal(SignalKind::terminate()).expect("signals");
    let (end, ended) = oneshot::channel();
    thread::spawn(move || drop(end.send(work())));
    runtime.block_on(async {
        tokio::select! {
            result = ended => result.ok(),
            _ = interrupt.recv() => None,
            _ = terminate.recv() => None,
        }
    })
}

/// Tells the story on the newest istiod.
fn demo(network: &str) -> ExitCode {
    println!("Starting kube-apiserver, istiod and Envoy in a network namespace …");
    let site = Site::start(&lanes::control_plane());
    let newest = pins().pop().expect("the newest");
    let lab = Lab::start(&Arc::new(site), &newest);
    println!("{}", lab.versions);
    story::show(&lab, network);
    ExitCode::SUCCESS
}

/// Whether a command runs at all and says it went well.
fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}
