//! The binary as a person runs it, except that nothing leaks in from this machine and that it
//! cannot hang.

use std::fmt;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take before it counts as hung: far more than the slowest machine needs.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// The binary, with an empty environment.
pub(crate) fn tunnelguard() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tunnelguard"));
    command.env_clear();
    command
}

/// A temporary directory with some files in it.
pub(crate) struct Files(TempDir);

impl Files {
    /// Writes files, below directories if their names say so.
    pub(crate) fn new<T: AsRef<[u8]>>(files: &[(&str, T)]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for (name, text) in files {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a file is in a directory")).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Self(directory)
    }

    /// Where they are.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// A run that ended.
#[derive(Debug)]
pub(crate) struct Finished {
    /// The exit status; none after a signal.
    pub(crate) status: Option<i32>,
    /// What it wrote for programs.
    pub(crate) stdout: String,
    /// What it wrote for people beside that.
    pub(crate) stderr: String,
}

impl Finished {
    /// Its stdout, which is one JSON value and nothing else.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{self}"))
    }

    /// Its stdout's JSON array.
    pub(crate) fn rows(&self) -> Vec<Value> {
        match self.json() {
            Value::Array(rows) => rows,
            other => panic!("no array: {other}"),
        }
    }

    /// A line a finding: `file:line check`.
    pub(crate) fn places(&self) -> Vec<String> {
        let rows = self.rows();
        let places = rows.iter().map(|row| match row["file"].as_str() {
            Some(file) => format!("{file}:{} {}", row["line"], row["check"].as_str().unwrap()),
            None => row["check"].as_str().unwrap().to_owned(),
        });
        places.collect()
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            status,
            stdout,
            stderr,
        } = self;
        write!(
            f,
            "status {status:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}"
        )
    }
}

/// Runs the binary in a directory, with the words of `line` as its arguments, to its end.
pub(crate) fn run(directory: &Path, line: &str, stdin: &[u8]) -> Finished {
    let mut command = tunnelguard();
    command.args(line.split_whitespace()).current_dir(directory);
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    let mut input = child.stdin.take().expect("a pipe");
    let stdin = stdin.to_vec();
    // It may end without having read everything, or anything.
    thread::spawn(move || drop(input.write_all(&stdin)));
    let stdout = read(child.stdout.take().expect("a pipe"));
    let stderr = read(child.stderr.take().expect("a pipe"));
    let texts = stdout
        .recv_timeout(LIMIT)
        .and_then(|out| Ok((out, stderr.recv_timeout(LIMIT)?)));
    let Ok((stdout, stderr)) = texts else {
        child.kill().expect("it still runs");
        child.wait().expect("its status");
        panic!("tunnelguard {line} hangs");
    };
    let status = child.wait().expect("its status").code();
    Finished {
        status,
        stdout,
        stderr,
    }
}

/// Everything a pipe brings, once it is closed.
fn read(mut pipe: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).expect("a readable pipe");
        let text = String::from_utf8(bytes).expect("UTF-8");
        // Nobody waits any longer after a timeout.
        drop(sender.send(text));
    });
    receiver
}
