//! A client of the webhook, which holds every answer against the contract.

use axum::body::{Body, to_bytes};
use base64::Engine as _;
use hyper::client::conn::http1::SendRequest;
use hyper::{Method, Request, StatusCode};
use serde_json::Value;
use tokio::time::timeout;

use crate::support::LIMIT;

/// A command that is printed to be pasted.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) command: String,
}

/// A connection over which requests are sent, one after the other.
pub(super) struct Client(pub(super) SendRequest<Body>);

/// An HTTP response.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) content_type: String,
    pub(super) body: String,
}

impl Sample {
    /// Sends what the command would send.
    pub(super) async fn send(&self, client: &mut Client) -> Value {
        let word = |prefix: &str| {
            let words = self.command.split_whitespace();
            let found = words.filter_map(|word| word.strip_prefix(prefix)).next();
            found.unwrap_or_else(|| panic!("no {prefix} in {}", self.command))
        };
        let review = std::fs::read_to_string(word("@")).expect("the file that is printed");
        let (_, path) = word("https://").split_once('/').expect("a path");
        let review = serde_json::from_str(&review).expect("JSON");
        client.ask(&format!("/{path}"), &review).await
    }
}

impl Client {
    /// What a path answers with 200.
    pub(super) async fn get(&mut self, path: &str) -> String {
        let answer = self.send(Method::GET, path, "").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.body
    }

    /// Sends a request with whatever body.
    pub(super) async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: impl Into<Body>,
    ) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "x");
        let request = request.body(body.into()).expect("a request");
        let exchange = async {
            let response = self.0.send_request(request).await.expect("a response");
            let status = response.status();
            let content_type = response.headers()["content-type"]
                .to_str()
                .expect("text")
                .to_owned();
            let body = to_bytes(Body::new(response.into_body()), usize::MAX).await;
            let body = String::from_utf8(body.expect("a body").to_vec()).expect("text");
            Answer {
                status,
                content_type,
                body,
            }
        };
        timeout(LIMIT, exchange).await.expect("an answer in time")
    }

    /// Sends a review, and holds the answer against the contract that every answer obeys; what is
    /// left is the `response`, with its patch decoded.
    pub(super) async fn ask(&mut self, path: &str, review: &Value) -> Value {
        let answer = self.send(Method::POST, path, review.to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        assert_eq!(answer.content_type, "application/json");
        let answer: Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
        assert_eq!(answer["kind"], "AdmissionReview");
        let mut response = answer["response"].clone();
        assert_eq!(response["uid"], review["request"]["uid"]);
        let allowed = response["allowed"].as_bool().expect("a decision");
        match (path, allowed) {
            ("/mutate", allowed) => assert!(allowed, "/mutate never denies: {response}"),
            (_, true) => assert_eq!(response["status"], Value::Null),
            (_, false) => assert_eq!(response["status"]["code"], 403),
        }
        if let Some(patch) = response["patch"].as_str() {
            assert_eq!(path, "/mutate", "/validate never patches");
            assert_eq!(response["patchType"], "JSONPatch");
            let patch = base64::engine::general_purpose::STANDARD.decode(patch);
            let patch: Value = serde_json::from_slice(&patch.expect("base64")).expect("JSON");
            for operation in patch.as_array().expect("a list") {
                let made = operation["op"].as_str().expect("an operation");
                assert!(["add", "replace"].contains(&made), "{patch}");
                assert!(!operation["value"].is_null(), "{patch}");
            }
            response["patch"] = patch;
        }
        let warnings = response["warnings"].as_array();
        let mut characters = 0;
        for warning in warnings.into_iter().flatten() {
            let warning = warning.as_str().expect("text");
            assert!(warning.chars().count() <= 256, "{warning}");
            assert!(!warning.contains(char::is_control), "{warning:?}");
            characters += warning.chars().count();
        }
        assert!(characters <= 4096, "{warnings:?}");
        response
    }
}
