//! What CEL policies and tunnelguard do to the same entries, and what then becomes of a CONNECT: the
//! tables of docs/comparison.md.
//!
//! A row is an entry of `rows.yaml`. It is written, as a dry run, to an API server with the policies of
//! `examples/cel`, and to one with the webhooks; what is then dialled is simulated, and the simulation
//! is held to measurements (`tests/fixtures/simulation`). `TRANSCRIPT=overwrite` writes the cells.

mod asking;
mod fate;
mod row;

use std::fs;

use crate::Test;
use crate::harness::{ControlPlane, FailurePolicy, Guard, Repair, Stage, repository};
use asking::{asked, exceeds_the_budget, store, with_policies};
use fate::Fates;
use row::{line, rows};

const PAGE: &str = "docs/comparison.md";
const POLICIES: [&str; 2] = [
    "examples/policies/corporate.yaml",
    "tests/e2e/comparison/policy.yaml",
];

/// The namespaces of the rows.
const NAMESPACES: [&str; 3] = ["comparison", "prod", "sandbox"];

pub(crate) fn tests() -> Vec<Test> {
    vec![
        ("comparison::table".to_owned(), Box::new(table)),
        (
            "comparison::budget".to_owned(),
            Box::new(exceeds_the_budget),
        ),
    ]
}

fn table(plane: &ControlPlane) {
    let rows = rows();
    let stages = NAMESPACES.map(|namespace| Stage::new(plane, namespace));
    store(plane, &rows);
    let repairs = [Repair::None, Repair::Literal, Repair::Guarded].into_iter();
    let mut columns: Vec<_> = repairs
        .map(|repair| with_policies(plane, repair, &rows))
        .collect();

    let stage = &stages[0];
    let policies = POLICIES.map(|path| repository(path).display().to_string());
    let flags = policies.each_ref().map(|path| ["--policy", path]);
    let guard = Guard::start(stage.address, &stage.certificate, flags.as_flattened());
    stage.register(FailurePolicy::Fail);
    stage.await_reviews(|| guard.has_been_asked());
    columns.push(asked(plane, &rows));

    let fates = Fates::new(&POLICIES);
    let lines = rows.iter().enumerate().map(|(position, row)| {
        let answers: Vec<_> = columns.iter().map(|column| &column[position]).collect();
        line(row, &answers, &fates)
    });
    compare_page(&lines.collect::<Vec<_>>());
}

/// The page's tables have these lines and no other.
fn compare_page(lines: &[String]) {
    let path = repository(PAGE);
    let page = fs::read_to_string(&path).expect("a page");
    let all = lines.join("\n");
    let mut next = lines.iter();
    let mut written = String::new();
    for line in page.lines() {
        let is_row = line.starts_with("| ") && !line.starts_with("| entry |");
        let line = match is_row {
            true => next.next().unwrap_or_else(|| panic!("more than\n{all}")),
            false => line,
        };
        written += line;
        written.push('\n');
    }
    assert!(next.next().is_none(), "{PAGE} lacks the last of\n{all}");
    if written != page && std::env::var("TRANSCRIPT").is_ok_and(|word| word == "overwrite") {
        fs::write(&path, written).expect("a page");
        return;
    }
    assert!(written == page, "{PAGE} should say\n{all}");
}
