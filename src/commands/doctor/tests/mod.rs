//! A healthy install, and one thing wrong with it at a time.

mod authority_rows;
mod healthy;
mod rows;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Installed;
use super::attempts::{Attempt, Reaction, attempts};
use super::examine::{Observation, State, examine};
use super::facts::{Answer, Seen, Tried};
use super::rights::rights;
use authority_rows::AUTHORITY_ROWS;
use healthy::{answer, as_expected, healthy, installed, object, policy};
use rows::ROWS;

#[test]
fn one_thing_wrong_is_one_thing_said() {
    let healthy = healthy();
    for (name, breaks, expected) in ROWS.iter().chain(AUTHORITY_ROWS) {
        let mut facts = healthy.clone();
        breaks(&mut facts);
        let tried = attempts(&facts, &installed());
        let tried: Vec<Tried> = tried.into_iter().map(as_expected).collect();
        hold(name, &examine(&facts, &tried, &installed()), expected);
    }
}

#[test]
fn rights_are_asked_about_what_is_called_otherwise_there() {
    let named = |installed: &Installed| {
        let rights = rights(installed).into_iter();
        let named: BTreeSet<String> = rights.filter_map(|right| right.name).collect();
        named.into_iter().collect::<Vec<_>>().join(" ")
    };
    let shipped = installed();
    assert_eq!(named(&shipped), "tunnelguard tunnelguard-ca");
    let other = Installed {
        ca_secret: "authority".to_owned(),
        webhook_configuration: "guard".to_owned(),
        ..shipped
    };
    // The Lease has one name everywhere.
    assert_eq!(named(&other), "authority guard tunnelguard");
}

/// What is expected of an entry, what the API server answers, and what is said of it.
#[test]
fn answers_are_told_for_what_they_are() {
    use Reaction::{Denied, Nothing, Repaired, Warned};
    let refused = |code, message: &str| Answer::Refused {
        code,
        message: message.to_owned(),
    };
    let called = "Internal error occurred: failed calling webhook";
    let rows = [
        (
            Denied,
            answer(Denied),
            "ok: an entry is denied, by policy corporate",
        ),
        (
            Warned,
            answer(Denied),
            "ok: an entry is denied, more strictly than by policy corporate",
        ),
        (
            Denied,
            answer(Warned),
            "FAIL: an entry is warned about, where it should be denied",
        ),
        (
            Repaired,
            answer(Denied),
            "?: an entry is denied, not repaired by policy corporate",
        ),
        (Repaired, answer(Nothing), "FAIL: an entry passes unjudged"),
        (Warned, answer(Nothing), "FAIL: an entry passes unjudged"),
        (
            Denied,
            refused(
                500,
                &format!(
                    "{called} \"validate.tunnelguard.dev\": failed to call webhook: Post \"https://a\": x509: unknown"
                ),
            ),
            "FAIL: not answered: Post \"https://a\": x509: unknown",
        ),
        (
            Denied,
            refused(
                500,
                &format!("{called} \"validation.istio.io\": failed to call webhook: no endpoints"),
            ),
            "?: it could not be tried: failed calling webhook \"validation.istio.io\"",
        ),
        (
            Denied,
            refused(
                403,
                "serviceentries is forbidden: User \"jane\" cannot create",
            ),
            "?: it could not be tried: serviceentries is forbidden: User \"jane\" cannot create (403)",
        ),
        (
            Denied,
            refused(
                400,
                "admission webhook \"other.example.com\" denied the request: no",
            ),
            "?: it could not be tried: admission webhook \"other.example.com\" denied",
        ),
    ];
    for (expected, answer, told) in rows {
        let attempt = Attempt {
            webhook: "validate.tunnelguard.dev",
            called: "an entry".to_owned(),
            path: String::new(),
            object: Value::Null,
            expected,
            by: "by policy corporate".to_owned(),
        };
        let all = examine(&healthy(), &[Tried { attempt, answer }], &installed());
        let line = all.iter().find(|one| one.subject == "/validate, tried");
        let line = line.expect("a line about it");
        let line = format!("{}: {}", word(line.state), line.told);
        assert!(line.starts_with(told), "{line}\nnot: {told}");
        let says_the_way_out = all.iter().any(|one| one.subject == "what that means");
        assert_eq!(says_the_way_out, told.starts_with("FAIL"), "{line}");
    }
}

