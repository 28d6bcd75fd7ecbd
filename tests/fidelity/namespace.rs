//! The network namespace that the lab runs in, with the redirect of a sidecar.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use rustix::process::{Pid, Signal, geteuid, kill_process};

use crate::harness::await_some;
use crate::succeeds;

/// The group whose connections are not redirected: the sidecar's, as Istio's own rules have it.
pub(crate) const SIDECAR_GROUP: &str = "1337";

const PREFIX: &str = "tunnelguard-lab-";

/// What is set up inside. Whatever address of these ranges is dialled is this machine's, so that every
/// proxy is reached at the address it has, and nothing leaves.
const SETUP: &[&str] = &[
    "ip link set lo up",
    "ip addr add 10.10.0.1/32 dev lo",
    "ip route add local 10.0.0.0/8 dev lo src 10.10.0.1",
    "ip route add default dev lo",
    "iptables -t nat -A OUTPUT -d 127.0.0.0/8 -j RETURN",
    "iptables -t nat -A OUTPUT -p tcp -m owner ! --gid-owner 1337 -j REDIRECT --to-ports 15001",
    "ip addr add fd00:10::1/128 dev lo nodad",
    "ip -6 route add local fd00::/16 dev lo src fd00:10::1",
    "ip -6 route add default dev lo",
    "ip6tables -t nat -A OUTPUT -d ::1/128 -j RETURN",
    "ip6tables -t nat -A OUTPUT -p tcp -m owner ! --gid-owner 1337 -j REDIRECT --to-ports 15001",
];

/// Why no namespace can be made here, if none can.
pub(crate) fn obstacle() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("it needs Linux's network namespaces".to_owned());
    }
    if !geteuid().is_root() {
        return Some("it needs root, for a network namespace and iptables".to_owned());
    }
    let tools = [
        "ip -V",
        "iptables --version",
        "ip6tables --version",
        "setpriv --version",
        "curl --version",
    ];
    let missing = tools.into_iter().find(|tool| !succeeds(&mut words(tool)));
    missing.map(|tool| format!("`{tool}` fails; install iproute2, iptables, util-linux and curl"))
}

/// A namespace, which goes with this value, and with it every process inside.
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes one, which has a number among those of this process.
    ///
    /// # Panics
    /// If the kernel does not let us.
    pub(crate) fn new(number: usize) -> Self {
        remove_orphans();
        let namespace = Self {
            name: format!("{PREFIX}{}-{number}", process::id()),
        };
        expect(&mut words(&format!("ip netns add {}", namespace.name)));
        // `ip netns exec` puts it in the place of /etc/resolv.conf, which Envoy reads.
        fs::create_dir_all(namespace.directory()).expect("/etc/netns");
        let resolver = namespace.directory().join("resolv.conf");
        fs::write(resolver, "nameserver 127.0.0.1\n").expect("/etc/netns");
        for step in SETUP {
            expect(&mut words(&format!(
                "ip netns exec {} {step}",
                namespace.name
            )));
        }
        namespace
    }

    /// A program inside, which does not outlive the thread that starts it.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let name = &self.name;
        let mut command = words(&format!("ip netns exec {name} setpriv --pdeathsig KILL"));
        command.arg(program);
        command
    }

    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn directory(&self) -> PathBuf {
        Path::new("/etc/netns").join(&self.name)
    }

    /// Whoever runs inside: all of them are ours.
    fn processes(&self) -> Vec<Pid> {
        let output = words(&format!("ip netns pids {}", self.name)).output();
        let text = String::from_utf8(output.expect("`ip netns pids`").stdout).expect("UTF-8");
        let pids = text.lines().filter_map(|line| line.trim().parse().ok());
        pids.filter_map(Pid::from_raw).collect()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        await_some("everything inside has ended", || {
            let processes = self.processes();
            for pid in &processes {
                // One that has ended meanwhile is no loss.
                let _ = kill_process(*pid, Signal::KILL);
            }
            processes.is_empty().then_some(())
        });
        expect(&mut words(&format!("ip netns del {}", self.name)));
        drop(fs::remove_dir_all(self.directory()));
        // Others may have theirs there; then it stays.
        drop(fs::remove_dir("/etc/netns"));
    }
}

/// Takes away what runs left that were killed: the first number in the name is that of the process.
fn remove_orphans() {
    let output = words("ip netns list").output().expect("`ip netns list`");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    for name in text.lines().filter_map(|line| line.split(' ').next()) {
        let owner = name
            .strip_prefix(PREFIX)
            .and_then(|numbers| numbers.split('-').next())
            .map(|id| Path::new("/proc").join(id));
        if owner.is_some_and(|owner| !owner.exists()) {
            let name = name.to_owned();
            drop(Namespace { name });
        }
    }
}

/// A command of plain words.
fn words(line: &str) -> Command {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words);
    command
}

fn expect(command: &mut Command) {
    let output = command.output().expect("a command that is there");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}
