//! The chart: what values make of it, and that the API server takes that.

mod alerts;
pub(crate) mod helm;
mod pods;
mod story;

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::Test;
use crate::harness::manifests::{self, objects};
use crate::harness::{ControlPlane, repository, run};
use helm::{Helm, NAMESPACE, printed};

/// A row of `rows.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    values: Value,
    /// By kind, or kind and name, what stands at pointers; null: there is no such object.
    expect: BTreeMap<String, Option<BTreeMap<String, Value>>>,
    bad: Value,
    /// What is said of the bad values.
    refused: String,
}

pub(crate) fn tests() -> Vec<Test> {
    let test =
        |name: &str, test: fn(&ControlPlane)| (format!("chart::{name}"), Box::new(test) as _);
    vec![
        test("lint", |_| lint()),
        test("values", values_make_what_is_taken),
        test("bad_values", |_| bad_values_are_refused()),
        test("policies", |_| policies_are_read()),
        test("numbers", |_| numbers_are_names()),
        test("install_yaml", |_| install_yaml_is_rendered()),
        test("pods", pods::are_restricted),
        test("alerts", alerts::fire_when_they_should),
        test("story", story::is_as_told),
        test("pieces", story::in_pieces),
    ]
}

fn rows() -> Vec<Row> {
    serde_saphyr::from_str(&text_of("tests/e2e/chart/rows.yaml")).expect("rows.yaml")
}

fn lint() {
    let helm = Helm::new();
    let mut lint = helm.command(["lint", "--strict", "manifests/chart"]);
    let said = lint.args(["--namespace", NAMESPACE]).output();
    printed(said.expect("Helm runs")).unwrap();
}

fn values_make_what_is_taken(plane: &ControlPlane) {
    let helm = Helm::new();
    let mut all = String::new();
    for row in rows() {
        let rendered = helm.template(&row.values);
        let rendered = rendered.unwrap_or_else(|said| panic!("{}: {said}", row.name));
        row.compare(&objects(&rendered));
        all += &rendered;
    }
    let definitions = Helm::definitions();
    let definitions = definitions.to_str().expect("UTF-8");
    plane.prints(&format!("create -f {definitions}"));
    plane.prints(&format!(
        "wait --for=condition=Established --timeout=60s -f {definitions}"
    ));
    let flags = "apply --server-side --dry-run=server --validate=strict -f -";
    // All at once, which takes a second rather than one a row: nothing is stored.
    run(&mut plane.kubectl(flags.split(' ')), &all);
    plane.prints(&format!("delete -f {definitions}"));
}

impl Row {
    fn compare(&self, objects: &[Value]) {
        for (kind, pointers) in &self.expect {
            let is_it = |object: &&Value| match kind.split_once('/') {
                Some((kind, name)) => {
                    object["kind"] == *kind && object["metadata"]["name"] == *name
                }
                None => object["kind"] == **kind,
            };
            let mut of_kind = objects.iter().filter(is_it);
            let Some(pointers) = pointers else {
                assert!(of_kind.next().is_none(), "{}: a {kind}", self.name);
                continue;
            };
            let object = of_kind.next();
            let object = object.unwrap_or_else(|| panic!("{}: no {kind}", self.name));
            for (pointer, expected) in pointers {
                let found = object.pointer(pointer).cloned().unwrap_or_default();
                assert_eq!(found, *expected, "{}: {kind} {pointer}", self.name);
            }
        }
    }
}

fn bad_values_are_refused() {
    let helm = Helm::new();
    for row in rows() {
        let name = &row.name;
        let Err(said) = helm.template(&row.bad) else {
            panic!("{name}: {} is taken", row.bad);
        };
        assert!(said.contains(&row.refused), "{name}: {said}");
    }
}

