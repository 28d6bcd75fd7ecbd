//! Several policies say the same together, in whatever order the cluster tells of them.

use std::sync::Arc;

use serde_json::{Value, json};
use tunnelguard::admission::Webhook;
use tunnelguard::policy::PolicySet;
use tunnelguard::policy::namespaces::Namespaces;
use tunnelguard::state::{PolicyResources, Snapshot};

use super::{answer, answer_on, policy};

/// Four that speak of one proxy, each in its own way, and one that cannot be used.
fn policies() -> Vec<Value> {
    let squid = |name: &str, addresses: &str| json!([{"name": name, "hosts": ["squid.corp"], "addresses": [addresses], "ports": [3128]}]);
    vec![
        policy(
            "a-audit",
            &json!({"mode": "Audit", "proxies": squid("one", "10.20.0.5")}),
        ),
        policy(
            "b-range",
            &json!({"mode": "Mutate", "onUnsafe": "Audit", "proxies": squid("range", "10.20.0.0/16"), "mesh": {"istioVersion": "1.30"}}),
        ),
        policy(
            "c-strict",
            &json!({
                "mode": "Audit", "proxies": squid("strict", "10.20.0.5"), "mesh": {"istioVersion": "1.21"},
                "overrides": [{"namespaceSelector": {"matchLabels": {"tier": "prod"}}, "mode": "Enforce"}],
            }),
        ),
        policy(
            "d-exempt",
            &json!({
                "mode": "Enforce", "proxies": squid("exempt", "10.20.0.5"),
                "exemptions": [{"namespace": "prod", "reason": "r", "owner": "team-net", "expires": "2026-11-20"}],
            }),
        ),
        policy("e-broken", &json!({"mode": "Repair"})),
    ]
}

fn permutations(items: &[Value]) -> Vec<Vec<Value>> {
    let Some((first, rest)) = items.split_first() else {
        return vec![Vec::new()];
    };
    let mut all = Vec::new();
    for rest in permutations(rest) {
        for place in 0..=rest.len() {
            let mut order = rest.clone();
            order.insert(place, first.clone());
            all.push(order);
        }
    }
    all
}

/// What is in force after these have arrived one by one, the first of them twice.
fn arrived(order: &[Value]) -> Snapshot {
    let mut resources = PolicyResources::default();
    resources.apply(&order[0]);
    resources.delete(order[0]["metadata"]["name"].as_str().expect("a name"));
    for object in order {
        resources.apply(object);
    }
    let usable: Vec<&PolicySet> = resources.usable().map(|(_, policy)| policy).collect();
    let labels = [("tier".into(), "prod".into())].into();
    let namespaces: Namespaces = [("prod".into(), labels), ("dev".into(), [].into())].into();
    Snapshot {
        policies: PolicySet::united(usable).into(),
        namespaces: Arc::new(namespaces),
        ..Snapshot::default()
    }
}

fn create(namespace: &str, addresses: Value) -> Value {
    json!({
        "uid": "u", "operation": "CREATE", "namespace": namespace, "name": "e",
        "kind": {"group": "networking.istio.io", "version": "v1", "kind": "ServiceEntry"},
        "object": {
            "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
            "metadata": {"name": "e", "namespace": namespace},
            "spec": {
                "hosts": ["squid.corp"], "addresses": addresses, "resolution": "NONE",
                "ports": [{"number": 3128, "name": "p", "protocol": "HTTP"}],
            },
        },
    })
}

#[test]
fn the_order_of_arrival_decides_nothing() {
    let orders = permutations(&policies());
    assert_eq!(orders.len(), 120);
    for request in [
        create("prod", json!(["10.20.0.5"])),
        create("dev", json!(["10.20.7.7"])),
        create("unheard-of", json!([])),
    ] {
        for webhook in [Webhook::Mutate, Webhook::Validate] {
            let all = orders
                .iter()
                .map(|order| answer(webhook, &request, &arrived(order)).0);
            let mut all: Vec<String> = all
                .map(|bytes| String::from_utf8(bytes).expect("UTF-8"))
                .collect();
            all.dedup();
            assert_eq!(all.len(), 1, "{webhook:?} {request}\n{}", all.join("\n"));
        }
    }
}

/// Namespace, which of the policies are there by the first letters of their names, and what is said.
#[test]
fn the_strictest_holds_and_is_named() {
    const ALLOWED: &str = "warned";
    let by_strict = "strict (10.20.0.5:3128, declared by policy c-strict)";
    let by_exempt = "exempt (10.20.0.5:3128, declared by policy d-exempt)";
    let expired = "the exemption in policy d-exempt expired on 2026-11-20; mend the finding or renew it (team-net: r)";
    for (namespace, there, said) in [
        ("dev", "a", vec![ALLOWED]),
        ("dev", "c", vec![ALLOWED]),
        ("dev", "ac", vec![ALLOWED]),
        ("prod", "a", vec![ALLOWED]),
        ("prod", "c", vec!["denied", by_strict]),
        (
            "prod",
            "ac",
            vec![
                "denied",
                "one (10.20.0.5:3128, declared by policy a-audit)",
                by_strict,
            ],
        ),
        ("dev", "ad", vec!["denied", by_exempt]),
        ("prod", "d", vec!["denied", by_exempt, expired]),
        // A namespace that is not in view yet: the policy's own mode holds.
        ("new", "c", vec![ALLOWED]),
        ("new", "d", vec!["denied", by_exempt]),
    ] {
        let is_there = |object: &Value| {
            let name = object["metadata"]["name"].as_str().expect("a name");
            name.starts_with(|letter| there.contains(letter))
        };
        let policies: Vec<Value> = policies().into_iter().filter(is_there).collect();
        let request = create(namespace, json!(["10.20.0.5"]));
        let (_, response, record) = answer(Webhook::Validate, &request, &arrived(&policies));
        let told = format!("{} {response}", record.decision.name());
        for words in said {
            assert!(
                told.contains(words),
                "{namespace} {there}: no {words:?} in {told}"
            );
        }
    }
}

/// One exemption, and days as a clock that jumps may tell them: each decides by itself.
#[test]
fn an_exemption_holds_by_the_day_that_it_is() {
    let exempt = &policies()[3];
    let snapshot = arrived(std::slice::from_ref(exempt));
    let request = create("prod", json!(["10.20.0.5"]));
    for (day, decision) in [
        ("2026-11-19", "allowed"),
        ("2026-11-20", "allowed"),
        ("2026-11-21", "denied"),
        ("2026-11-20", "allowed"),
        ("9999-12-31", "denied"),
        ("1970-01-01", "allowed"),
        ("2026-11-21", "denied"),
    ] {
        let today = day.parse().expect("a day");
        let (_, response, record) = answer_on(today, Webhook::Validate, &request, &snapshot);
        assert_eq!(record.decision.name(), decision, "{day}: {response}");
        let told = response.to_string().contains("expired on 2026-11-20");
        assert_eq!(told, decision == "denied", "{day}: {response}");
    }
}
