//! A `tunnelguard serve` that runs as a child.

use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};

use super::{Certificate, Container, await_some, free_address, get};

/// A replica, which is killed when this value is dropped, if it has not ended before.
pub(crate) struct Guard {
    child: Child,
    listen: SocketAddr,
    health: SocketAddr,
}

impl Guard {
    /// Starts a replica that listens on an address of the test's choice, with a certificate from files and more
    /// flags, or others, than the chart has; and waits until it is ready.
    pub(crate) fn start(listen: SocketAddr, certificate: &Certificate, flags: &[&str]) -> Self {
        let container = Container::shipped().with_files(certificate);
        let mut guard = Self::start_container(&container, listen, flags, Stdio::null());
        guard.await_ready();
        guard
    }

    /// Starts one that looks after its certificate itself, as the chart has it. It is not ready yet.
    pub(crate) fn start_self_managed(listen: SocketAddr, flags: &[&str]) -> Self {
        Self::start_container(&Container::shipped(), listen, flags, Stdio::null())
    }

    /// Starts one in a container of the chart. It is not ready yet.
    pub(crate) fn start_container(
        container: &Container,
        listen: SocketAddr,
        flags: &[&str],
        log: Stdio,
    ) -> Self {
        let health = free_address(listen.ip());
        let mut command = container.command(listen, health, flags);
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

    /// How many reviews it has answered for `mutate` or `validate`.
    pub(crate) fn reviews(&self, webhook: &str) -> f64 {
        self.metric(&format!("tunnelguard_reviews_total{{webhook=\"{webhook}\""))
    }

    /// Whether both webhooks have been asked.
    pub(crate) fn has_been_asked(&self) -> bool {
        self.reviews("mutate") > 0.0 && self.reviews("validate") > 0.0
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
