//! The chart's own files agree: every value is explained, and refused where the schema does not know it.
//!
//! `make manifests` writes the table of manifests/chart/README.md anew.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Map, Value};

use crate::support::{repository, text_of};

const README: &str = "manifests/chart/README.md";
const BEGIN: &str = "<!-- The values, written by `make manifests` -->\n";

/// A value that can be set: its path, its default in one line, and what values.yaml says of it.
struct Setting {
    path: String,
    default: String,
    words: String,
}

#[test]
fn the_readme_lists_every_value() {
    let page = text_of(README);
    let (before, table) = page.split_once(BEGIN).expect("a mark");
    let mut expected = "| value | default | |\n|---|---|---|\n".to_owned();
    for Setting {
        path,
        default,
        words,
    } in settings()
    {
        expected += &format!("| `{path}` | `{default}` | {words} |\n");
    }
    if std::env::var("CHART").is_ok_and(|word| word == "overwrite") {
        let page = format!("{before}{BEGIN}{expected}");
        fs::write(repository(README), page).expect("a page");
        return;
    }
    assert!(table == expected, "run `make manifests`:\n{expected}");
}

#[test]
fn every_value_is_explained() {
    for setting in settings() {
        assert!(!setting.words.is_empty(), "{}: no comment", setting.path);
        let schema = schema_of(&setting.path);
        assert!(schema.is_some(), "{}: not in the schema", setting.path);
    }
}

/// Everything in the schema can be found in values.yaml, except what Helm gives to every chart.
#[test]
fn the_schema_knows_no_more() {
    let known: BTreeSet<String> = settings().into_iter().map(|setting| setting.path).collect();
    let schema: Value =
        serde_json::from_str(&text_of("manifests/chart/values.schema.json")).unwrap();
    let mut left = vec![(String::new(), &schema)];
    while let Some((path, schema)) = left.pop() {
        if known.contains(&path) || path == "global" {
            continue;
        }
        let properties = schema["properties"].as_object();
        let properties = properties.unwrap_or_else(|| panic!("{path}: not in values.yaml"));
        for (name, schema) in properties {
            let path = format!("{path}.{name}");
            left.push((path.trim_start_matches('.').to_owned(), schema));
        }
    }
}

/// A policy among the values is what the definition describes. How many of something there may be is not said: a file
/// may have more than an object.
#[test]
fn policies_are_those_of_the_definition() {
    let schema = schema_of("policies").expect("policies");
    let text = text_of("manifests/chart/files/connectproxypolicy-crd.yaml");
    let definition: Value = serde_saphyr::from_str(&text).unwrap();
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
    let expected = as_values(definition.pointer(spec).expect("a spec"));
    assert!(
        schema["additionalProperties"] == expected,
        "values.schema.json: policies are to be {expected:#}"
    );
}

/// The part of a definition's schema that values are held to.
fn as_values(defined: &Value) -> Value {
    let mut schema = Map::new();
    for (word, value) in defined.as_object().expect("a schema") {
        let value = match word.as_str() {
            "type" | "enum" | "required" | "minItems" => value.clone(),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "they are ports and prefixes"
            )]
            "minimum" | "maximum" => (value.as_f64().expect("a number") as i64).into(),
            "items" | "additionalProperties" => as_values(value),
            "properties" => {
                schema.insert("additionalProperties".to_owned(), false.into());
                let properties = value.as_object().expect("properties").iter();
                properties
                    .map(|(name, schema)| (name.clone(), as_values(schema)))
                    .collect()
            }
            _ => continue,
        };
        schema.insert(word.clone(), value);
    }
    schema.into()
}

#[test]
fn the_chart_has_the_packages_version() {
    let chart: Value = serde_saphyr::from_str(&text_of("manifests/chart/Chart.yaml")).unwrap();
    for field in ["version", "appVersion"] {
        assert_eq!(chart[field], env!("CARGO_PKG_VERSION"), "{field}");
    }
}