/// A policy, and what is tried under it: each webhook, and what it should do.
#[test]
fn each_webhook_is_tried_where_it_would_do_something() {
    let rows = [
        ("{mode: Mutate}", "mutate Repaired, validate Denied"),
        (
            "{mode: Mutate, onUnsafe: Audit}",
            "mutate Repaired, validate Warned",
        ),
        ("{mode: Enforce}", "validate Denied"),
        ("{mode: Audit}", "validate Warned"),
        ("{mode: 'Off'}", ""),
        (
            "{mode: Enforce, overrides: [{namespaceSelector: {matchLabels: {team: net}}, mode: Audit}]}",
            "validate Warned",
        ),
        (
            "{mode: Enforce, exemptions: [{namespace: default, reason: r}]}",
            "",
        ),
    ];
    for (spec, expected) in rows {
        let mut facts = healthy();
        let mut spec: Value = serde_saphyr::from_str(spec).expect("YAML");
        spec["proxies"] = policy(&mut facts)["spec"]["proxies"].take();
        policy(&mut facts)["spec"] = spec.clone();
        let labels = json!({"metadata": {"labels": {"team": "net"}}});
        facts.namespace = Seen::Found(object(labels));
        let tried = attempts(&facts, &installed());
        let (first, entries) = tried.split_first().expect("a policy is always tried");
        assert_eq!(first.webhook, "validate-policy.tunnelguard.dev");
        let entries = entries.iter().map(|one| {
            let webhook = one.webhook.trim_end_matches(".tunnelguard.dev");
            format!("{webhook} {:?}", one.expected)
        });
        let entries: Vec<String> = entries.collect();
        assert_eq!(entries.join(", "), expected, "{spec}");
    }
}

/// The chart's policies are files: of a resource with that name the file is in force.
#[test]
fn policies_in_files_are_seen() {
    let file = |mode: &str| {
        format!(
            "kind: ConnectProxyPolicy\napiVersion: tunnelguard.dev/v1alpha1\nmetadata: {{name: corporate}}\n\
             spec: {{mode: {mode}, proxies: [{{name: a, addresses: [10.0.0.1], ports: [3128]}}]}}"
        )
    };
    for (mode, expected) in [("Enforce", Reaction::Denied), ("Audit", Reaction::Warned)] {
        let mut facts = healthy();
        let files = json!({"data": {"corporate.yaml": file(mode)}});
        facts.policy_files = Seen::Found(object(files));
        let tried = attempts(&facts, &installed());
        let entries = tried[1..].iter().map(|one| one.expected);
        assert_eq!(entries.collect::<Vec<_>>(), [expected], "{mode}");
    }
}

fn hold(name: &str, observations: &[Observation], expected: &[&str]) {
    let not_ok = observations.iter().filter(|one| one.state != State::Ok);
    let lines: Vec<String> = not_ok
        .map(|one| format!("{} {}: {}", word(one.state), one.subject, one.told))
        .collect();
    assert_eq!(lines.len(), expected.len(), "{name}: {lines:#?}");
    for (line, expected) in lines.iter().zip(expected) {
        let (subject, words) = expected.split_once(": ").expect("a subject");
        let is_it = line.starts_with(&format!("{subject}: ")) && line.contains(words);
        assert!(is_it, "{name}: {line}\nnot: {expected}");
    }
    for failed in observations.iter().filter(|one| one.state == State::Failed) {
        assert!(failed.remedy.is_some(), "{name}: no way out of {failed:?}");
    }
}

fn word(state: State) -> &'static str {
    match state {
        State::Ok => "ok",
        State::Failed => "FAIL",
        State::Unchecked => "?",
    }
}
