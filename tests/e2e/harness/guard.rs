//! A `tunnelguard serve` that runs as a child.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use super::{Certificate, await_some, free_address, get};

/// A replica, which is killed when this value is dropped, if it has not ended before.
pub(crate) struct Guard {
    child: Child,
    listen: SocketAddr,
    health: SocketAddr,
}

impl Guard {
    /// Starts a replica that listens on an address of the test's choice, and waits until it is ready.
    pub(crate) fn start(listen: SocketAddr, certificate: &Certificate, flags: &[&str]) -> Self {
        let mut guard = Self::spawn(listen, Some(certificate), flags, Stdio::null());
        guard.await_ready();
        guard
    }

    /// The same, with its log in a file.
    pub(crate) fn start_with_log(
        listen: SocketAddr,
        certificate: &Certificate,
        flags: &[&str],
        log: &Path,
    ) -> Self {
        let log = File::create(log).expect("a log");
        let mut guard = Self::spawn(listen, Some(certificate), flags, log.into());
        guard.await_ready();
        guard
    }

    /// Starts one that looks after its certificate itself. It is not ready yet.
    pub(crate) fn start_self_managed(listen: SocketAddr, flags: &[&str]) -> Self {
        let flags = [&["--self-managed"], flags].concat();
        Self::spawn(listen, None, &flags, Stdio::null())
    }

    fn spawn(
        listen: SocketAddr,
        certificate: Option<&Certificate>,
        flags: &[&str],
        log: Stdio,
    ) -> Self {
        let health = free_address(listen.ip());
        let mut command = Command::new(env!("CARGO_BIN_EXE_tunnelguard"));
        command.env_clear().arg("serve");
        command.args(["--listen", &listen.to_string()]);
        command.args(["--health-listen", &health.to_string()]);
        if let Some(certificate) = certificate {
            command.arg("--tls-cert").arg(certificate.file("tls.crt"));
            command.arg("--tls-key").arg(certificate.file("tls.key"));
        }
        command.args(flags);
        let command = command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(log).spawn().expect("the binary starts");
        Self {
            child,
            listen,
            health,
        }
    }

    /// Waits until it wants reviews.
    pub(crate) fn await_ready(&mut self) {
        await_some("a replica is ready", || {
            let ended = self.child.try_wait().expect("a child");
            assert!(ended.is_none(), "the replica ended: {ended:?}");
            self.ready().then_some(())
        });
    }

    /// Where it answers reviews.
    pub(crate) fn address(&self) -> SocketAddr {
        self.listen
    }

    /// Where it answers probes.
    pub(crate) fn health(&self) -> SocketAddr {
        self.health
    }

    /// Whether it wants reviews.
    pub(crate) fn ready(&self) -> bool {
        get(self.health, "/readyz").is_some()
    }

    /// Its series whose name begins with `prefix`, each with its value.
    ///
    /// # Panics
    /// If it does not answer.
    pub(crate) fn metrics(&self, prefix: &str) -> Vec<(String, f64)> {
        let text = get(self.health, "/metrics").expect("a replica that runs");
        series(&text, prefix)
    }

    /// The sum of its series whose name begins with `prefix`.
    pub(crate) fn metric(&self, prefix: &str) -> f64 {
        self.metrics(prefix).iter().map(|(_, value)| value).sum()
    }

    /// Whether both webhooks have been asked.
    pub(crate) fn has_been_asked(&self) -> bool {
        let asked = |webhook| {
            let reviews = format!("tunnelguard_reviews_total{{webhook=\"{webhook}\"");
            self.metric(&reviews) > 0.0
        };
        asked("mutate") && asked("validate")
    }

    /// Sends it a signal: `TERM`, `KILL`, `STOP` or `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("/bin/sh")
            .args(["-c", "kill -\"$0\" \"$1\"", name, &id])
            .status()
            .expect("a shell");
        assert!(sent.success(), "no signal could be sent");
    }

    /// Waits for its end, which a signal has asked for.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        await_some("a replica ends", || self.child.try_wait().expect("a child"))
    }
}

/// The series of a scrape whose name begins with `prefix`, each with its value.
pub(crate) fn series(scrape: &str, prefix: &str) -> Vec<(String, f64)> {
    let lines = scrape.lines().filter(|line| line.starts_with(prefix));
    let series = lines.filter_map(|line| {
        let (name, value) = line.rsplit_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    });
    series.collect()
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
