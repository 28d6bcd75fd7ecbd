//! What judging adds to the creation of a ServiceEntry, at a real kube-apiserver: nobody judges, the
//! webhooks do, or CEL policies do (`examples/cel`). Each round measures all four, one after the other,
//! so that what else the machine does falls on all; creates are dry runs, so that nothing grows.
//!
//! `make bench` prints the ratios that docs/performance.md quotes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "as in tests")]

#[allow(dead_code, unused_imports, reason = "the tests use the rest")]
#[path = "../../tests/e2e/harness/mod.rs"]
mod harness;
mod report;

use std::env;
use std::process::ExitCode;
use std::time::Instant;

use serde_json::{Value, json};

use harness::manifests::{component, text_of};
use harness::{
    CelPolicies, ControlPlane, FailurePolicy, Guard, Repair, Stage, Writer, await_some, one_thread,
    repository,
};
use report::{Measured, Report};

const ROUNDS: usize = 7;
/// Of each entry, in each round.
const CREATES: usize = 60;
/// Before those, so that connections stand and caches are warm.
const UNMEASURED: usize = 10;

const NAMESPACE: &str = "creates";

/// Who judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Judge {
    Nobody,
    Webhooks,
    Validating,
    Policies,
}

impl Judge {
    const ALL: [(Judge, &str); 4] = [
        (Judge::Nobody, "nobody"),
        (Judge::Webhooks, "both webhooks"),
        (Judge::Validating, "validating policy"),
        (Judge::Policies, "both policies"),
    ];
}

fn main() -> ExitCode {
    if !env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let Some(binary) = env::var_os("CONTROL_PLANE") else {
        eprintln!("this needs a kube-apiserver: run `make bench`, which builds one");
        return ExitCode::FAILURE;
    };
    let plane = ControlPlane::start(&binary);
    plane.apply(&text_of(&component("namespace")));
    let mut report = Report::default();
    for round in 0..ROUNDS {
        // The order turns, so that none is always after the same.
        for turn in 0..Judge::ALL.len() {
            let (judge, _) = Judge::ALL[(round + turn) % Judge::ALL.len()];
            report.add(round, judge, judged(&plane, judge));
        }
    }
    report.print();
    ExitCode::SUCCESS
}

/// One round of one judge.
fn judged(plane: &ControlPlane, judge: Judge) -> Measured {
    let stage = Stage::new(plane, NAMESPACE);
    let writer = Writer::new(plane, "admin");
    match judge {
        Judge::Nobody => measured(plane, &writer),
        Judge::Validating => {
            let _in_force = CelPolicies::apply(plane, Repair::None, &[]);
            measured(plane, &writer)
        }
        Judge::Policies => {
            let _in_force = CelPolicies::apply(plane, Repair::Guarded, &[]);
            measured(plane, &writer)
        }
        Judge::Webhooks => {
            let policy = repository("examples/policies/corporate.yaml");
            let flags = ["--policy", policy.to_str().expect("UTF-8")];
            let guard = Guard::start(stage.address, &stage.certificate, &flags);
            stage.register(FailurePolicy::Fail);
            stage.await_reviews(|| guard.has_been_asked());
            let measured = measured(plane, &writer);
            drop(stage);
            await_some("the webhooks are forgotten", || {
                let before = guard.metric("tunnelguard_reviews_total");
                writer.creates(&entries()[0].1);
                (guard.metric("tunnelguard_reviews_total") == before).then_some(())
            });
            measured
        }
    }
}

/// Creates each entry in turn.
fn measured(plane: &ControlPlane, writer: &Writer) -> Measured {
    let entries = entries();
    for _ in 0..UNMEASURED {
        for (_, entry) in &entries {
            writer.creates(entry);
        }
    }
    let runtime = one_thread();
    let before = runtime.block_on(plane.metrics());
    let mut seconds = [const { Vec::new() }; 3];
    for _ in 0..CREATES {
        for (seconds, (_, entry)) in seconds.iter_mut().zip(&entries) {
            let begin = Instant::now();
            writer.creates(entry);
            seconds.push(begin.elapsed().as_secs_f64());
        }
    }
    Measured {
        seconds,
        before,
        after: runtime.block_on(plane.metrics()),
    }
}

/// An entry on no proxy's port, a correct one of a proxy, and one that is repaired, or denied where
/// nobody repairs.
fn entries() -> [(&'static str, Value); 3] {
    let entry = |name: &str, host: &str, address: &str, port: u16, protocol: &str| {
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "hosts": [host], "addresses": [address], "location": "MESH_EXTERNAL",
                "ports": [{"number": port, "name": "proxy", "protocol": protocol}], "resolution": "NONE",
            },
        })
    };
    let proxy = |name, protocol| entry(name, "my-company-proxy.com", "10.20.0.5", 3128, protocol);
    [
        (
            "ordinary",
            entry("ordinary", "api.example.com", "203.0.113.7", 443, "TLS"),
        ),
        ("correct", proxy("correct", "TCP")),
        ("broken", proxy("broken", "HTTP")),
    ]
}
