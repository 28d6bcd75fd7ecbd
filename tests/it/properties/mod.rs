//! What holds for every object: nothing panics, the same question has the same answer, and a
//! repair mends what it says, once, and touches nothing else. What holds for every body is in
//! `wire`, and what for every answer in `support::asking`.
//!
//! The last test here and there counts what the strategies reach, so that the others cannot hold
//! in vain.

mod index;
mod raw;
mod strategies;
mod wire;

use jiff::civil::date;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use tunnelguard::admission::Webhook;
use tunnelguard::mesh::simulation::{Environment, IstioVersion, OutboundPolicy};
use tunnelguard::mesh::{Dial, MeshView, Outcome, Overlay, ServiceEntry, Speech, simulate};
use tunnelguard::policy::verdict::repair;
use tunnelguard::policy::{Context, Finding, evaluate};

use crate::support::asking::ask;
use crate::support::{context, corporate, differences, edited, entry, mesh, patched};
use strategies::{ADDRESSES, Noise, PORTS};

fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn outbound() -> impl Strategy<Value = OutboundPolicy> {
    select(
        &[
            OutboundPolicy::AllowAny,
            OutboundPolicy::RegistryOnly,
            OutboundPolicy::AllowAnyDynamicDns,
        ][..],
    )
}

fn neighbours() -> impl Strategy<Value = Vec<Value>> {
    prop::collection::vec(strategies::entry(Noise::Silent), 0..4)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn nothing_panics(
        object in prop_oneof![4 => strategies::entry(Noise::Some), 1 => strategies::junk()],
        old in prop_oneof![Just(Value::Null), strategies::entry(Noise::Some), strategies::junk()],
        others in neighbours(),
        outbound in outbound(),
    ) {
        let policies = corporate();
        for others in [&[][..], &others] {
            let mut mesh = mesh(others);
            let context = context(&policies, &mesh, outbound);
            for webhook in [Webhook::Mutate, Webhook::Validate] {
                ask(webhook, &object, &old, context);
            }
            mesh.upsert(entry(&object));
            dial_everything(&mesh, outbound);
        }
    }

    #[test]
    fn the_same_question_has_the_same_answer(
        object in strategies::entry(Noise::Some),
        others in neighbours(),
        outbound in outbound(),
    ) {
        let (policies, object) = (corporate(), entry(&object));
        let mesh_a = mesh(&others);
        let first = evaluate(&object, context(&policies, &mesh_a, outbound));
        let (policies, mesh_b) = (corporate(), mesh(&others));
        let again = evaluate(&object, context(&policies, &mesh_b, outbound));
        prop_assert_eq!(&first, &again);
        let order = |finding: &Finding| (finding.check, finding.path.clone());
        prop_assert!(first.is_sorted_by_key(order), "by check and field: {first:?}");
    }

    #[test]
    fn a_safe_fix_mends_what_it_is_for(
        object in strategies::entry(Noise::Silent),
        others in neighbours(),
        outbound in outbound(),
        sees_mesh in any::<bool>(),
    ) {
        let (policies, mesh) = (corporate(), mesh(&others));
        let context = Context { sees_mesh, ..context(&policies, &mesh, outbound) };
        let found = evaluate(&entry(&object), context);
        for finding in found.iter().filter(|finding| finding.has_safe_fix()) {
            let fix = finding.fix.as_ref().expect("it has one");
            let after = edited(&object, &fix.edits);
            let candidate = entry(&after);
            let left = evaluate(&candidate, context);
            let same = |left: &&Finding| (left.check, &left.path) == (finding.check, &finding.path);
            prop_assert!(left.iter().find(same).is_none(), "{left:?}\n{after}");
            for (dial, outcome) in claimed_dials(finding, &candidate, context) {
                prop_assert_eq!(outcome, Outcome::Tunnel, "{:?}\n{}", dial, after);
            }
            let second = edited(&after, &fix.edits);
            prop_assert_eq!(&second, &after, "making it twice changes nothing");
        }
    }

    #[test]
    fn a_patch_is_the_repair_predicted_and_nothing_else(
        object in prop_oneof![5 => strategies::entry(Noise::Silent), 1 => strategies::entry(Noise::Some)],
        old in prop_oneof![3 => Just(Value::Null), 1 => strategies::entry(Noise::Silent)],
        others in neighbours(),
        outbound in outbound(),
    ) {
        let policies = corporate();
        let alone = MeshView::new();
        let mesh = mesh(&others);
        let unseen = Context { sees_mesh: false, ..context(&policies, &alone, outbound) };
        for context in [unseen, context(&policies, &mesh, outbound)] {
            let answer = ask(Webhook::Mutate, &object, &old, context);
            if answer["patch"].is_null() {
                let says_nothing = json!({"uid": "u", "allowed": true});
                prop_assert_eq!(&answer, &says_nothing);
                continue;
            }
            let after = patched(&object, &answer["patch"]);
            let (predicted, mended) = predicted(&object, context);
            let warning = answer["warnings"][0].as_str().expect("it is told");
            let reason = mended[0].brief_about(40).fate;
            prop_assert!(warning.contains(&reason), "{reason}: {warning}");
            let moved = object["spec"]["location"] == "MESH_INTERNAL"
                && after["spec"]["location"] == "MESH_EXTERNAL";
            let told = warning.contains("location MESH_INTERNAL→MESH_EXTERNAL");
            prop_assert_eq!(moved, told, "{}", warning);
            for change in differences(&object, &after) {
                prop_assert!(is_ours(&change), "{change} changed: {object}");
            }
            for difference in differences(&predicted, &after) {
                let annotation = difference.starts_with("/metadata/annotations");
                prop_assert!(annotation, "{difference} was not predicted: {object}");
            }
            let again = ask(Webhook::Mutate, &after, &old, context);
            prop_assert!(again["patch"].is_null(), "repaired twice: {again}");
            let verdict = ask(Webhook::Validate, &after, &old, context);
            prop_assert_eq!(&verdict["allowed"], true, "repaired, then denied: {}", after);
        }
    }
}

