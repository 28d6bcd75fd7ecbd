//! The figures, as ratios of medians in one round, and what the API server says of its own time.

use std::collections::BTreeMap;

use super::harness::series;
use super::{Judge, entries};

/// One round of one judge.
pub(super) struct Measured {
    /// Of each entry's creates.
    pub(super) seconds: [Vec<f64>; 3],
    /// The API server's metrics.
    pub(super) before: String,
    pub(super) after: String,
}

/// All rounds.
#[derive(Default)]
pub(super) struct Report {
    rounds: BTreeMap<usize, BTreeMap<Judge, Measured>>,
}

/// What the API server took the time of: its name here, and the series, without `_sum` and `_count`.
const PARTS: [(&str, &str, &str); 7] = [
    (
        "the whole create",
        "apiserver_request_duration_seconds",
        r#"resource="serviceentries""#,
    ),
    (
        "mutate.tunnelguard.dev",
        "apiserver_admission_webhook_admission_duration_seconds",
        r#"name="mutate.tunnelguard.dev""#,
    ),
    (
        "validate.tunnelguard.dev",
        "apiserver_admission_webhook_admission_duration_seconds",
        r#"name="validate.tunnelguard.dev""#,
    ),
    (
        "mutating policy: a check",
        "apiserver_mutating_admission_policy_check_duration_seconds",
        "connect-proxies",
    ),
    (
        "validating policy: a denial",
        "apiserver_validating_admission_policy_check_duration_seconds",
        "connect-proxies",
    ),
    (
        "all mutating policies",
        CONTROLLER,
        r#"name="MutatingAdmissionPolicy",operation="CREATE""#,
    ),
    (
        "all validating policies",
        CONTROLLER,
        r#"name="ValidatingAdmissionPolicy",operation="CREATE""#,
    ),
];
const CONTROLLER: &str = "apiserver_admission_controller_admission_duration_seconds";

impl Report {
    pub(super) fn add(&mut self, round: usize, judge: Judge, measured: Measured) {
        self.rounds
            .entry(round)
            .or_default()
            .insert(judge, measured);
    }

    pub(super) fn print(&self) {
        println!(
            "\na create, as its client sees it: median of the rounds' ratios to nobody (least to most), and of their medians"
        );
        for (position, (entry, _)) in entries().iter().enumerate() {
            for (judge, called) in Judge::ALL {
                let of = |judge| {
                    move |round: &BTreeMap<Judge, Measured>| {
                        median(&round[&judge].seconds[position])
                    }
                };
                let own: Vec<f64> = self.rounds.values().map(of(judge)).collect();
                let nobody = self.rounds.values().map(of(Judge::Nobody));
                let ratios: Vec<f64> = own
                    .iter()
                    .zip(nobody)
                    .map(|(own, nobody)| own / nobody)
                    .collect();
                let (least, most) = ends(&ratios);
                println!(
                    "{entry:<9} {called:<18} {:>6.2} ({least:.2} to {most:.2}) {:>8.2} ms",
                    median(&ratios),
                    median(&own) * 1e3,
                );
            }
        }
        println!("\nof the API server's own time for a create, all entries and rounds together");
        for (judge, called) in Judge::ALL {
            let (whole, creates) = self.spent(judge, PARTS[0]);
            for part in PARTS {
                let (seconds, count) = self.spent(judge, part);
                if count > 0.0 {
                    println!(
                        "{called:<18} {:<28} {:>8.3} ms each, {count:>5} times in {creates} creates, {:>5.1} % of them",
                        part.0,
                        seconds / count * 1e3,
                        seconds / whole * 100.0,
                    );
                }
            }
        }
    }

    /// Seconds and times that something took in all rounds of a judge.
    fn spent(&self, judge: Judge, (_, name, label): (&str, &str, &str)) -> (f64, f64) {
        let grown = |kind: &str| {
            let sum = |scrape: &str| -> f64 {
                let series = series(scrape, &format!("{name}_{kind}"));
                let ours = series.iter().filter(|(name, _)| name.contains(label));
                ours.map(|(_, value)| value).sum()
            };
            let rounds = self.rounds.values().map(|round| &round[&judge]);
            rounds
                .map(|round| sum(&round.after) - sum(&round.before))
                .sum()
        };
        (grown("sum"), grown("count"))
    }
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn ends(values: &[f64]) -> (f64, f64) {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    (least, values.iter().copied().fold(0.0, f64::max))
}
