//! Every check's messages, word for word, in the forms in which people meet them: what `lint` says,
//! the warning and the denial of the webhook, and its word about a repair.
//!
//! The cases are in `tests/fixtures/messages.txt`: a comment, a `spec` a line, those of a DestinationRule,
//! a Sidecar or a Service beside it (`rule`, `sidecar`, `service`), what the mesh is set
//! to where that matters (`with`), and then what is said, which this test writes. Read it as someone
//! whom it wakes at night.

use serde_json::{Value, json};
use tunnelguard::admission::Webhook;
use tunnelguard::mesh::MeshView;
use tunnelguard::mesh::simulation::OutboundPolicy;
use tunnelguard::policy::{CheckId, Context, Finding, PolicySet, checks};

use crate::support::asking::ask;
use crate::support::{context, corporate, judged, patched, text_of};

const FIXTURE: &str = "tests/fixtures/messages.txt";

/// What a warning aims at is 120 characters, beside the object's name and what tells more. A list of
/// addresses takes a few beyond that.
const AIM: usize = 140;

struct Case {
    /// The lines that are written by hand.
    given: Vec<String>,
    specs: Vec<Value>,
    /// Specs of DestinationRules, Sidecars and Services, which `lint` alone sees.
    rules: Vec<Value>,
    sidecars: Vec<Value>,
    services: Vec<Value>,
    outbound: OutboundPolicy,
}

#[test]
fn messages_are_as_they_were_read() {
    let expected = text_of(FIXTURE);
    let policies = corporate();
    let blocks = cases(&expected).into_iter().map(|case| {
        let said = case.said(&policies);
        [case.given.clone(), said].concat().join("\n")
    });
    let found = blocks.collect::<Vec<_>>().join("\n\n") + "\n";
    if found != expected {
        let path = concat!(env!("CARGO_TARGET_TMPDIR"), "/messages.txt");
        std::fs::write(path, &found).unwrap();
        let mut lines = found.lines().zip(expected.lines());
        let first = lines.find(|(found, expected)| found != expected);
        panic!(
            "{FIXTURE} is not what is said; read {path}, and take it if it is right: {first:#?}"
        );
    }
}

#[test]
fn every_check_is_told_and_every_warning_is_short() {
    let policies = corporate();
    let mut told: Vec<CheckId> = Vec::new();
    for case in cases(&text_of(FIXTURE)) {
        let found = case.linted(&policies);
        told.extend(found.iter().map(|(_, finding)| finding.check));
        let warnings = case.said(&policies).into_iter();
        for warning in warnings.filter(|line| line.starts_with("warned ")) {
            let (check, words) = warning["warned ".len()..].split_once(' ').expect("an id");
            let (_object, words) = words.split_once(' ').expect("an object");
            let (words, _) = words
                .split_once(" (tunnelguard explain")
                .unwrap_or((words, ""));
            let length = check.len() + 1 + words.chars().count();
            let odd = case.given.iter().any(|line| line.contains("(long)"));
            assert!(odd || length <= AIM, "{length}: {warning}");
        }
    }
    for check in checks::ALL {
        assert!(told.contains(&check.id), "{FIXTURE}: no {}", check.id);
    }
}

/// Where an object holds text that its author chose.
const CHOSEN: [&str; 9] = [
    "/metadata/name",
    "/metadata/generateName",
    "/spec/hosts/0",
    "/spec/hosts/1",
    "/spec/addresses/0",
    "/spec/ports/0/name",
    "/spec/ports/0/protocol",
    "/spec/endpoints/0/address",
    "/spec/exportTo/0",
];

#[test]
fn no_object_speaks_to_a_terminal_or_fills_it() {
    let (policies, alone) = (corporate(), MeshView::new());
    let mut said = 0;
    for (pointer, text) in CHOSEN.iter().flat_map(|pointer| {
        let texts = [
            "squid\n\u{1b}[2J\u{202e}\u{9b}".to_owned(),
            "squid-".repeat(999),
        ];
        texts.map(|text| (pointer, text))
    }) {
        for (namespace, port, location) in [
            ("default", 3128, "MESH_EXTERNAL"),
            ("prod", 3128, "MESH_INTERNAL"),
            ("sandbox", 3128, "MESH_INTERNAL"),
            ("sandbox", 8080, "MESH_INTERNAL"),
        ] {
            let mut object = json!({
                "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
                "metadata": {"name": "one", "generateName": "one-", "namespace": namespace},
                "spec": {
                    "hosts": ["my-company-proxy.com", "squid.example.com"],
                    "addresses": ["10.20.0.5", "192.0.2.9"],
                    "location": location,
                    "ports": [
                        {"number": port, "name": "a", "protocol": "HTTP", "targetPort": 1},
                        {"number": 8443, "name": "b", "protocol": "TCP"},
                    ],
                    "resolution": "STATIC",
                    "endpoints": [{"address": "10.20.0.6", "ports": {&text: 1, "b": 1}}],
                    "exportTo": ["."],
                },
            });
            *object.pointer_mut(pointer).expect("a field") = json!(text);
            if *pointer == "/metadata/generateName" {
                object["metadata"]["name"] = Value::Null;
            }
            let context = Context {
                sees_mesh: false,
                namespaces: None,
                ..context(&policies, &alone, OutboundPolicy::RegistryOnly)
            };
            // What holds for every answer is asserted there.
            for webhook in [Webhook::Mutate, Webhook::Validate] {
                let answer = ask(webhook, &object, &Value::Null, context);
                said += warnings(&answer).count();
                for warning in warnings(&answer) {
                    assert!(!warning.ends_with('…'), "{warning}");
                }
            }
            for (_, finding) in judged(&[object], &policies, OutboundPolicy::RegistryOnly) {
                let message = finding.message();
                assert!(!message.contains(char::is_control), "{message:?}");
                assert!(message.chars().count() < 1500, "{message:?}");
            }
        }
    }
    assert!(said > 60, "{said}");
}

