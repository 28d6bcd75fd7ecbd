//! What is no review, what is too much of one, the probes, and an orderly end.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::serving::Serving;
use super::{review, seed};

#[tokio::test]
async fn what_is_no_review_gets_400_and_one_line() {
    let server = Serving::start();
    let mut client = server.client().await;
    for (name, body) in no_reviews() {
        for path in ["/mutate", "/validate"] {
            let answer = client.send(Method::POST, path, body.clone()).await;
            let answered = (answer.status, answer.content_type.as_str());
            let expected = (StatusCode::BAD_REQUEST, "text/plain; charset=utf-8");
            assert_eq!(answered, expected, "{name}: {}", answer.body);
            assert_eq!(answer.body.lines().count(), 1, "{name}: {}", answer.body);
            assert!(answer.body.ends_with('\n'), "{name}: {}", answer.body);
        }
    }
    let asked = review("CREATE", &seed("prod"), &Value::Null);
    let response = client.ask("/validate", &asked).await;
    assert_eq!(
        response["allowed"], false,
        "it is alive on the same connection"
    );
}

fn no_reviews() -> Vec<(&'static str, String)> {
    let whole = review("CREATE", &seed("prod"), &Value::Null);
    let edited = |edit: &dyn Fn(&mut Value)| {
        let mut review = whole.clone();
        edit(&mut review);
        review.to_string()
    };
    let without = |field: &'static str, inside: &'static str| {
        edited(&|review| {
            let object = review.pointer_mut(inside).unwrap().as_object_mut().unwrap();
            object.remove(field);
        })
    };
    let text = whole.to_string();
    let deep = "[".repeat(100_000);
    vec![
        ("empty", String::new()),
        ("blank", "\n \t".to_owned()),
        ("no JSON", "kind: AdmissionReview".to_owned()),
        ("truncated", text[..text.len() - 1].to_owned()),
        ("more behind it", format!("{text}{{}}")),
        ("an array", format!("[{text}]")),
        ("a string", "\"AdmissionReview\"".to_owned()),
        ("null", "null".to_owned()),
        (
            "another kind",
            edited(&|review| review["kind"] = json!("TokenReview")),
        ),
        (
            "a version of the past",
            edited(&|review| review["apiVersion"] = json!("admission.k8s.io/v1beta1")),
        ),
        ("no kind", without("kind", "")),
        ("no apiVersion", without("apiVersion", "")),
        ("no request", without("request", "")),
        (
            "null request",
            edited(&|review| review["request"] = Value::Null),
        ),
        (
            "an array as request",
            edited(&|review| review["request"] = json!(["u"])),
        ),
        ("no uid", without("uid", "/request")),
        (
            "empty uid",
            edited(&|review| review["request"]["uid"] = json!("")),
        ),
        (
            "a uid that is no uid",
            edited(&|review| review["request"]["uid"] = json!("x".repeat(257))),
        ),
        (
            "a number as uid",
            edited(&|review| review["request"]["uid"] = json!(7)),
        ),
        ("nested deeply", deep.clone()),
        ("nested deeply inside", format!("{{\"request\":{deep}")),
        (
            "nested deeply where nothing is read",
            format!("{{\"x\":{deep}{}}}", "]".repeat(100_000)),
        ),
        ("a lone surrogate", text.replace("uid-of-CREATE", "\\ud800")),
    ]
}

#[tokio::test]
async fn an_object_nested_deeply_ends_nothing() {
    let server = Serving::start();
    let mut client = server.client().await;
    let asked = review("CREATE", &json!("HERE"), &Value::Null).to_string();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for (name, object) in [
        ("an array", deep.clone()),
        ("below spec", format!("{{\"spec\":{{\"hosts\":{deep}}}}}")),
        (
            "a field nobody reads",
            format!("{{\"spec\":{{\"x\":{deep}}}}}"),
        ),
    ] {
        let body = asked.replace("\"HERE\"", &object);
        for path in ["/mutate", "/validate"] {
            let answer = client.send(Method::POST, path, body.clone()).await;
            assert_eq!(answer.status, StatusCode::OK, "{name}: {}", answer.body);
        }
    }
    let probe = server.probe().await.send(Method::GET, "/livez", "").await;
    assert_eq!(probe.status, StatusCode::OK);
}

#[tokio::test]
async fn what_is_too_large_or_misdirected_is_refused() {
    let server = Serving::start();
    for (method, path, size, expected) in [
        (
            Method::POST,
            "/validate",
            9 << 20,
            StatusCode::PAYLOAD_TOO_LARGE,
        ),
        (
            Method::POST,
            "/mutate",
            9 << 20,
            StatusCode::PAYLOAD_TOO_LARGE,
        ),
        (Method::POST, "/mutate", 8 << 20, StatusCode::BAD_REQUEST),
        (Method::GET, "/validate", 0, StatusCode::METHOD_NOT_ALLOWED),
        (Method::PUT, "/mutate", 0, StatusCode::METHOD_NOT_ALLOWED),
        (Method::POST, "/", 0, StatusCode::NOT_FOUND),
        (Method::POST, "/mutate/x", 0, StatusCode::NOT_FOUND),
        (Method::GET, "/livez", 0, StatusCode::NOT_FOUND),
    ] {
        let mut client = server.client().await;
        let answer = client.send(method.clone(), path, vec![b' '; size]).await;
        assert_eq!(
            answer.status, expected,
            "{method} {path} {size}: {}",
            answer.body
        );
        assert_eq!(answer.body.lines().count(), 1, "{}", answer.body);
    }
}

/// The end-to-end tests show the API server the same answers: they are ours, to the letter.
#[tokio::test]
async fn the_refusals_shown_to_an_api_server_are_ours() {
    let vectors = include_str!("../../e2e/responses/vectors.yaml");
    let vectors: Vec<Value> = serde_saphyr::from_str(vectors).unwrap();
    let server = Serving::start();
    let large = " ".repeat(9 << 20);
    for (method, path, body) in [
        (Method::POST, "/validate", "{}".to_owned()),
        (Method::POST, "/", String::new()),
        (Method::GET, "/validate", String::new()),
        (Method::POST, "/mutate", large),
    ] {
        let mut client = server.client().await;
        let answer = client.send(method, path, body).await;
        let is_same = |row: &&Value| row["status"] == answer.status.as_u16();
        let shown = vectors.iter().find(is_same);
        let shown = shown.unwrap_or_else(|| panic!("no vector for {}", answer.status));
        assert_eq!(shown["text"], answer.body);
    }
}

#[tokio::test]
async fn probes_are_answered_until_sigterm_ends_it_in_order() {
    let mut server = Serving::start();
    let mut probe = server.probe().await;
    for path in ["/livez", "/readyz"] {
        let answer = probe.send(Method::GET, path, "").await;
        assert_eq!(
            (answer.status, &*answer.body),
            (StatusCode::OK, "ok\n"),
            "{path}"
        );
    }
    let mut client = server.client().await;
    let asked = review("CREATE", &seed("sandbox"), &Value::Null);
    client.ask("/validate", &asked).await;

    let written = || std::fs::read_dir(server.temporary()).unwrap().count();
    assert_eq!(written(), 1, "its directory for the trial");
    let (status, _) = server.terminate();
    assert!(status.success(), "{status}");
    let left: Vec<_> = std::fs::read_dir(server.temporary()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}
