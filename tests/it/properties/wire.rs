//! What holds for every body, whatever its bytes.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tunnelguard::admission::Webhook;
use tunnelguard::mesh::simulation::OutboundPolicy;
use tunnelguard::mesh::{FieldPath, MeshView};

use super::raw::{apply, differences, leaves};
use super::strategies::{self, Noise};
use super::{config, is_ours};
use crate::support::asking::{review_of, send};
use crate::support::{context, corporate};

const WEBHOOKS: [Webhook; 2] = [Webhook::Mutate, Webhook::Validate];

/// A review about an ordinary object, new or changed.
fn review() -> impl Strategy<Value = Value> {
    let old = prop_oneof![Just(Value::Null), strategies::entry(Noise::Silent)];
    let object = strategies::entry(Noise::Some);
    let crowded = strategies::entry(Noise::Silent).prop_map(crowded);
    let object = prop_oneof![6 => object, 1 => crowded];
    (object, old).prop_map(|(object, old)| review_of(&object, &old))
}

/// The same with each port forty times: more to warn about than there is room for.
fn crowded(mut object: Value) -> Value {
    if let Some(Value::Array(ports)) = object.pointer_mut("/spec/ports") {
        *ports = vec![ports.clone(); 40].concat();
    }
    object["metadata"]["namespace"] = json!("sandbox");
    object
}

/// Something done to a review on its way.
#[derive(Clone, Debug)]
enum Damage {
    /// The field or item at some place becomes this.
    Value(Index, Value),
    /// The bytes end here.
    Cut(Index),
    /// Some bits of a byte turn over.
    Flip(Index, u8),
    /// A byte comes in between.
    Insert(Index, u8),
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = any::<Index>;
    prop_oneof![
        6 => (place(), value()).prop_map(|(place, value)| Damage::Value(place, value)),
        1 => place().prop_map(Damage::Cut),
        2 => (place(), 1_u8..).prop_map(|(place, bits)| Damage::Flip(place, bits)),
        1 => (place(), any::<u8>()).prop_map(|(place, byte)| Damage::Insert(place, byte)),
    ]
}

/// Any JSON, and texts that would make a warning long or dirty.
fn value() -> impl Strategy<Value = Value> {
    let long = "\\PC{300,400}".prop_map(|text| json!(format!("squid.{text}")));
    let dirty = any::<String>().prop_map(|text| json!(format!("corp-proxy \n\u{7f}\u{9b}{text}")));
    prop_oneof![4 => strategies::junk(), 1 => long, 1 => dirty]
}

/// The bytes of a review after some damage, the values first.
fn damaged(review: &Value, damages: &[Damage]) -> Vec<u8> {
    let mut review = review.clone();
    for damage in damages {
        let Damage::Value(place, value) = damage else {
            continue;
        };
        let mut places = Vec::new();
        pointers(&review, FieldPath::root(), &mut places);
        if let Some(target) = review.pointer_mut(&places[place.index(places.len())]) {
            *target = value.clone();
        }
    }
    let mut bytes = review.to_string().into_bytes();
    for damage in damages
        .iter()
        .filter(|_| !bytes.is_empty())
        .collect::<Vec<_>>()
    {
        let length = bytes.len();
        match damage {
            Damage::Value(..) => {}
            Damage::Cut(place) => bytes.truncate(place.index(length) + 1),
            Damage::Flip(place, bits) => bytes[place.index(length)] ^= bits,
            Damage::Insert(place, byte) => bytes.insert(place.index(length), *byte),
        }
    }
    bytes
}

/// Every place in a value.
fn pointers(value: &Value, path: FieldPath, found: &mut Vec<String>) {
    found.push(path.pointer());
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                pointers(value, path.clone().key(key), found);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                pointers(value, path.clone().index(index), found);
            }
        }
        _ => {}
    }
}

/// Numbers that a value read and written again would change.
const NUMBERS: &[&str] = &[
    "1e2",
    "1.0",
    "-0",
    "18446744073709551615",
    "123456789012345678901234567890",
    "0.10",
    "1E-7",
];

