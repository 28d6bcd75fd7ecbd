use serde_json::{Value, json};

use super::{Conclusion, ConfigMapKey, Host, Known, ProxyVariables, kept};

/// The ConfigMap `proxy` of the namespace, as it is kept.
fn lookup(key: &ConfigMapKey) -> Known<'static> {
    assert!(key.config_map.starts_with("tools/"), "{key:?}");
    match (&*key.config_map, &*key.key) {
        ("tools/proxy", "url") => Known::Value("http://proxy.corp:3128"),
        ("tools/proxy", "host") => Known::Value("squid"),
        ("tools/proxy", "all") => Known::Value("10.0.0.0/8,*"),
        ("tools/proxy", "https_proxy") => Known::Value("http://whole.corp:3128"),
        ("tools/proxy", "HTTPS_PROXY" | "empty") => Known::Value(""),
        ("tools/later", _) => Known::Unknown,
        _ => Known::Absent,
    }
}

fn variables(containers: Value) -> ProxyVariables {
    let spec = json!({"containers": containers});
    ProxyVariables::of(&serde_json::from_value(spec).unwrap(), "tools")
}

fn told(containers: Value) -> String {
    let told = |conclusion: &Conclusion| match conclusion {
        Conclusion::Unknown => "unknown".to_owned(),
        Conclusion::Unusable => "unusable".to_owned(),
        Conclusion::Proxy(place) => match &place.host {
            Host::Name(name) => format!("{name}:{}", place.port),
            Host::Address(ip) => format!("{ip}:{}", place.port),
        },
    };
    let conclusions = variables(containers).conclusions(&lookup);
    let told: Vec<String> = conclusions.iter().map(told).collect();
    told.join(" ")
}

fn set(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value})
}

fn key(name: &str, config_map: &str, key: &str) -> Value {
    json!({"name": name, "valueFrom": {"configMapKeyRef": {"name": config_map, "key": key}}})
}

fn field(name: &str, path: &str) -> Value {
    json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}})
}

