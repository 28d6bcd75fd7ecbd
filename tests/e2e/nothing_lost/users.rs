//! Users who write ServiceEntries without pause, and what comes of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::http::Request;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::harness::{ControlPlane, await_some, one_thread};

/// What came of a request that was to be reviewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// Stored as /mutate repaired it.
    Repaired,
    /// Denied by /validate, and rightly: there was no repair.
    Denied,
    /// Denied by /validate, since /mutate, which would have repaired it, was not heard.
    Unrepaired,
    /// Stored as it was written, though it breaks a proxy.
    Unjudged,
    /// Anything else: the user sees an error that is not about the entry.
    Failed,
}

/// What came of many requests.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    outcomes: BTreeMap<Outcome, usize>,
    /// How long each took.
    pub(super) times: Vec<Duration>,
    /// What was said where it is not as it should be.
    pub(super) said: Vec<String>,
}

impl Tally {
    pub(super) fn of(&self, outcome: Outcome) -> usize {
        self.outcomes.get(&outcome).copied().unwrap_or_default()
    }

    /// What came after an earlier state of the same tally.
    pub(super) fn since(mut self, earlier: &Self) -> Self {
        for (outcome, count) in &mut self.outcomes {
            *count -= earlier.of(*outcome);
        }
        self.times.drain(..earlier.times.len());
        self.said.drain(..earlier.said.len());
        self
    }

    /// # Panics
    /// If there was anything but repairs and due denials.
    pub(super) fn assert_nothing_lost(&self) {
        let fine = self.of(Outcome::Repaired) + self.of(Outcome::Denied);
        assert_eq!(fine, self.times.len(), "{self}: {:#?}", self.said);
        assert!(
            self.of(Outcome::Repaired) > 0 && self.of(Outcome::Denied) > 0,
            "{self}"
        );
    }

    fn count(&mut self, outcome: Outcome, took: Duration, said: String) {
        *self.outcomes.entry(outcome).or_default() += 1;
        self.times.push(took);
        if !said.is_empty() {
            self.said.push(said);
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |outcome| self.of(outcome);
        write!(
            f,
            "{} requests: {} repaired, {} denied, {} unrepaired, {} unjudged, {} failed",
            self.times.len(),
            count(Outcome::Repaired),
            count(Outcome::Denied),
            count(Outcome::Unrepaired),
            count(Outcome::Unjudged),
            count(Outcome::Failed),
        )
    }
}

/// Users at work, each with an entry of their own.
pub(super) struct Users {
    runtime: Runtime,
    tally: Arc<Mutex<Tally>>,
    over: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Users {
    pub(super) fn begin(plane: &ControlPlane, namespace: &str, count: usize) -> Self {
        let mut users = Self {
            runtime: one_thread(),
            tally: Arc::default(),
            over: Arc::default(),
            tasks: Vec::new(),
        };
        // Fair queueing would hold others up behind one another; the administrator is exempt.
        let client = users.runtime.block_on(plane.client("admin"));
        for number in 0..count {
            let user = User {
                client: client.clone(),
                namespace: namespace.to_owned(),
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
        let outcome = outcome(&entry, status, &answer);
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
        let exchange = async {
            let answer = self.client.send(request).await?;
            let status = answer.status().as_u16();
            Ok((status, answer.into_body().collect_bytes().await?))
        };
        match exchange.await {
            Ok((status, body)) => (status, serde_json::from_slice(&body).expect("JSON")),
            Err(error) => {
                let error: kube::Error = error;
                (0, json!({"message": error.to_string()}))
            }
        }
    }
}

/// What an answer says of the judging of an entry, which is always one that breaks a proxy.
fn outcome(entry: &Value, status: u16, answer: &Value) -> Outcome {
    let repairable = !entry["spec"]["addresses"].is_null();
    let message = answer["message"].as_str().unwrap_or_default();
    let repaired = answer["spec"]["ports"][0]["protocol"] == "TCP"
        && answer["metadata"]["annotations"]["tunnelguard.dev/repaired"].is_string();
    match status {
        200 | 201 if repaired => Outcome::Repaired,
        200 | 201 => Outcome::Unjudged,
        403 if !message.contains("\"validate.tunnelguard.dev\" denied the request") => {
            Outcome::Failed
        }
        403 if repairable => Outcome::Unrepaired,
        403 => Outcome::Denied,
        _ => Outcome::Failed,
    }
}
