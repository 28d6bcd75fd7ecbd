//! Labs side by side, each in a process and a network namespace of its own: a lab waits for istiod and
//! Envoy, or for the clock's next second, three quarters of its time.
//!
//! The process outside asks over a socket, a line of JSON each way, and the one inside answers.

use std::collections::HashMap;
use std::env;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Child, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use libtest_mimic::Failed;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::comparison::record::{Record, taken};
use crate::lab::{Lab, Pin, Site, Versions, pins};
use crate::namespace::Namespace;
use crate::random::Random;
use crate::tests::tests;

/// The socket's path, for the process that runs inside.
const SOCKET: &str = "TUNNELGUARD_LAB_SOCKET";

/// One for each processor. More than these would be too much for a machine's memory: each has an API
/// server, an istiod and an Envoy, about 0.6 GiB.
const MOST: usize = 4;

/// Whether everything is being put away, so that a lane that has gone is no failure.
static ENDING: AtomicBool = AtomicBool::new(false);

/// What a lane is asked.
#[derive(Serialize, Deserialize)]
enum Request {
    /// To start that one of [`pins`], in the place of the one before. The answer is its [`Versions`].
    Start(usize),
    /// To run the test of that name. The answer is an [`Outcome`].
    Run(String),
}

/// What came of a test.
#[derive(Serialize, Deserialize)]
struct Outcome {
    failed: Option<String>,
    records: Vec<Record>,
    /// Whether istiod has ended meanwhile.
    istiod_ended: bool,
}

/// All of them. A test takes one that is idle.
pub(crate) struct Lanes {
    idle: Mutex<Vec<Lane>>,
}

/// The namespaces of all lanes, with their processes, which go with this value.
pub(crate) struct Namespaces(Vec<(Namespace, Child)>);

struct Lane {
    stream: BufReader<UnixStream>,
    /// Which istiod runs.
    started: Option<(usize, Versions)>,
}

impl Lanes {
    /// Starts a process for each, which does nothing yet. The sockets, and all that the processes leave, are
    /// in `directory`.
    pub(crate) fn new(directory: &Path, random: Random) -> (Self, Namespaces) {
        let started = (0..count()).map(|number| Lane::start(number, directory, random));
        let (idle, namespaces) = started.unzip();
        let idle = Mutex::new(idle);
        (Self { idle }, Namespaces(namespaces))
    }

    /// What runs as that istiod, once it does.
    pub(crate) fn versions(&self, pin: usize) -> Versions {
        self.with_one(|lane| lane.versions(pin))
    }

    /// Runs a test in whichever is idle; once more if istiod ended meanwhile, since those after it need one.
    pub(crate) fn run(&self, pin: usize, test: String) -> Result<(), Failed> {
        let outcome = self.with_one(|lane| {
            let outcome = lane.run(pin, &test);
            if !outcome.istiod_ended {
                return outcome;
            }
            let why = outcome.failed.unwrap_or_default();
            println!("{test}: once more with another istiod, since {why}");
            lane.run(pin, &test)
        });
        outcome.records.into_iter().for_each(Record::keep);
        outcome.failed.map_or(Ok(()), |failed| Err(failed.into()))
    }

    fn with_one<T>(&self, run: impl FnOnce(&mut Lane) -> T) -> T {
        let idle = self.idle.lock().expect("lanes").pop();
        let mut lane = idle.expect("as many lanes as tests at a time, less those that have gone");
        let result = run(&mut lane);
        self.idle.lock().expect("lanes").push(lane);
        result
    }
}

impl Lane {
    fn start(number: usize, directory: &Path, random: Random) -> (Self, (Namespace, Child)) {
        let namespace = Namespace::new(number);
        let socket = directory.join(format!("lane-{number}"));
        let listener = UnixListener::bind(&socket).expect("a socket");
        let own = directory.join(number.to_string());
        std::fs::create_dir(&own).expect("a directory");
        let mut command = namespace.command(&env::current_exe().expect("this program"));
        command.env(SOCKET, socket).env("TMPDIR", own);
        command.envs(random.variables());
        // Ctrl-C is for the process outside alone, which then ends what is inside.
        command.process_group(0);
        let child = command.spawn().expect("`ip netns exec`");
        let (stream, _) = listener.accept().expect("the process inside");
        let lane = Self {
            stream: BufReader::new(stream),
            started: None,
        };
        (lane, (namespace, child))
    }

