//! An API server of ConfigMaps that answers as a script says, and writes down who asked what, and when.
//!
//! A script has a line for each request, in the form in which it is written down again:
//! `SECONDS s REQUEST -> ANSWER`. Only the answer is read, which is one of
//!
//! - `HTTP 500`: that status; `HTTP 500 until 600`: to all that ask before that second;
//! - of a list, `a1 b?`: an object a that says 1, and b in a form that no ConfigMap has; `more` after them:
//!   the list has another page; `garbage`: no JSON; `cut`: the connection ends before the list does;
//! - of a watch, `+a2 -b 410 garbage`: a says 2, b is gone, an error event of that code, a line that is no
//!   JSON; `60s`: silence; then `end`, `cut`, or a connection that stays open.
//!
//! Who asks beyond the script waits forever.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use futures_util::{StreamExt as _, stream};
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::paced;

/// The server, and what happened so far.
#[derive(Clone)]
pub(super) struct ScriptedApi {
    scene: Arc<Mutex<Scene>>,
    over: Arc<Notify>,
    begin: Instant,
}

#[derive(Default)]
struct Scene {
    answers: VecDeque<String>,
    /// How often the first of them was given.
    given: usize,
    /// The resource version of what came last.
    version: u32,
    written: String,
    /// What was told last.
    told: String,
}

/// What a watch says next.
enum Step {
    Line(String),
    Silence(Duration),
    Cut,
}

impl ScriptedApi {
    pub(super) fn new(script: &str) -> Self {
        let answers = script.lines().filter_map(|line| line.split_once(" -> "));
        let scene = Scene {
            answers: answers.map(|(_, answer)| answer.to_owned()).collect(),
            version: 1,
            ..Scene::default()
        };
        Self {
            scene: Arc::new(Mutex::new(scene)),
            over: Arc::default(),
            begin: Instant::now(),
        }
    }

    pub(super) fn client(&self) -> Client {
        let api = self.clone();
        let answer = move |uri: Uri| {
            let api = api.clone();
            async move {
                match api.answer(&uri) {
                    Some(response) => response,
                    None => {
                        api.over.notify_one();
                        pending().await
                    }
                }
            }
        };
        paced(Client::new(Router::new().fallback(answer), "default"))
    }

    /// Writes what was told, unless that was told last.
    pub(super) fn tell(&self, news: String) {
        if self.scene().told != news {
            self.write(&news);
            self.scene().told = news;
        }
    }

    /// Writes a line among the requests.
    pub(super) fn write(&self, line: &str) {
        self.scene().written += &format!("  {}\n", line.trim());
    }

    /// What was written, once the script has come to its end, or an hour of paused time has passed.
    pub(super) async fn played(&self) -> String {
        // Where it goes otherwise than the script, its end may never come.
        let _ = timeout(Duration::from_secs(3600), self.over.notified()).await;
        self.scene().written.clone()
    }

    fn scene(&self) -> MutexGuard<'_, Scene> {
        self.scene.lock().expect("nobody panicked")
    }

    fn answer(&self, uri: &Uri) -> Option<Response> {
        let second = self.begin.elapsed().as_secs();
        let mut scene = self.scene();
        let answer = scene.next_answer(second)?;
        let asked = asked(uri);
        if scene.given == 1 {
            scene.written += &format!("{second} s {asked} -> {answer}\n");
        }
        let words: Vec<&str> = answer.split_whitespace().collect();
        Some(match words[..] {
            ["HTTP", code, ..] => status(code.parse().expect("a status")),
            ["garbage"] if asked.starts_with("list") => "<html>".into_response(),
            ["cut"] if asked.starts_with("list") => said(vec![Step::Cut], true),
            _ if asked.starts_with("list") => scene.list(&words),
            _ => scene.watch(&words),
        })
    }
}

impl Scene {
    fn next_answer(&mut self, second: u64) -> Option<String> {
        let first = self.answers.front()?;
        let until = first.split_once(" until ").map(|(_, until)| until);
        let until: u64 = until.map_or(0, |until| until.parse().expect("a second"));
        if self.given > 0 && second >= until {
            if self.given > 1 {
                self.written += &format!("  asked {} times\n", self.given);
            }
            self.answers.pop_front();
            self.given = 0;
        }
        self.given += 1;
        self.answers.front().cloned()
    }

    fn list(&self, words: &[&str]) -> Response {
        let (words, more) = match words {
            [words @ .., "more"] => (words, "the-rest"),
            words => (words, ""),
        };
        let items = words.iter().map(|word| self.object(word));
        let version = self.version.to_string();
        let list = json!({
            "apiVersion": "v1", "kind": "ConfigMapList",
            "metadata": {"resourceVersion": version, "continue": more},
            "items": items.collect::<Vec<Value>>(),
        });
        list.to_string().into_response()
    }

    fn watch(&mut self, words: &[&str]) -> Response {
        let ends = words
            .last()
            .is_some_and(|word| ["end", "cut"].contains(word));
        let words = words.iter().filter(|word| **word != "end");
        said(words.map(|word| self.step(word)).collect(), ends)
    }

    fn step(&mut self, word: &str) -> Step {
        if word == "cut" {
            return Step::Cut;
        }
        if let Some(seconds) = word.strip_suffix('s') {
            return Step::Silence(Duration::from_secs(seconds.parse().expect("seconds")));
        }
        if word == "garbage" {
            return Step::Line("<html>\n".to_owned());
        }
        let (kind, object) = match (word.strip_prefix('+'), word.strip_prefix('-')) {
            (Some(object), _) => ("MODIFIED", self.next_object(object)),
            (_, Some(name)) => ("DELETED", self.next_object(&format!("{name}0"))),
            _ => ("ERROR", failure(word.parse().expect("a code"))),
        };
        Step::Line(format!("{}\n", json!({"type": kind, "object": object})))
    }

    fn next_object(&mut self, word: &str) -> Value {
        self.version += 1;
        self.object(word)
    }

    fn object(&self, word: &str) -> Value {
        let (name, says) = word.split_at(1);
        let data = match says {
            "?" => json!("no map"),
            _ => json!({"says": says}),
        };
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": "n", "resourceVersion": self.version.to_string()},
            "data": data,
        })
    }
}

/// What a request is about: `list`, `list on` for a further page, or `watch from VERSION`.
fn asked(uri: &Uri) -> String {
    let query = uri.query().unwrap_or_default();
    let pairs: Vec<(&str, &str)> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .collect();
    let value = |key| pairs.iter().find(|pair| pair.0 == key).map(|pair| pair.1);
    match (value("watch"), value("continue")) {
        (Some(_), _) => format!("watch from {}", value("resourceVersion").unwrap_or("?")),
        (None, Some(_)) => "list on".to_owned(),
        (None, None) => "list".to_owned(),
    }
}

fn said(steps: Vec<Step>, ends: bool) -> Response {
    let steps = stream::iter(steps).then(|step| async move {
        match step {
            Step::Line(line) => Ok(line),
            Step::Silence(time) => {
                sleep(time).await;
                Ok(String::new())
            }
            Step::Cut => Err(io::Error::other("the connection was cut")),
        }
    });
    let end = match ends {
        true => stream::empty().boxed(),
        false => stream::pending().boxed(),
    };
    Body::from_stream(steps.chain(end)).into_response()
}

fn status(code: u16) -> Response {
    let status = StatusCode::from_u16(code).expect("a status");
    (status, failure(code).to_string()).into_response()
}

fn failure(code: u16) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
        "message": "as the script says", "reason": "Scripted", "code": code,
    })
}
