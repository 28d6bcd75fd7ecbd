use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Index, Pod, PodKey};
use crate::discovery::env::{Conclusion, Host, ProxyVariables};
use crate::discovery::workload::Workload;

/// `prod/api-1` is a Pod of `prod/api`. What follows `@` is a key of the ConfigMap `proxy`.
fn pod(name: &str, value: &str) -> Pod {
    let (namespace, own) = name.split_once('/').unwrap();
    let variable = match value.strip_prefix('@') {
        Some(key) => json!({"name": "HTTPS_PROXY", "valueFrom": {
            "configMapKeyRef": {"name": "proxy", "key": key},
        }}),
        None if value == "secret" => json!({"name": "HTTPS_PROXY", "valueFrom": {
            "secretKeyRef": {"name": "proxy", "key": "url"},
        }}),
        None => json!({"name": "HTTPS_PROXY", "value": value}),
    };
    let spec = json!({"containers": [{"name": "c", "env": [variable]}]});
    let own = own.rsplit_once('-').unwrap().0;
    let workload = Workload::new(namespace, own, "Deployment");
    Pod {
        key: key(name),
        workload: Arc::new(workload),
        variables: Arc::new(ProxyVariables::of(
            &serde_json::from_value(spec).unwrap(),
            namespace,
        )),
    }
}

fn key(name: &str) -> PodKey {
    let (namespace, name) = name.split_once('/').unwrap();
    PodKey::of(namespace, name)
}

/// Each proxy, and who uses it.
fn told(index: &Index) -> Vec<String> {
    let places = index.places().map(|place| {
        let host = match &place.host {
            Host::Name(name) => name.to_string(),
            Host::Address(ip) => ip.to_string(),
        };
        let users = index.users_of(&[place]).told().unwrap_or_default();
        format!("{host}:{} {users}", place.port)
    });
    let mut told: Vec<String> = places.collect();
    for (conclusion, word) in [
        (Conclusion::Unknown, "unknown"),
        (Conclusion::Unusable, "unusable"),
    ] {
        match index.workloads(&conclusion) {
            0 => {}
            workloads => told.push(format!("{word} {workloads}")),
        }
    }
    told
}

#[test]
fn workloads_are_counted_once() {
    let mut index = Index::default();
    for (step, expected) in [
        ("+prod/api-1 a.corp:3128", "a.corp:3128 used by prod/api"),
        ("+prod/api-2 a.corp:3128", "a.corp:3128 used by prod/api"),
        (
            "+prod/web-1 http://a.corp:3128/",
            "a.corp:3128 used by 2 workloads, e.g. prod/api",
        ),
        (
            "+dev/zoo-1 a.corp:3128",
            "a.corp:3128 used by 3 workloads, e.g. dev/zoo",
        ),
        (
            "-prod/api-1",
            "a.corp:3128 used by 3 workloads, e.g. dev/zoo",
        ),
        (
            "-prod/api-2",
            "a.corp:3128 used by 2 workloads, e.g. dev/zoo",
        ),
        (
            "-prod/never-1",
            "a.corp:3128 used by 2 workloads, e.g. dev/zoo",
        ),
        // A rollout to another proxy.
        (
            "+prod/web-2 b.corp:3128",
            "a.corp:3128 used by 2 workloads, e.g. dev/zoo; b.corp:3128 used by prod/web",
        ),
        (
            "-prod/web-1",
            "a.corp:3128 used by dev/zoo; b.corp:3128 used by prod/web",
        ),
        (
            "+prod/web-2 10.0.0.5:3128",
            "a.corp:3128 used by dev/zoo; 10.0.0.5:3128 used by prod/web",
        ),
        (
            "+prod/web-2 secret",
            "a.corp:3128 used by dev/zoo; unknown 1",
        ),
        (
            "+prod/web-2 socks5://a.corp:1",
            "a.corp:3128 used by dev/zoo; unusable 1",
        ),
        ("-prod/web-2", "a.corp:3128 used by dev/zoo"),
        ("-dev/zoo-1", ""),
    ] {
        index.take_changed();
        let before = told(&index);
        let (what, rest) = step.split_at(1);
        match (what, rest.split_once(' ')) {
            ("+", Some((name, value))) => index.apply(pod(name, value)),
            _ => index.remove(key(rest)),
        }
        assert_eq!(told(&index).join("; "), expected, "{step}");
        assert!(index.take_changed() || before == told(&index), "{step}");
    }
    assert!(index.variables.is_empty() && index.users.is_empty());
}

#[test]
fn a_list_is_all_there_is() {
    let mut index = Index::default();
    for name in ["prod/api-1", "prod/web-1", "/cluster-1"] {
        index.apply(pod(name, "a.corp:3128"));
    }
    let keep = key("/cluster-1");
    index.list(vec![pod("prod/web-1", "a.corp:3128")], |pod| pod == keep);
    assert_eq!(
        told(&index),
        ["a.corp:3128 used by 2 workloads, e.g. /cluster"]
    );
    index.list(Vec::new(), |_| false);
    assert!(told(&index).is_empty());
}

fn data(values: Value) -> BTreeMap<String, String> {
    serde_json::from_value(values).unwrap()
}

