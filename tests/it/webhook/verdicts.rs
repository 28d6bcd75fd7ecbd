//! What is decided about an object, in the namespaces where the examples' policy repairs
//! (default), denies (prod) and warns (sandbox); and what is let through whatever it is.

use serde_json::{Value, json};

use super::client::Client;
use super::serving::Serving;
use super::{review, seed};
use crate::support::{differences, patched, text_of};

#[tokio::test]
async fn the_seed_is_repaired_in_every_version() {
    let server = Serving::start();
    let mut client = server.client().await;
    for version in ["v1", "v1beta1", "v1alpha3"] {
        let mut object = seed("default");
        object["apiVersion"] = json!(format!("networking.istio.io/{version}"));
        let asked = review("CREATE", &object, &Value::Null);
        let response = client.ask("/mutate", &asked).await;
        let warnings = response["warnings"].as_array().expect("said once");
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        let shown = format!("\nWarning: {}\n", warnings[0].as_str().unwrap());
        let page = text_of("manifests/README.md");
        assert!(page.contains(&shown), "manifests/README.md: no {shown}");

        let repaired = patched(&object, &response["patch"]);
        assert_eq!(repaired["spec"]["ports"][0]["protocol"], "TCP");
        assert_eq!(repaired["spec"]["location"], "MESH_EXTERNAL");
        let annotation = &repaired["metadata"]["annotations"]["tunnelguard.dev/repaired"];
        assert_eq!(annotation, "ports[http] HTTP→TCP TG001");
        let changed = differences(&object, &repaired);
        let expected = [
            "/metadata/annotations",
            "/spec/location",
            "/spec/ports/0/protocol",
        ];
        assert_eq!(changed, expected, "{version}: nothing else changes");

        let asked = review("CREATE", &repaired, &Value::Null);
        for path in ["/mutate", "/validate"] {
            let response = client.ask(path, &asked).await;
            let untouched = json!({"uid": "uid-of-CREATE", "allowed": true});
            assert_eq!(response, untouched, "{version} {path} after the repair");
        }
        // Failed open: the mutation never happened.
        let asked = review("CREATE", &object, &Value::Null);
        let response = client.ask("/validate", &asked).await;
        assert_eq!(
            response["allowed"], false,
            "{version}: a missed mutation is caught"
        );
    }
}

