//! A server that the lab starts.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{self, Command, ExitStatus};
use std::sync::Mutex;

use super::http::get;
use crate::harness::await_some;
use crate::namespace::SIDECAR_GROUP;

/// A server in the sidecar's group, so that its own connections are not redirected. It ends with this
/// value.
pub(crate) struct Child {
    name: &'static str,
    process: Mutex<process::Child>,
    log: PathBuf,
}

impl Child {
    /// Starts it. What it prints goes into a file.
    pub(crate) fn start(name: &'static str, command: &Command, log: PathBuf) -> Self {
        let mut wrapped = Command::new("setpriv");
        let group = ["--regid", SIDECAR_GROUP, "--clear-groups"];
        wrapped.args(group).args(["--pdeathsig", "KILL"]);
        wrapped.arg(command.get_program()).args(command.get_args());
        // Whoever starts the lab may have a cluster of their own.
        wrapped.env_remove("KUBECONFIG");
        for (variable, value) in command.get_envs() {
            wrapped.env(variable, value.expect("none is taken away"));
        }
        if let Some(directory) = command.get_current_dir() {
            wrapped.current_dir(directory);
        }
        let file = File::create(&log).expect("a log");
        wrapped.stdout(file.try_clone().expect("a log"));
        let process = wrapped.stderr(file).spawn().expect("setpriv");
        Self {
            name,
            process: Mutex::new(process),
            log,
        }
    }

    /// Waits until it answers 200 there.
    ///
    /// # Panics
    /// If it ends instead.
    pub(crate) fn await_ready(&self, address: SocketAddr, path: &str) {
        await_some(self.name, || {
            self.assert_alive();
            get(address, path)
        });
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        let ended = self.process.lock().expect("a child").try_wait();
        ended.expect("a child")
    }

    /// # Panics
    /// If it has ended.
    pub(crate) fn assert_alive(&self) {
        let Some(status) = self.ended() else {
            return;
        };
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let last = log.lines().rev().take(20).collect::<Vec<_>>();
        let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
        panic!("{} ended ({status}):\n{last}", self.name);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let process = self.process.get_mut().expect("a child");
        // Fails only where it has ended already.
        drop(process.kill());
        drop(process.wait());
    }
}