#[test]
fn the_strategies_reach_what_they_are_for() {
    let policies = corporate();
    let mesh = MeshView::new();
    let context = context(&policies, &mesh, OutboundPolicy::AllowAny);
    let mut runner = TestRunner::deterministic();
    let (mut repaired, mut denied, mut warned, mut silent) = (0, 0, 0, 0);
    let mut checks = std::collections::BTreeSet::new();
    for _ in 0..1500 {
        let tree = strategies::entry(Noise::Silent).new_tree(&mut runner);
        let object = tree.expect("a value").current();
        let mutation = ask(Webhook::Mutate, &object, &Value::Null, context);
        let verdict = ask(Webhook::Validate, &object, &Value::Null, context);
        checks.extend(
            evaluate(&entry(&object), context)
                .iter()
                .map(|finding| finding.check),
        );
        match (
            mutation["patch"].is_null(),
            &verdict["allowed"],
            verdict["warnings"].is_null(),
        ) {
            (false, _, _) => repaired += 1,
            (true, Value::Bool(false), _) => denied += 1,
            (true, _, false) => warned += 1,
            (true, _, true) => silent += 1,
        }
    }
    let counts = [repaired, denied, warned, silent];
    assert!(counts.iter().all(|count| *count > 30), "{counts:?}");
    assert!(checks.len() >= 14, "only {checks:?}");
}

fn dial_everything(mesh: &MeshView, outbound: OutboundPolicy) {
    for address in ADDRESSES.iter().filter_map(|text| text.parse().ok()) {
        for port in PORTS {
            for speech in [
                Speech::Connect,
                Speech::ConnectHttp10,
                Speech::Tls(None),
                Speech::Tls(Some("tls-proxy.com".into())),
            ] {
                let dial = Dial {
                    namespace: "default".into(),
                    labels: None,
                    address,
                    port: *port,
                    speech,
                };
                for version in [IstioVersion::OLDEST, IstioVersion::NEWEST] {
                    let environment = Environment {
                        outbound,
                        version,
                        names: None,
                        ..Environment::default()
                    };
                    let prediction = simulate(mesh, &dial, &environment);
                    assert!(!prediction.why(&dial, &environment).is_empty());
                    assert!(!prediction.path(&dial, &environment).is_empty());
                }
            }
        }
    }
}

/// The dials of a finding's proxies at the addresses that the entry lists, each with what becomes
/// of it beside the mesh.
fn claimed_dials(
    finding: &Finding,
    entry: &ServiceEntry,
    context: Context<'_>,
) -> Vec<(Dial, Outcome)> {
    let view = Overlay::with(context.mesh, entry);
    let mut dials = Vec::new();
    for concerned in &finding.proxies {
        for address in concerned.proxy.single_addresses() {
            let listed = entry.usable_addresses().any(|own| own == address);
            if !listed || !entry.is_visible_from(&entry.namespace) {
                continue;
            }
            let speech = match concerned.proxy.tls {
                true => Speech::Tls(concerned.proxy.server_name().map(Into::into)),
                false => Speech::Connect,
            };
            let dial = Dial {
                namespace: entry.namespace.clone(),
                labels: None,
                address,
                port: concerned.port,
                speech,
            };
            let outcome = simulate(&view, &dial, &context.environment).assumed();
            dials.push((dial, outcome));
        }
    }
    dials
}

/// The object as the verdict's edits leave it, and the findings that they mend.
fn predicted(object: &Value, context: Context<'_>) -> (Value, Vec<Finding>) {
    let entry = entry(object);
    let findings = evaluate(&entry, context);
    let repair = repair(&findings, &entry, &context, date(2026, 1, 1));
    let (edits, mended) = repair.expect("a repair");
    (edited(object, &edits), mended)
}

/// Whether a repair may change what is at this JSON Pointer.
fn is_ours(pointer: &str) -> bool {
    let words: Vec<&str> = pointer.split('/').skip(1).collect();
    match words.as_slice() {
        ["spec", "ports", _, "protocol"] | ["spec", "location"] => true,
        ["metadata", "annotations"] => true,
        ["metadata", "annotations", key] => *key == "tunnelguard.dev~1repaired",
        _ => false,
    }
}
