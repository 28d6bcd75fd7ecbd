//! Writes that are judged and not made.

use axum::http::Request;
use kube::Client;
use kube::client::Body;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use super::{Answer, ControlPlane};

/// Somebody who writes ServiceEntries.
pub(crate) struct Writer {
    client: Client,
    runtime: Runtime,
}

impl Writer {
    /// Signs in.
    pub(crate) fn new(plane: &ControlPlane, user: &str) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let client = runtime.block_on(plane.client(user));
        Self { client, runtime }
    }

    /// Asks what would become of a ServiceEntry that is created.
    pub(crate) fn creates(&self, entry: &Value) -> Answer {
        self.sends("POST", &entries_of(entry), entry)
    }

    /// Asks what would become of one that replaces the stored one of its name.
    pub(crate) fn replaces(&self, entry: &Value) -> Answer {
        let name = entry["metadata"]["name"].as_str().expect("a name");
        let path = format!("{}/{name}", entries_of(entry));
        let stored = Request::get(&path).body(Vec::new()).expect("a request");
        let stored = self.client.request(stored);
        let stored: Value = self.runtime.block_on(stored).expect("the stored one");
        let mut entry = entry.clone();
        // An update says what it has seen.
        entry["metadata"] = stored["metadata"].clone();
        self.sends("PUT", &path, &entry)
    }

    fn sends(&self, method: &str, path: &str, entry: &Value) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(format!("{path}?dryRun=All"))
            .header("content-type", "application/json")
            .body(Body::from(entry.to_string().into_bytes()))
            .expect("a request");
        let answer = Answer::to(&self.client, request);
        self.runtime.block_on(answer).expect("an answer")
    }
}

/// Where the ServiceEntries of its namespace are.
fn entries_of(entry: &Value) -> String {
    let namespace = entry["metadata"]["namespace"].as_str();
    let namespace = namespace.expect("a namespace");
    format!("/apis/networking.istio.io/v1/namespaces/{namespace}/serviceentries")
}