#[test]
fn config_maps_are_followed() {
    let mut index = Index::default();
    index.apply(pod("prod/api-1", "@url"));
    index.apply(pod("dev/api-1", "@url"));
    assert_eq!(told(&index), ["unknown 2"]);
    assert_eq!(index.wanted("prod/other"), None, "nobody speaks of it");

    // Listed, and then edited: of what they say, only what Pods refer to is kept.
    index.begin_config_maps();
    let wanted = index.wanted("prod/proxy").unwrap();
    let values = data(json!({"url": "http://user:secret@a.corp:3128", "more": "x"}));
    let values = wanted.of("prod/proxy", &values);
    assert!(!format!("{values:?}").contains("secret") && !format!("{values:?}").contains("more"));
    index.list_config_maps(vec![values]);
    assert_eq!(told(&index), ["a.corp:3128 used by prod/api"]);
    index.apply_config_map(wanted.of("prod/proxy", &data(json!({"url": "b.corp:3128"}))));
    assert_eq!(told(&index), ["b.corp:3128 used by prod/api"]);
    assert!(index.take_changed());
    index.apply_config_map(wanted.of("prod/proxy", &data(json!({"url": "b.corp:3128"}))));
    assert!(!index.take_changed(), "it says the same");

    // Another key of it, which went by unread, is asked for; the answer is older than what is known.
    assert!(index.take_unread_config_maps().is_empty());
    index.apply(pod("prod/web-1", "@other"));
    assert_eq!(told(&index), ["b.corp:3128 used by prod/api", "unknown 1"]);
    assert_eq!(index.take_unread_config_maps(), ["prod/proxy".into()]);
    assert!(
        index.take_unread_config_maps().is_empty(),
        "it was asked for"
    );
    let wanted = index.wanted("prod/proxy").unwrap();
    index.answer_config_map(wanted.of(
        "prod/proxy",
        &data(json!({"url": "old:1", "other": "c.corp:1"})),
    ));
    assert_eq!(
        told(&index),
        ["b.corp:3128 used by prod/api", "c.corp:1 used by prod/web"]
    );

    // Gone: one by one, and from a list.
    index.remove_config_map("prod/proxy");
    assert!(told(&index).is_empty());
    index.apply_config_map(wanted.of("prod/proxy", &data(json!({"url": "b.corp:3128"}))));
    assert_eq!(told(&index), ["b.corp:3128 used by prod/api"]);
    index.list_config_maps(Vec::new());
    assert!(told(&index).is_empty());

    // With the Pods goes what was kept of them.
    for name in ["prod/api-1", "prod/web-1", "dev/api-1"] {
        index.remove(key(name));
    }
    assert_eq!(index.wanted("prod/proxy"), None);
}

#[test]
fn what_goes_by_while_config_maps_are_listed_is_asked_for() {
    let mut index = Index::default();
    index.begin_config_maps();
    index.apply(pod("prod/api-1", "@url"));
    // It was listed before anybody spoke of it.
    index.list_config_maps(Vec::new());
    assert_eq!(told(&index), ["unknown 1"]);
    assert_eq!(index.take_unread_config_maps(), ["prod/proxy".into()]);
    let wanted = index.wanted("prod/proxy").unwrap();
    index.answer_config_map(wanted.of("prod/proxy", &data(json!({"url": "a.corp:3128"}))));
    assert_eq!(told(&index), ["a.corp:3128 used by prod/api"]);
}

proptest! {
    /// Whatever happened before, what is there counts.
    #[test]
    fn the_way_does_not_matter(steps in prop::collection::vec((0..4usize, 0..6usize, 0..6usize), 0..60)) {
        const VALUES: [&str; 5] = ["a.corp:3128", "b.corp:3128", "@url", "@other", "secret"];
        let name = |n: usize| format!("prod/{}-{n}", ["api", "web"][n % 2]);
        let mut walked = Index::default();
        walked.begin_config_maps();
        let mut there = BTreeMap::new();
        let mut map = json!({});
        for (kind, which, value) in steps {
            match (kind, VALUES.get(value)) {
                (0 | 1, Some(value)) => {
                    walked.apply(pod(&name(which), value));
                    there.insert(which, *value);
                }
                (0 | 1, None) => {
                    walked.remove(key(&name(which)));
                    there.remove(&which);
                }
                (2, _) => {
                    map = json!({"url": VALUES[which % 2], "other": VALUES[value % 2]});
                    if let Some(wanted) = walked.wanted("prod/proxy") {
                        walked.apply_config_map(wanted.of("prod/proxy", &data(map.clone())));
                    }
                }
                _ => {
                    map = json!({});
                    walked.remove_config_map("prod/proxy");
                }
            }
            for unread in walked.take_unread_config_maps() {
                if let Some(wanted) = walked.wanted(&unread) {
                    walked.answer_config_map(wanted.of(&unread, &data(map.clone())));
                }
            }
        }
        let mut straight = Index::default();
        straight.list(there.iter().map(|(which, value)| pod(&name(*which), value)).collect(), |_| false);
        if let Some(wanted) = straight.wanted("prod/proxy") {
            straight.list_config_maps(vec![wanted.of("prod/proxy", &data(map))]);
        }
        prop_assert_eq!(told(&walked), told(&straight));
    }
}
