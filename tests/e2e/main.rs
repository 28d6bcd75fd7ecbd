//! tunnelguard in front of a real kube-apiserver: `make e2e`.
//!
//! One control plane serves all tests, one after the other, so that what each reads of metrics, logs
//! and memory is its own doing. `cargo test --test e2e -- NAME` runs those whose name contains NAME.

// Every line here is a test's or a test's helper's: a panic is how they fail.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod chart;
mod comparison;
mod harness;
mod leadership;
mod nothing_lost;
mod policy_schema;
mod responses;
mod rights;
mod self_managed;
mod transcript;

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};

use harness::ControlPlane;

/// A test: what it is called, and what it does.
type Test = (String, Box<dyn FnOnce(&ControlPlane) + Send>);

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let mut tests = responses::tests();
    tests.extend(transcript::tests());
    tests.extend(comparison::tests());
    tests.extend(chart::tests());
    tests.extend(policy_schema::tests());
    tests.extend(leadership::tests());
    tests.extend(rights::tests());
    tests.extend(self_managed::tests());
    tests.extend(nothing_lost::tests());
    if arguments.list {
        return run(&arguments, tests, None);
    }
    let Some(binary) = env::var_os("CONTROL_PLANE") else {
        eprintln!("these tests need a kube-apiserver: run `make e2e`, which builds one");
        return ExitCode::FAILURE;
    };
    let plane = ControlPlane::start(&binary);
    chart::install_on_an_empty_cluster(&plane);
    run(&arguments, tests, Some(&Arc::new(plane)))
}

/// Runs the tests. The control plane ends when the last of them has.
fn run(arguments: &Arguments, tests: Vec<Test>, plane: Option<&Arc<ControlPlane>>) -> ExitCode {
    let trials = tests.into_iter().map(|(name, test)| {
        let plane = plane.cloned();
        Trial::test(name, move || {
            let plane = plane.expect("tests that run have one");
            catch_unwind(AssertUnwindSafe(|| test(&plane))).map_err(said)
        })
    });
    libtest_mimic::run(arguments, trials.collect()).exit_code()
}

/// What a panic said.
fn said(panic: Box<dyn std::any::Any + Send>) -> Failed {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
    text.unwrap_or_else(|| "a panic without a word".to_owned())
        .into()
}