    fn versions(&mut self, pin: usize) -> Versions {
        match &self.started {
            Some((known, versions)) if *known == pin => versions.clone(),
            _ => {
                let versions: Versions = self.ask(&Request::Start(pin));
                self.started = Some((pin, versions.clone()));
                versions
            }
        }
    }

    fn run(&mut self, pin: usize, test: &str) -> Outcome {
        self.versions(pin);
        let outcome: Outcome = self.ask(&Request::Run(test.to_owned()));
        if outcome.istiod_ended {
            self.started = None;
        }
        outcome
    }

    fn ask<T: DeserializeOwned>(&mut self, request: &Request) -> T {
        let asked = send(self.stream.get_mut(), request);
        let mut line = String::new();
        let answered = asked.is_ok() && self.stream.read_line(&mut line).is_ok_and(|read| read > 0);
        while !answered && ENDING.load(Ordering::SeqCst) {
            thread::park();
        }
        assert!(answered, "this test's lab has ended; above is why");
        serde_json::from_str(&line).expect("an answer")
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        ENDING.store(true, Ordering::SeqCst);
        for (namespace, mut child) in self.0.drain(..) {
            drop(namespace);
            child.wait().expect("its end");
        }
    }
}

/// How many there are on this machine.
pub(crate) fn count() -> usize {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    processors.min(MOST)
}

/// Whether this process is one inside.
pub(crate) fn is_inside() -> bool {
    env::var_os(SOCKET).is_some()
}

/// Answers what is asked, until nobody asks any more.
pub(crate) fn serve() -> ExitCode {
    let socket = env::var_os(SOCKET).expect("whoever asks");
    let stream = UnixStream::connect(socket).expect("whoever asks");
    let mut answers = stream.try_clone().expect("a socket");
    let mut site = None;
    let mut lab: Option<Lab> = None;
    let mut known = HashMap::new();
    for line in BufReader::new(stream).lines() {
        let request = serde_json::from_str(&line.expect("a request")).expect("a request");
        let sent = match (request, &lab) {
            (Request::Start(number), _) => {
                let pin: Pin = pins().remove(number);
                // Both would listen on the same ports.
                drop(lab.take());
                let site = site.get_or_insert_with(|| Arc::new(Site::start(&control_plane())));
                // The next istiod is not to begin with what ended the last one.
                site.clear();
                known = tests(&pin, Random::from_environment())
                    .into_iter()
                    .collect();
                let started = lab.insert(Lab::start(site, &pin));
                send(&mut answers, &started.versions)
            }
            (Request::Run(name), Some(lab)) => {
                let test = known.remove(&name).expect("a test that did not run yet");
                let result = catch_unwind(AssertUnwindSafe(|| test(lab))).unwrap_or_else(said);
                let failed = result.err();
                let failed = failed.map(|failed| failed.message().unwrap_or_default().to_owned());
                let outcome = Outcome {
                    failed,
                    records: taken(),
                    istiod_ended: lab.has_ended(),
                };
                send(&mut answers, &outcome)
            }
            (Request::Run(_), None) => panic!("no istiod is started"),
        };
        sent.expect("whoever asked");
    }
    ExitCode::SUCCESS
}

/// The program that is the API server.
pub(crate) fn control_plane() -> OsString {
    env::var_os("CONTROL_PLANE").expect("checked outside")
}

fn send(stream: &mut UnixStream, what: &impl Serialize) -> std::io::Result<()> {
    let mut line = serde_json::to_string(what).expect("plain values");
    line.push('\n');
    stream.write_all(line.as_bytes())
}

/// What a panic said.
fn said(panic: Box<dyn std::any::Any + Send>) -> Result<(), Failed> {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
    let text = text.unwrap_or_else(|| "a panic without a word".to_owned());
    Err(text.into())
}
