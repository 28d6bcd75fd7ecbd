//! Users who write ServiceEntries without pause, and what comes of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::http::Request;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::tally::{Outcome, Tally};
use crate::harness::{Answer, ControlPlane, await_some, one_thread};

/// Users at work, each with an entry of their own.
pub(super) struct Users {
    runtime: Runtime,
    tally: Arc<Mutex<Tally>>,
    over: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Users {
    /// So many in one namespace.
    pub(super) fn begin(plane: &ControlPlane, namespace: &str, count: usize) -> Self {
        Self::begin_in(plane, &vec![namespace.to_owned(); count])
    }

    /// So many, each in a namespace of their own: to replicas that see the mesh, entries of one host would be
    /// about each other.
    pub(super) fn begin_apart(plane: &ControlPlane, prefix: &str, count: usize) -> Self {
        let namespaces: Vec<String> = (0..count).map(|user| format!("{prefix}-{user}")).collect();
        for name in &namespaces {
            plane.apply(&format!(
                "{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}"
            ));
        }
        Self::begin_in(plane, &namespaces)
    }

    /// One for each of these namespaces.
    fn begin_in(plane: &ControlPlane, namespaces: &[String]) -> Self {
        let mut users = Self {
            runtime: one_thread(),
            tally: Arc::default(),
            over: Arc::default(),
            tasks: Vec::new(),
        };
        // Fair queueing would hold others up behind one another; the administrator is exempt.
        let client = users.runtime.block_on(plane.client("admin"));
        for (number, namespace) in namespaces.iter().enumerate() {
            let user = User {
                client: client.clone(),
                namespace: namespace.clone(),
                entry: format!("entry-{number}"),
                tally: Arc::clone(&users.tally),
            };
            let over = Arc::clone(&users.over);
            let task = async move {
                while !over.load(Ordering::Relaxed) {
                    user.write_one_entry().await;
                }
            };
            users.tasks.push(users.runtime.spawn(task));
        }
        users
    }

    /// What came of their requests until now.
    pub(super) fn tally(&self) -> Tally {
        self.tally.lock().expect("no panic").clone()
    }

    /// Waits for the outcomes of so many more requests, and gives them.
    pub(super) fn next(&self, count: usize) -> Tally {
        let earlier = self.tally();
        await_some("users get answers", || {
            let now = self.tally.lock().expect("no panic").times.len();
            (now >= earlier.times.len() + count).then_some(())
        });
        self.tally().since(&earlier)
    }

    /// Lets them finish what they are at; what is left is everything that came of it.
    pub(super) fn end(self) -> Tally {
        self.over.store(true, Ordering::Relaxed);
        for task in self.tasks {
            self.runtime.block_on(task).expect("no panic");
        }
        let tally = self.tally.lock().expect("no panic");
        tally.clone()
    }
}

struct User {
    client: Client,
    namespace: String,
    entry: String,
    tally: Arc<Mutex<Tally>>,
}

impl User {
    /// Creates an entry that can be repaired, writes it broken again, then so that it cannot be
    /// repaired, and takes it away.
    async fn write_one_entry(&self) {
        let entries = format!(
            "/apis/networking.istio.io/v1/namespaces/{}/serviceentries",
            self.namespace
        );
        let entry = format!("{entries}/{}", self.entry);
        let created = self
            .write("POST", &entries, self.repairable(&Value::Null))
            .await;
        if let Some(version) = created {
            let updated = self.write("PUT", &entry, self.repairable(&version)).await;
            let mut irreparable = self.repairable(&updated.unwrap_or(version));
            irreparable["spec"]["addresses"] = Value::Null;
            irreparable["spec"]["resolution"] = "DNS".into();
            self.write("PUT", &entry, irreparable).await;
            // Nobody is asked about this.
            let (status, said) = self.send("DELETE", &entry, Body::empty()).await;
            assert_eq!(status, 200, "{said}");
        }
    }

    fn repairable(&self, version: &Value) -> Value {
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
            "metadata": {"name": self.entry, "resourceVersion": version},
            "spec": {
                "hosts": ["my-company-proxy.com"], "addresses": ["10.20.0.5"], "resolution": "NONE",
                "exportTo": ["."],
                "ports": [{"name": "http-proxy", "number": 3128, "protocol": "HTTP"}],
            },
        })
    }

    /// Writes an entry and counts what came of it; if it is stored, its version is left.
    async fn write(&self, method: &str, path: &str, entry: Value) -> Option<Value> {
        let begin = Instant::now();
        let (status, answer) = self
            .send(method, path, entry.to_string().into_bytes().into())
            .await;
        let took = begin.elapsed();
        let outcome = Outcome::of(&entry, status, &answer);
        let said = match outcome {
            Outcome::Repaired | Outcome::Denied => String::new(),
            _ => format!("{outcome:?} after {took:?}: {status} {}", answer["message"]),
        };
        self.tally
            .lock()
            .expect("no panic")
            .count(outcome, took, said);
        matches!(status, 200 | 201).then(|| answer["metadata"]["resourceVersion"].clone())
    }

    /// The status and the body of the answer; 0 if there is none.
    async fn send(&self, method: &str, path: &str, body: Body) -> (u16, Value) {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("content-type", "application/json");
        let request = request.body(body).expect("a request");
        match Answer::to(&self.client, request).await {
            Ok(answer) => (answer.code, answer.body),
            Err(error) => (0, json!({"message": error.to_string()})),
        }
    }
}