#[tokio::test]
async fn enforce_denies_and_audit_warns() {
    let server = Serving::start();
    let mut client = server.client().await;
    for version in ["v1", "v1beta1", "v1alpha3"] {
        for (namespace, denied) in [("prod", true), ("sandbox", false)] {
            let mut object = seed(namespace);
            object["apiVersion"] = json!(format!("networking.istio.io/{version}"));
            let asked = review("CREATE", &object, &Value::Null);
            let untouched = client.ask("/mutate", &asked).await;
            assert_eq!(untouched, json!({"uid": "uid-of-CREATE", "allowed": true}));
            let response = client.ask("/validate", &asked).await;
            assert_eq!(
                response["allowed"], !denied,
                "{version} {namespace}: {response}"
            );
            if denied {
                let status = &response["status"];
                assert_eq!(status["reason"], "Forbidden");
                let message = status["message"].as_str().unwrap();
                assert!(
                    message.starts_with("TG001 prod/corporate-proxy spec.ports[0].protocol: "),
                    "{message}"
                );
                assert!(
                    message.contains("corp-squid (10.20.0.5:3128, declared by"),
                    "{message}"
                );
                assert!(message.ends_with("tunnelguard explain TG001"), "{message}");
                assert_eq!(
                    response["warnings"],
                    Value::Null,
                    "a denial carries no warnings"
                );
            } else {
                let warnings = response["warnings"].as_array().expect("warnings");
                assert_eq!(warnings.len(), 1, "{warnings:?}");
                let shown = format!("\nWarning: {}\n", warnings[0].as_str().unwrap());
                assert!(text_of("README.md").contains(&shown), "README: no {shown}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_none_of_our_business_is_allowed_untouched() {
    let server = Serving::start();
    let mut client = server.client().await;
    for namespace in ["default", "prod", "sandbox"] {
        for (name, asked) in untouched(namespace) {
            for path in ["/mutate", "/validate"] {
                let response = client.ask(path, &asked).await;
                let expected = json!({"uid": asked["request"]["uid"], "allowed": true});
                assert_eq!(response, expected, "{name}, {path} in {namespace}");
            }
        }
    }
}

/// Reviews about the seed that nothing is said about, although the seed is wrong.
fn untouched(namespace: &str) -> Vec<(&'static str, Value)> {
    let object = seed(namespace);
    let mut labelled = object.clone();
    labelled["metadata"]["labels"] = json!({"team": "net"});
    let mut deleting = object.clone();
    deleting["metadata"]["deletionTimestamp"] = json!("2026-11-21T00:00:00Z");
    deleting["spec"]["ports"][0]["name"] = json!("changed");
    let mut changed = object.clone();
    changed["spec"]["ports"][0]["name"] = json!("changed");

    let create = |edit: &dyn Fn(&mut Value)| {
        let mut asked = review("CREATE", &object, &Value::Null);
        edit(&mut asked["request"]);
        asked
    };
    let status = {
        let mut asked = review("UPDATE", &changed, &object);
        asked["request"]["subResource"] = json!("status");
        asked
    };
    vec![
        ("spec unchanged", review("UPDATE", &labelled, &object)),
        ("deletionTimestamp", review("UPDATE", &deleting, &object)),
        ("DELETE", review("DELETE", &Value::Null, &object)),
        ("CONNECT", review("CONNECT", &object, &Value::Null)),
        ("status", status),
        ("null object", review("CREATE", &Value::Null, &Value::Null)),
        (
            "no object",
            create(&|request| drop(request.as_object_mut().unwrap().remove("object"))),
        ),
        (
            "another kind",
            create(&|request| request["kind"]["kind"] = json!("Sidecar")),
        ),
        (
            "another group",
            create(&|request| request["kind"]["group"] = json!("example.com")),
        ),
        (
            "no kind",
            create(&|request| drop(request.as_object_mut().unwrap().remove("kind"))),
        ),
        (
            "a number as object",
            create(&|request| request["object"] = json!(5)),
        ),
        (
            "an array as object",
            create(&|request| request["object"] = json!([object])),
        ),
        (
            "an empty array as object",
            create(&|request| request["object"] = json!([])),
        ),
        (
            "another sub-resource",
            create(&|request| request["subResource"] = json!("scale")),
        ),
        (
            "an operation that nobody knows",
            create(&|request| request["operation"] = json!("create")),
        ),
        (
            "no operation",
            create(&|request| drop(request.as_object_mut().unwrap().remove("operation"))),
        ),
        (
            "no spec",
            create(&|request| request["object"]["spec"] = json!({})),
        ),
        (
            "null spec",
            create(&|request| request["object"]["spec"] = Value::Null),
        ),
    ]
}

#[tokio::test]
async fn the_schema_is_for_the_api_server_to_check() {
    let server = Serving::start();
    let mut client = server.client().await;
    for (pointer, value) in [
        ("/spec/ports/0/name", json!(7)),
        ("/spec/ports/0/number", json!("3128")),
        ("/spec/hosts", json!("my-company-proxy.com")),
        ("/spec/resolution", json!("none")),
        ("/metadata/name", json!(["x"])),
    ] {
        let mut object = seed("default");
        *object.pointer_mut(pointer).unwrap() = value;
        let asked = review("CREATE", &object, &Value::Null);
        let response = client.ask("/mutate", &asked).await;
        assert_eq!(
            response,
            json!({"uid": "uid-of-CREATE", "allowed": true}),
            "{pointer}"
        );
    }
}

#[tokio::test]
async fn an_update_is_held_to_what_it_changes() {
    let server = Serving::start();
    let mut client = server.client().await;
    let old = seed("prod");
    // (pointer into the new spec, its value, whether that is denied)
    for (pointer, value, denied) in [
        ("/ports/0/name", json!("renamed"), false),
        (
            "/hosts",
            json!(["my-company-proxy.com", "b.proxy.corp"]),
            true,
        ),
        ("/addresses", json!(["10.20.0.5/32", "10.20.0.9"]), true),
        ("/ports/0/protocol", json!("GRPC"), false),
        ("/ports/0/protocol", json!("TCP"), false),
    ] {
        let mut object = old.clone();
        *object["spec"].pointer_mut(pointer).unwrap() = value.clone();
        let response = ask_update(&mut client, &object, &old).await;
        assert_eq!(
            response["allowed"], !denied,
            "{pointer} = {value}: {response}"
        );
    }
}

async fn ask_update(client: &mut Client, object: &Value, old: &Value) -> Value {
    client
        .ask("/validate", &review("UPDATE", object, old))
        .await
}
