//! The CEL policies of `examples/cel` are asked about what the webhooks are, and know the proxies that
//! the example policy declares. What they answer is for `tests/e2e/comparison`.

use serde_json::Value;
use tunnelguard::source::{self, SourceFile};

use crate::support::{corporate, installed, text_of};

const POLICIES: [&str; 2] = [
    "examples/cel/mutating-admission-policy.yaml",
    "examples/cel/validating-admission-policy.yaml",
];

/// The first document of a file.
fn first(path: &str) -> Value {
    let mut reading = source::read(&SourceFile::from_text(path, text_of(path)));
    reading.documents.remove(0).value
}

fn expression(policy: &Value, variable: &str) -> String {
    let variables = policy["spec"]["variables"].as_array().unwrap();
    let found = variables.iter().find(|own| own["name"] == variable);
    found.unwrap()["expression"].as_str().unwrap().to_owned()
}

#[test]
fn they_match_what_the_webhooks_match() {
    let webhook = installed("ValidatingWebhookConfiguration");
    let webhook = &webhook["webhooks"][0];
    for path in POLICIES {
        let policy = first(path);
        let matched = &policy["spec"]["matchConstraints"];
        assert_eq!(matched["resourceRules"], webhook["rules"], "{path}");
        for field in ["matchPolicy", "namespaceSelector"] {
            assert_eq!(matched[field], webhook[field], "{path}");
        }
        let conditions = policy["spec"]["matchConditions"].as_array().unwrap();
        let wanted = webhook["matchConditions"].as_array().unwrap();
        for (own, wanted) in conditions.iter().zip(wanted) {
            assert_eq!(own["name"], wanted["name"], "{path}");
        }
    }
}

#[test]
fn they_know_the_proxies_of_the_example_policy() {
    let listed = corporate().proxies.all().to_vec();
    let listed = listed.into_iter().filter(|proxy| !proxy.tunnel);
    let proxies = listed.map(|proxy| {
        let quoted = |texts: Vec<String>| format!("['{}']", texts.join("', '"));
        format!(
            "{{'name': ['{}'], 'hosts': {}, 'addresses': {}, 'ports': {}}}",
            proxy.name,
            quoted(proxy.hosts.iter().map(ToString::to_string).collect()),
            quoted(proxy.addresses.iter().map(ToString::to_string).collect()),
            quoted(proxy.ports.iter().map(ToString::to_string).collect()),
        )
    });
    let expected = format!("[{}]", proxies.collect::<Vec<_>>().join(", "));
    for path in POLICIES {
        let words = expression(&first(path), "proxies");
        let words: Vec<&str> = words.split_whitespace().collect();
        assert_eq!(words.join(" "), expected, "{path}");
    }
}