/// The text of an object, with fields that nobody knows beside those that a repair edits.
fn with_unknown_fields(object: &Value, numbers: &[&str]) -> String {
    let mut object = object.clone();
    let unknown = json!({"number": "@0@", "list": [{"deep": "@1@"}, [], {}], "~/": "@2@"});
    let places = [
        "",
        "/metadata",
        "/metadata/annotations",
        "/spec",
        "/spec/ports/0",
    ];
    for place in places {
        if let Some(Value::Object(fields)) = object.pointer_mut(place) {
            fields.insert("unknown".to_owned(), unknown.clone());
        }
    }
    let mut text = object.to_string();
    for (index, number) in numbers.iter().enumerate() {
        text = text.replace(&format!("\"@{index}@\""), number);
    }
    text
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_bytes_are_answered_or_rejected(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            "[\\[\\]{}:,\"a-z0-9.\\\\ \n-]{0,200}".prop_map(String::into_bytes),
            strategies::junk().prop_map(|value| value.to_string().into_bytes()),
        ],
    ) {
        let (policies, mesh) = (corporate(), MeshView::new());
        for webhook in WEBHOOKS {
            let context = context(&policies, &mesh, OutboundPolicy::AllowAny);
            drop(send(webhook, &bytes, context));
        }
    }

    #[test]
    fn a_damaged_review_is_answered_or_rejected(
        review in review(),
        damages in prop::collection::vec(damage(), 1..4),
    ) {
        let (policies, mesh) = (corporate(), MeshView::new());
        let body = damaged(&review, &damages);
        // Fields that nobody reads may hold what is neither UTF-8 nor a number of 64 bits: such a
        // body is answered, too.
        let uid = serde_json::from_str::<Value>(&String::from_utf8_lossy(&body));
        let uid = uid.map(|body| body["request"]["uid"].clone());
        for webhook in WEBHOOKS {
            let context = context(&policies, &mesh, OutboundPolicy::AllowAny);
            if let Ok((response, _)) = send(webhook, &body, context) {
                let json = serde_json::from_slice::<IgnoredAny>(&body);
                prop_assert!(json.is_ok(), "only JSON is answered");
                // A string that is not read may hold half a surrogate pair, which is JSON by its
                // grammar (RFC 8259 §8.2) and no `Value`.
                if let Ok(uid) = &uid {
                    prop_assert_eq!(&response["uid"], uid);
                }
            }
        }
    }

    #[test]
    fn what_a_patch_does_not_name_stays_as_it_is_written(
        object in strategies::entry(Noise::Silent),
        numbers in prop::collection::vec(select(NUMBERS), 3),
    ) {
        let (policies, mesh) = (corporate(), MeshView::new());
        let context = context(&policies, &mesh, OutboundPolicy::AllowAny);
        let text = with_unknown_fields(&object, &numbers);
        let body = review_of(&json!("@object@"), &Value::Null).to_string();
        let namespace = object["metadata"]["namespace"].to_string();
        let body = body.replace("\"namespace\":null", &format!("\"namespace\":{namespace}"));
        let body = body.replace("\"@object@\"", &text);
        let (response, _) = send(Webhook::Mutate, body.as_bytes(), context).expect("a review");
        if !response["patch"].is_null() {
            let before = leaves(&text);
            let after = apply(before.clone(), &response["patch"]);
            for pointer in differences(&before, &after) {
                prop_assert!(is_ours(&pointer), "{pointer} changed: {response}\n{text}");
            }
        }
    }
}

#[test]
fn the_damage_reaches_what_it_is_for() {
    let (policies, mesh) = (corporate(), MeshView::new());
    let mut runner = TestRunner::deterministic();
    let mut decisions = std::collections::BTreeMap::new();
    for _ in 0..1500 {
        let strategy = (review(), prop::collection::vec(damage(), 1..4));
        let (review, damages) = strategy.new_tree(&mut runner).expect("values").current();
        let body = damaged(&review, &damages);
        for webhook in WEBHOOKS {
            let context = context(&policies, &mesh, OutboundPolicy::AllowAny);
            let sent = send(webhook, &body, context);
            if let Ok((response, _)) = &sent {
                assert!(characters(response) <= 4096, "{response}");
            }
            let decision = match sent {
                Err(_) => "rejected",
                Ok((response, _)) if response["warnings"][15].is_string() => "full",
                Ok((response, _)) if response.to_string().contains('…') => "cut",
                Ok((_, record)) => record.decision.name(),
            };
            *decisions.entry(decision).or_insert(0) += 1;
        }
    }
    for name in [
        "rejected", "allowed", "warned", "repaired", "denied", "cut", "full",
    ] {
        let count = decisions.get(name).copied().unwrap_or_default();
        assert!(count > 8, "{name}: {decisions:?}");
    }
}

/// How long its warnings are, all together.
fn characters(response: &Value) -> usize {
    let warnings = response["warnings"].as_array().into_iter().flatten();
    let texts = warnings.filter_map(Value::as_str);
    texts.map(|text| text.chars().count()).sum()
}