/// What the kubelet puts into the directory that `--policy` names is what it reads.
fn policies_are_read() {
    let proxy = json!({
        "name": "corp-squid", "hosts": ["my-company-proxy.com"], "addresses": ["10.20.0.5"], "ports": [3128],
    });
    let policies =
        json!({"corporate": {"mode": "Enforce", "proxies": [proxy]}, "123": {"mode": "Off"}});
    let rendered = Helm::new().template(&json!({"policies": policies}));
    let directory = tempfile::tempdir().expect("a temporary directory");
    for object in objects(&rendered.unwrap()) {
        let data = object["data"].as_object().into_iter().flatten();
        for (name, text) in data {
            let text = text.as_str().expect("a text");
            fs::write(directory.path().join(name), text).expect("a file");
        }
    }
    let mut lint = Command::new(env!("CARGO_BIN_EXE_tunnelguard"));
    lint.args(["lint", "--policy"]).arg(directory.path());
    let output = lint.arg(repository("tests/e2e/objects/http.yaml")).output();
    let said = String::from_utf8(output.expect("it runs").stdout).expect("UTF-8");
    assert!(
        said.contains("corp-squid (10.20.0.5:3128, declared by policy corporate)"),
        "{said}"
    );
}

/// A release and a namespace may be called what YAML would read as a number.
fn numbers_are_names() {
    let helm = Helm::new();
    for kind in ["self-managed", "cert-manager", "openshift"] {
        let values = json!({
            "certificates": {"type": kind},
            "createNamespace": true,
            "policies": {"corporate": {"mode": "Audit"}},
            "networkPolicy": {"enabled": true},
            "monitoring": {
                "serviceMonitor": {"enabled": true},
                "prometheusRule": {"enabled": true},
                "dashboard": {"enabled": true},
            },
        });
        let rendered = helm.template_as("123", "456", &values).unwrap();
        let written = objects(&rendered);
        assert!(written.len() > 15, "{}", written.len());
        for object in written {
            assert!(!object.to_string().contains(":123"), "a number: {object}");
            assert!(!object.to_string().contains(":456"), "a number: {object}");
        }
    }
}

fn install_yaml_is_rendered() {
    let values = json!({"createNamespace": true});
    let rendered = Helm::new().template(&values).unwrap();
    let written = text_of("manifests/install.yaml");
    let (head, rest) = written.split_once('\n').expect("lines");
    assert!(head.starts_with("# Written by `make manifests`"), "{head}");
    assert!(rest == rendered, "run `make manifests`");
}

/// Installs it as the documentation says, by Helm and without, on a cluster that has never heard of any of it: it is
/// the first that the control plane of all tests sees. What is left is the namespace.
///
/// # Panics
/// If a part of it is refused.
pub(crate) fn install_on_an_empty_cluster(plane: &ControlPlane) {
    let helm = Helm::new();
    let kubeconfig = plane.file("kubeconfig");
    let typed = |words: &str| {
        let mut command = helm.command(words.split(' '));
        let output = command.env("KUBECONFIG", &kubeconfig).output();
        printed(output.expect("Helm runs")).unwrap()
    };
    // A namespace of its own, since no controller runs that could take it away again.
    let installed =
        typed("install tunnelguard manifests/chart --namespace empty-cluster --create-namespace");
    assert!(installed.contains("STATUS: deployed"), "{installed}");
    typed("uninstall tunnelguard --namespace empty-cluster");
    // Helm leaves the policies to the cluster, and their definition with them.
    plane.prints("delete --ignore-not-found crd/connectproxypolicies.tunnelguard.dev");

    let file = repository("manifests/install.yaml");
    let flags = ["apply", "--server-side", "--validate=strict", "-f"];
    let applied = run(plane.kubectl(flags).arg(&file), "");
    let last = "deployment.apps/tunnelguard serverside-applied";
    assert!(applied.contains(last), "{applied}");
    remove(plane);
}

/// Takes away whatever the chart makes, whoever made it.
pub(crate) fn remove(plane: &ControlPlane) {
    // No controller runs that could take the namespace away.
    let mut others = objects(&text_of("manifests/install.yaml"));
    others.retain(|object| object["kind"] != "Namespace");
    let flags = ["delete", "--ignore-not-found", "-f", "-"];
    run(&mut plane.kubectl(flags), &manifests::text_of(&others));
}

fn text_of(path: &str) -> String {
    fs::read_to_string(repository(path)).expect("a file")
}
