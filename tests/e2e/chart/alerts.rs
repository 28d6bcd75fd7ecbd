//! The alerts of the chart, evaluated by Prometheus' own engine on what a guard and the API server tell.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::{Value, json};

use super::helm::printed;
use super::text_of;
use crate::harness::{
    ControlPlane, FailurePolicy, Replicas, Stage, one_thread, repository, series,
};

/// An hour, which is what the longest of the expressions looks back, at the usual interval.
const STEP: u64 = 30;
const COUNT: usize = 3600 / STEP as usize + 1;

/// A row of `alerts.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    alert: String,
    series: String,
    becomes: Becomes,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Becomes {
    Word(Word),
    Value(f64),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Gone,
    Grows,
}

/// Each series with its values, the last of them now.
type Scenario = BTreeMap<String, Vec<f64>>;

pub(super) fn fire_when_they_should(plane: &ControlPlane) {
    let replicas = Replicas::new(plane);
    let replica = replicas.start();
    replicas.await_status_of("Audit");
    let mut well = Scenario::new();
    for (name, value) in replica.metrics("") {
        // Samples may carry a timestamp or an exemplar; none of ours does.
        well.insert(name, vec![value; COUNT]);
    }
    well.extend(with_failing_calls(plane));

    let quiet: Scenario = well
        .iter()
        .map(|(name, values)| (name.clone(), vec![values[0]; COUNT]))
        .collect();
    let (firing, asked) = evaluate(&quiet);
    assert!(firing.is_empty(), "all is well: {firing:?}");
    for (alert, names) in &asked {
        for name in names {
            let is_told = well
                .keys()
                .any(|series| series.split('{').next() == Some(name));
            assert!(is_told, "{alert}: nobody tells {name}");
        }
    }
    let (mut fired, _) = evaluate(&well);
    assert_eq!(
        fired,
        ["TunnelguardCallsFailOpen", "TunnelguardCallsRefused"]
            .map(str::to_owned)
            .into()
    );

    let rows: Vec<Row> =
        serde_saphyr::from_str(&text_of("tests/e2e/chart/alerts.yaml")).expect("rows");
    for row in rows {
        let (firing, _) = evaluate(&row.applied_to(&quiet));
        assert_eq!(firing, [row.alert.clone()].into(), "{row:?}");
        fired.insert(row.alert);
    }
    assert_eq!(fired, asked.into_keys().collect(), "an alert without a row");
}

/// The API server's series of the webhooks, an hour in which calls began to fail.
fn with_failing_calls(plane: &ControlPlane) -> Scenario {
    let stage = Stage::new(plane, "alerts");
    let told = |what: &str| {
        let metrics = one_thread().block_on(plane.metrics());
        let names = ["fail_open_count", "rejection_count"]
            .map(|name| format!("apiserver_admission_webhook_{name}"));
        let found: Vec<_> = names
            .iter()
            .flat_map(|name| series(&metrics, name))
            .collect();
        let found = found
            .into_iter()
            .filter(|(name, _)| name.contains("tunnelguard.dev"));
        (what.to_owned(), found.collect::<BTreeMap<String, f64>>())
    };
    let counted = |policy: FailurePolicy, name: &str| {
        stage.register(policy);
        let before = told("before").1;
        let sum = |series: &BTreeMap<String, f64>| -> f64 {
            series
                .iter()
                .filter(|(series, _)| series.contains(name))
                .map(|(_, value)| value)
                .sum()
        };
        stage.await_reviews(|| sum(&told("now").1) > sum(&before));
    };
    // Nobody listens. A series begins with its first count, which is no growth yet.
    counted(FailurePolicy::Ignore, "fail_open_count{name=\"validate");
    counted(FailurePolicy::Fail, "rejection_count");
    let before = told("before").1;
    counted(FailurePolicy::Ignore, "fail_open_count{name=\"validate");
    counted(FailurePolicy::Fail, "rejection_count");
    let after = told("after").1;
    let values = after.into_iter().map(|(name, after)| {
        let before = before.get(&name).copied().unwrap_or_default();
        let mut values = vec![before; COUNT];
        values[COUNT - 1] = after;
        (name, values)
    });
    values.collect()
}

impl Row {
    fn applied_to(&self, quiet: &Scenario) -> Scenario {
        let mut scenario = quiet.clone();
        let found: Vec<String> = quiet
            .keys()
            .filter(|name| name.starts_with(&self.series))
            .cloned()
            .collect();
        assert!(!found.is_empty(), "{self:?}: nobody tells it");
        for name in found {
            match self.becomes {
                Becomes::Word(Word::Gone) => drop(scenario.remove(&name)),
                Becomes::Word(Word::Grows) => {
                    let grown = quiet[&name]
                        .iter()
                        .zip(0_u16..)
                        .map(|(value, step)| value + f64::from(step));
                    scenario.insert(name, grown.collect());
                }
                Becomes::Value(value) => drop(scenario.insert(name, vec![value; COUNT])),
            }
        }
        scenario
    }
}

/// Which alerts fire, and which series each asks for.
fn evaluate(scenario: &Scenario) -> (BTreeSet<String>, BTreeMap<String, Vec<String>>) {
    let binary =
        std::env::var_os("ALERTS").expect("ALERTS names the binary that `make e2e` builds");
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock")
        .as_secs();
    let scenario = json!({"end": now, "step": STEP, "series": scenario});
    let mut command = Command::new(binary);
    command.arg(repository("manifests/chart/files/alerts.yaml"));
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the evaluator");
    let mut input = child.stdin.take().expect("a pipe");
    input
        .write_all(scenario.to_string().as_bytes())
        .expect("it reads");
    drop(input);
    let answer = printed(child.wait_with_output().expect("its end")).expect("an answer");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    let of = |field: &str| answer[field].clone();
    let firing = serde_json::from_value(of("firing")).expect("names");
    (firing, serde_json::from_value(of("asked")).expect("series"))
}