fn secret(name: &str) -> Value {
    json!({"name": name, "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}})
}

/// What is in `env`, and what comes of it.
#[test]
fn variables_of_one_container() {
    let url = "http://a.corp:3128";
    for (env, expected) in [
        (json!([]), ""),
        (json!([set("PROXY", url)]), ""),
        (json!([set("HTTPS_PROXY", url)]), "a.corp:3128"),
        (json!([set("https_proxy", url)]), "a.corp:3128"),
        (json!([set("HTTP_PROXY", url)]), "a.corp:3128"),
        (json!([set("http_proxy", url)]), "a.corp:3128"),
        (json!([set("ALL_PROXY", url)]), "a.corp:3128"),
        (
            json!([set("all_proxy", "socks5://a.corp:1080")]),
            "unusable",
        ),
        (
            json!([
                set("HTTPS_PROXY", url),
                set("HTTP_PROXY", "http://b.corp:8080")
            ]),
            "a.corp:3128 b.corp:8080",
        ),
        // The last of one name counts.
        (json!([set("HTTPS_PROXY", url), set("HTTPS_PROXY", "")]), ""),
        (json!([{"name": "HTTPS_PROXY"}]), ""),
        // Nothing goes through it.
        (json!([set("HTTPS_PROXY", url), set("NO_PROXY", "*")]), ""),
        (
            json!([set("HTTPS_PROXY", url), set("no_proxy", "10.0.0.0/8, *")]),
            "",
        ),
        (
            json!([set("HTTPS_PROXY", url), set("NO_PROXY", "*.corp,a.corp")]),
            "a.corp:3128",
        ),
        (
            json!([set("HTTPS_PROXY", url), key("NO_PROXY", "proxy", "all")]),
            "",
        ),
        (
            json!([set("HTTPS_PROXY", url), key("NO_PROXY", "proxy", "gone")]),
            "a.corp:3128",
        ),
        // References.
        (
            json!([
                set("HOST", "a.corp"),
                set("HTTPS_PROXY", "http://$(HOST):3128")
            ]),
            "a.corp:3128",
        ),
        (
            json!([
                set("HTTPS_PROXY", "http://$(HOST):3128"),
                set("HOST", "a.corp")
            ]),
            "unusable",
        ),
        (
            json!([
                set("A", "corp"),
                set("B", "a.$(A)"),
                set("https_proxy", "$(B):3128"),
                set("HTTPS_PROXY", "$(https_proxy)")
            ]),
            "a.corp:3128",
        ),
        (
            json!([set("HTTPS_PROXY", "http://$$(HOST):3128")]),
            "unusable",
        ),
        (
            json!([set("HTTPS_PROXY", "http://a$b.corp:3128")]),
            "unusable",
        ),
        (json!([set("HTTPS_PROXY", "http://$(HOST")]), "unusable"),
        (
            json!([
                field("NS", "metadata.namespace"),
                set("HTTPS_PROXY", "http://squid.$(NS).svc:3128")
            ]),
            "squid.tools.svc.cluster.local:3128",
        ),
        (
            json!([
                field("IP", "status.podIP"),
                set("HTTPS_PROXY", "http://$(IP):3128")
            ]),
            "",
        ),
        (
            json!([
                field("IP", "status.hostIP"),
                set("HTTPS_PROXY", "http://$(IP):3128")
            ]),
            "unknown",
        ),
        // Secrets.
        (json!([secret("HTTPS_PROXY")]), "unknown"),
        (
            json!([
                secret("USER"),
                secret("PASSWORD"),
                set("HTTPS_PROXY", "http://$(USER):$(PASSWORD)@a.corp:3128")
            ]),
            "a.corp:3128",
        ),
        (
            json!([secret("HOST"), set("HTTPS_PROXY", "http://$(HOST):3128")]),
            "unknown",
        ),
        // ConfigMaps.
        (
            json!([key("HTTPS_PROXY", "proxy", "url")]),
            "proxy.corp:3128",
        ),
        (json!([key("HTTPS_PROXY", "proxy", "gone")]), ""),
        (json!([key("HTTPS_PROXY", "later", "url")]), "unknown"),
        (
            json!([
                key("HOST", "proxy", "host"),
                set("HTTPS_PROXY", "http://u:$(P)@$(HOST):3128")
            ]),
            "squid.tools.svc.cluster.local:3128",
        ),
        (
            json!([set("HTTPS_PROXY", url), key("HTTPS_PROXY", "proxy", "gone")]),
            "a.corp:3128",
        ),
    ] {
        assert_eq!(told(json!([{"name": "c", "env": env}])), expected, "{env}");
    }
}

/// What is in `envFrom`, what is in `env`, and what comes of it.
#[test]
fn variables_of_whole_objects() {
    let map = |name: &str| json!({"configMapRef": {"name": name}});
    let secret = json!({"secretRef": {"name": "s"}});
    let prefixed = |prefix: &str| json!({"prefix": prefix, "configMapRef": {"name": "proxy"}});
    for (env_from, env, expected) in [
        (json!([map("proxy")]), json!([]), "whole.corp:3128"),
        (json!([map("other")]), json!([]), ""),
        (json!([map("later")]), json!([]), "unknown"),
        (
            json!([map("proxy"), map("other")]),
            json!([]),
            "whole.corp:3128",
        ),
        // What may be set by a Secret cannot be told.
        (json!([secret]), json!([]), "unknown"),
        (json!([map("proxy"), secret]), json!([]), "unknown"),
        (
            json!([secret, map("proxy")]),
            json!([]),
            "unknown whole.corp:3128",
        ),
        (json!([map("proxy")]), json!([set("https_proxy", "")]), ""),
        (
            json!([map("proxy")]),
            json!([set("HTTP_PROXY", "$(https_proxy)")]),
            "whole.corp:3128",
        ),
        // Prefixes.
        (json!([prefixed("X_")]), json!([]), ""),
        (
            json!([{"prefix": "https_", "configMapRef": {"name": "proxy"}}]),
            json!([]),
            "",
        ),
        (
            json!([{"prefix": "X_", "secretRef": {"name": "s"}}]),
            json!([]),
            "",
        ),
    ] {
        let container = json!([{"name": "c", "env": env, "envFrom": env_from}]);
        let found = told(container);
        let mut words: Vec<&str> = found.split(' ').collect();
        words.sort_unstable();
        assert_eq!(words.join(" "), expected, "{env_from} {env}");
    }
}

#[test]
fn containers_are_read_alike_and_once() {
    let one = json!({"name": "a", "env": [set("HTTPS_PROXY", "http://a.corp:3128")]});
    let other = json!({"name": "b", "env": [set("http_proxy", "a.corp:3128"), set("X", "y")]});
    assert_eq!(
        variables(json!([one])),
        variables(json!([other, {"name": "c"}, one]))
    );
    let spec = json!({"containers": [], "initContainers": [one]});
    let init = ProxyVariables::of(&serde_json::from_value(spec).unwrap(), "tools");
    assert_eq!(init, variables(json!([one])));
    assert!(variables(json!([{"name": "c", "env": [set("A", "b")]}])).is_empty());
}

#[test]
fn nobody_who_signs_in_is_kept() {
    let value = "http://user:secret@a.corp:3128";
    let inside = json!([
        key("HOST", "proxy", "host"),
        set("HTTPS_PROXY", "http://user:secret@$(HOST):3128")
    ]);
    for env in [
        json!([set("HTTPS_PROXY", value)]),
        json!([set("A", value), set("HTTPS_PROXY", "$(A)")]),
        inside,
    ] {
        let variables = variables(json!([{"name": "c", "env": env}]));
        let told = format!("{variables:?} {:?}", variables.conclusions(&lookup));
        assert!(!told.contains("secret"), "{told}");
        assert!(!variables.is_empty());
    }
    assert_eq!(&*kept(value), "http://a.corp:3128");
    assert_eq!(&*kept("user:s@cret@a.corp:3128"), "a.corp:3128");
    assert_eq!(kept(&"ä".repeat(1000)).len(), 1024);
}

#[test]
fn references_to_references_do_not_grow_without_end() {
    let mut env = vec![set("A0", "http://a.corp:3128")];
    for n in 1..200 {
        let before = format!("$(A{})", n - 1);
        env.push(set(&format!("A{n}"), &before.repeat(2)));
    }
    env.push(set("HTTPS_PROXY", "$(A199)"));
    assert_eq!(told(json!([{"name": "c", "env": env}])), "unknown");
}