fn cases(text: &str) -> Vec<Case> {
    let blocks = text.split("\n\n").map(|block| {
        let given = block.lines().filter(|line| {
            let mut by_hand = ["#", "spec ", "rule ", "sidecar ", "service ", "with "].iter();
            by_hand.any(|word| line.starts_with(word))
        });
        let given: Vec<String> = given.map(str::to_owned).collect();
        let with = |word: &'static str| {
            let given = given.clone().into_iter();
            given.filter_map(move |line| line.strip_prefix(word).map(str::to_owned))
        };
        let yaml = |spec: String| serde_saphyr::from_str(&spec).expect("YAML");
        let specs = with("spec ").map(yaml);
        let outbound = with("with ")
            .next()
            .map(|with| with.parse().expect("a policy"));
        Case {
            specs: specs.collect(),
            rules: with("rule ").map(yaml).collect(),
            sidecars: with("sidecar ").map(yaml).collect(),
            services: with("service ").map(yaml).collect(),
            outbound: outbound.unwrap_or_default(),
            given,
        }
    });
    blocks.collect()
}

impl Case {
    fn objects(&self, namespace: &str) -> Vec<Value> {
        let names = ["one", "two", "three"].iter();
        let objects = names.zip(&self.specs).map(|(name, spec)| {
            json!({
                "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
                "metadata": {"name": name, "namespace": namespace}, "spec": spec,
            })
        });
        objects.collect()
    }

    fn linted(&self, policies: &PolicySet) -> Vec<(Option<usize>, Finding)> {
        let beside = |api_version, kind, name, specs: &[Value]| {
            let objects = specs.iter().map(|spec| {
                json!({
                    "apiVersion": api_version, "kind": kind,
                    "metadata": {"name": name, "namespace": "default"}, "spec": spec,
                })
            });
            objects.collect::<Vec<_>>()
        };
        let mut objects = self.objects("default");
        let istio = "networking.istio.io/v1";
        objects.extend(beside(istio, "DestinationRule", "rule", &self.rules));
        objects.extend(beside(istio, "Sidecar", "own", &self.sidecars));
        objects.extend(beside("v1", "Service", "squid", &self.services));
        judged(&objects, policies, self.outbound)
    }

    fn said(&self, policies: &PolicySet) -> Vec<String> {
        let mut said = Vec::new();
        for (_, finding) in self.linted(policies) {
            let (severity, check) = (finding.severity, finding.check);
            said.push(format!("lint {severity} {check}: {}", finding.message()));
        }
        let alone = MeshView::new();
        let context = Context {
            sees_mesh: false,
            namespaces: None,
            ..context(policies, &alone, self.outbound)
        };
        let answers = |webhook: Webhook, namespace: &str| -> Vec<(Value, Value)> {
            let objects = self.objects(namespace).into_iter();
            let answers = objects.map(|object| {
                let answer = ask(webhook, &object, &Value::Null, context);
                (object, answer)
            });
            answers.collect()
        };
        for (_, answer) in answers(Webhook::Validate, "sandbox") {
            said.extend(warnings(&answer).map(|warning| format!("warned {warning}")));
        }
        for (_, answer) in answers(Webhook::Validate, "prod") {
            let message = answer["status"]["message"].as_str().unwrap_or_default();
            said.extend(message.lines().map(|line| format!("denied {line}")));
        }
        for (object, answer) in answers(Webhook::Mutate, "default") {
            said.extend(warnings(&answer).map(|warning| format!("repaired {warning}")));
            if !answer["patch"].is_null() {
                let after = patched(&object, &answer["patch"]);
                let note = &after["metadata"]["annotations"]["tunnelguard.dev/repaired"];
                said.push(format!("annotated {}", note.as_str().expect("text")));
            }
        }
        said
    }
}

fn warnings(answer: &Value) -> impl Iterator<Item = &str> {
    let warnings = answer["warnings"].as_array().into_iter().flatten();
    warnings.map(|warning| warning.as_str().expect("text"))
}
