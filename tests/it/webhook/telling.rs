//! What a server says of itself: at its start, in its log, in its metrics.

use serde_json::{Value, json};

use super::serving::Serving;
use super::{review, seed};
use crate::support::text_of;

#[tokio::test]
async fn without_flags_it_prints_one_line_that_shows_a_warned_entry() {
    let mut server = Serving::start_with(&[]);
    let samples = server.samples();
    let [sample] = samples.as_slice() else {
        panic!("{samples:?}");
    };
    assert!(
        sample.command.starts_with("curl -s --cacert "),
        "{sample:?}"
    );
    let response = sample.send(&mut server.client().await).await;
    assert_eq!(response["allowed"], true, "{response}");
    assert_eq!(response["warnings"].as_array().map(Vec::len), Some(1));
    assert!(server.terminate().0.success());
}

#[tokio::test]
async fn with_the_examples_policy_its_lines_show_every_verdict() {
    let server = Serving::start();
    let mut client = server.client().await;
    let mut shown = Vec::new();
    for sample in server.samples() {
        let response = sample.send(&mut client).await;
        shown.push(match &response {
            response if response["patch"].is_array() => "repaired",
            response if response["allowed"] == false => "denied",
            response if response["warnings"].is_array() => "warned",
            other => panic!("{}: {other}", sample.command),
        });
    }
    shown.sort_unstable();
    assert_eq!(shown, ["denied", "repaired", "warned"]);
}

#[tokio::test]
async fn each_review_is_one_line_without_user_data_and_is_counted() {
    let mut server = Serving::start();
    let mut client = server.client().await;
    let mut object = seed("prod");
    object["metadata"]["annotations"] = json!({"secret": "hunter2"});
    let mut asked = review("CREATE", &object, &Value::Null);
    asked["request"]["userInfo"] = json!({"username": "jane", "groups": ["payroll"]});
    client.ask("/validate", &asked).await;
    asked["request"]["dryRun"] = json!(true);
    client.ask("/validate", &asked).await;
    let mut repaired = review("CREATE", &seed("default"), &Value::Null);
    let prefix = json!({"generateName": "proxy-", "namespace": "default"});
    repaired["request"]["object"]["metadata"] = prefix;
    repaired["request"]["name"] = Value::Null;
    client.ask("/mutate", &repaired).await;

    for (series, value) in [
        (
            "reviews_total{webhook=\"validate\",operation=\"CREATE\",decision=\"denied\",dry_run=\"false\"}",
            "1",
        ),
        (
            "reviews_total{webhook=\"validate\",operation=\"CREATE\",decision=\"denied\",dry_run=\"true\"}",
            "1",
        ),
        (
            "reviews_total{webhook=\"mutate\",operation=\"CREATE\",decision=\"repaired\",dry_run=\"false\"}",
            "1",
        ),
        (
            "findings_total{check=\"TG001\",decision=\"denied\",dry_run=\"false\"}",
            "1",
        ),
        (
            "findings_total{check=\"TG001\",decision=\"denied\",dry_run=\"true\"}",
            "1",
        ),
        (
            "findings_total{check=\"TG001\",decision=\"repaired\",dry_run=\"false\"}",
            "1",
        ),
        ("review_duration_seconds_count{webhook=\"validate\"}", "2"),
        ("reviews_in_flight", "0"),
        ("declared_proxies", "4"),
    ] {
        let series = format!("tunnelguard_{series}");
        assert_eq!(server.metric(&series).await, value, "{series}");
    }

    let (status, log) = server.terminate();
    assert!(status.success());
    let log: Vec<Value> = log
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect();
    let reviews: Vec<&Value> = log
        .iter()
        .filter(|line| line["message"] == "reviewed")
        .collect();
    assert_eq!(reviews.len(), 3, "{log:#?}");
    assert_eq!(reviews[0]["decision"], "denied");
    assert_eq!(reviews[0]["object"], "prod/corporate-proxy");
    assert_eq!(reviews[0]["checks"], "TG001");
    assert_eq!(reviews[1]["dry_run"], true);
    assert_eq!(reviews[2]["object"], "default/proxy-*");
    let all = format!("{log:?}");
    for private in ["jane", "payroll", "hunter2", "my-company-proxy"] {
        assert!(!all.contains(private), "{private} in {all}");
    }
}

/// What the documentation says of each series, as a table's first and last column.
fn documented() -> Vec<(String, String)> {
    let text = text_of("docs/operations.md");
    let rows = text
        .lines()
        .filter(|line| line.starts_with("| `tunnelguard_"));
    let columns = |row: &str| {
        let columns: Vec<&str> = row.split('|').map(str::trim).collect();
        let name = columns[1].trim_matches('`').to_owned();
        (name, columns[3].to_owned())
    };
    rows.map(columns).collect()
}

#[tokio::test]
async fn every_series_is_documented_and_every_documented_series_exists() {
    let server = Serving::start();
    let asked = review("CREATE", &seed("prod"), &Value::Null);
    server.client().await.ask("/validate", &asked).await;
    let text = server.probe().await.get("/metrics").await;
    let mut kinds = std::collections::HashMap::new();
    let mut exposed = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words.as_slice() {
            ["#", "HELP", name, what] if name.starts_with("tunnelguard_") => {
                exposed.push(((*name).to_owned(), (*what).to_owned()));
            }
            ["#", "TYPE", name, kind] => drop(kinds.insert(*name, *kind)),
            _ => {}
        }
    }
    for (name, _) in &mut exposed {
        match kinds[name.as_str()] {
            "counter" => name.push_str("_total"),
            "info" => name.push_str("_info"),
            _ => {}
        }
    }
    exposed.sort();
    let mut documented = documented();
    // Out of any cluster nothing is followed; `tests/e2e` waits for these series.
    documented.retain(|(name, _)| !name.starts_with("tunnelguard_followed_"));
    documented.sort();
    assert_eq!(exposed, documented);
}