#[test]
fn the_documentation_says_what_to_do_about_every_alert() {
    let alerts: Value =
        serde_saphyr::from_str(&text_of("manifests/chart/files/alerts.yaml")).unwrap();
    let rules = alerts["groups"][0]["rules"].as_array().expect("rules");
    let made: Vec<&str> = rules
        .iter()
        .filter_map(|rule| rule["alert"].as_str())
        .collect();
    let page = text_of("docs/operations.md");
    let rows = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `Tunnelguard"));
    let told: Vec<String> = rows
        .map(|row| format!("Tunnelguard{}", row.split('`').next().unwrap()))
        .collect();
    assert_eq!(made, told);
}

/// What the dashboard asks for is documented, and so exists.
#[test]
fn the_dashboard_asks_for_series_that_exist() {
    let dashboard: Value =
        serde_json::from_str(&text_of("manifests/chart/files/dashboard.json")).unwrap();
    let page = text_of("docs/operations.md");
    let panels = dashboard["panels"].as_array().expect("panels");
    assert!(panels.len() > 5);
    for target in panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().expect("targets"))
    {
        let expression = target["expr"].as_str().expect("an expression");
        let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        for name in words.filter(|word| word.starts_with("tunnelguard_")) {
            let name = name.trim_end_matches("_bucket");
            assert!(
                page.contains(&format!("| `{name}` |")),
                "no series {name}: {expression}"
            );
        }
    }
}

/// What docs/operations.md shows of an installation was typed and printed in the end-to-end test.
#[test]
fn the_installation_in_the_documentation_is_that_of_the_transcript() {
    let page = text_of("docs/operations.md");
    let (_, steps) = page.split_once("\n## Install\n").expect("a section");
    let (steps, _) = steps.split_once("\n## ").expect("a section behind it");
    let transcript = text_of("tests/e2e/chart/story.txt");
    let shown = steps.split("```").skip(1).step_by(2);
    let shown = shown.filter_map(|block| block.strip_prefix("console\n"));
    let lines: Vec<&str> = shown.flat_map(str::lines).collect();
    assert!(lines.len() > 20, "{lines:?}");
    for line in lines {
        let is_there = transcript.lines().any(|printed| printed == line);
        assert!(
            is_there,
            "docs/operations.md: not in the transcript: {line}"
        );
    }
}

/// The schema of a value.
fn schema_of(path: &str) -> Option<Value> {
    let schema: Value =
        serde_json::from_str(&text_of("manifests/chart/values.schema.json")).unwrap();
    let pointer = path.replace('.', "/properties/");
    schema.pointer(&format!("/properties/{pointer}")).cloned()
}

/// The values of values.yaml that have a comment, or no value below them.
fn settings() -> Vec<Setting> {
    let text = text_of("manifests/chart/values.yaml");
    let values: Value = serde_saphyr::from_str(&text).unwrap();
    let mut settings = Vec::new();
    let (mut words, mut parents): (String, Vec<(usize, String)>) = Default::default();
    // A value with a comment is one, whatever is below it.
    let mut within: Option<usize> = None;
    for line in text.lines() {
        let line_begins = line.len() - line.trim_start().len();
        let line = line.trim();
        if let Some(comment) = line.strip_prefix('#') {
            words = format!("{words}{comment}").trim().to_owned();
            continue;
        }
        let Some((name, _)) = line.split_once(':') else {
            words.clear();
            continue;
        };
        if within.is_some_and(|begins| line_begins > begins) {
            continue;
        }
        within = None;
        parents.retain(|(begins, _)| *begins < line_begins);
        parents.push((line_begins, name.to_owned()));
        let path: Vec<&str> = parents.iter().map(|(_, name)| name.as_str()).collect();
        let path = path.join(".");
        let default = values.pointer(&format!("/{}", path.replace('.', "/")));
        let default = default.unwrap_or_else(|| panic!("{path}: cannot be read"));
        let is_group = default.as_object().is_some_and(|object| !object.is_empty());
        if is_group && words.is_empty() {
            continue;
        }
        within = Some(line_begins);
        settings.push(Setting {
            default: default.to_string(),
            words: std::mem::take(&mut words),
            path,
        });
    }
    assert!(settings.len() > 30, "{}", settings.len());
    settings
}
