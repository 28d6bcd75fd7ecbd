//! The decision core, measured as ratios.
//!
//! The yardstick is skipping over the same JSON once (`serde::de::IgnoredAny`): no reader of the
//! entry can be faster. The core reads the entry, evaluates every check and judges. What is compared is
//! measured in turns, see [`in_turns`].

#![allow(
    clippy::unwrap_used,
    reason = "a benchmark that cannot set up has nothing to measure"
)]

mod entry;
mod views;

use std::hint::black_box;
use std::time::{Duration, Instant};

use jiff::civil::date;
use kube::api::DynamicObject;
use serde::de::IgnoredAny;
use tunnelguard::discovery::mesh::{MeshKind, MeshObject};
use tunnelguard::mesh::{Environment, MeshView, ServiceEntry};
use tunnelguard::policy::proxy::{Evidence, Proxy, ProxyIndex, Users};
use tunnelguard::policy::verdict::judge;
use tunnelguard::policy::{Context, PolicySet, evaluate};

use entry::entry;
use views::VIEWS;

const FEW: usize = 10;
const MANY: usize = 100_000;

/// `count` proxies; the first is the one that the entries claim, and ports are shared by ten each.
fn policies(count: usize) -> PolicySet {
    let proxies = (0..count).map(|n| {
        let address = std::net::Ipv4Addr::from(u32::from_be_bytes([10, 20, 0, 0]) + n as u32);
        Proxy {
            name: format!("proxy-{n}").into(),
            policy: "".into(),
            evidence: Evidence::Declared,
            hosts: vec![format!("proxy-{n}.corp").into()],
            addresses: vec![std::net::IpAddr::from(address).into()],
            ports: vec![3128 + (n / 10) as u16],
            tls: false,
            tunnel: false,
            users: Users::default(),
        }
    });
    let mut set = PolicySet::built_in();
    set.proxies = ProxyIndex::new(proxies.collect());
    set
}

/// Reads, evaluates, judges: what one review costs beside reading its envelope.
fn decide(
    text: &str,
    policies: &PolicySet,
    mesh: &MeshView,
    environment: Environment<'_>,
) -> usize {
    let entry: ServiceEntry = serde_json::from_str(text).unwrap();
    let context = Context {
        policies,
        mesh,
        sees_mesh: !mesh.is_empty(),
        namespaces: None,
        environment: Environment {
            names: Some(policies.proxies.names()),
            ..environment
        },
    };
    let findings = evaluate(&entry, context);
    let verdict = judge(findings, &entry, None, &context, date(2026, 11, 21));
    verdict.denied.len() + verdict.warned.len()
}

/// An entry of its own host and address, as the API server sends it.
fn stored(n: u32) -> String {
    let address = std::net::Ipv4Addr::from(u32::from_be_bytes([10, 128, 0, 0]) + n);
    let text = entry(&format!("host-{n}.test"), &address.to_string(), 3128, "TCP");
    let name = format!("\"name\":\"entry-{n}\"");
    text.replacen("\"name\":\"corporate-proxy\"", &name, 1)
}

/// A view of entries, from what the API server sends of them.
fn build(texts: &[String]) -> MeshView {
    let mut view = MeshView::new();
    for text in texts {
        let object: DynamicObject = serde_json::from_str(text).unwrap();
        if let Ok(Some(MeshObject::ServiceEntry(entry))) = MeshKind::ServiceEntry.read(object) {
            view.upsert(entry);
        }
    }
    view
}

fn main() {
    let [ordinary, correct, broken] = [
        entry("api.partner.example", "203.0.113.7", 443, "HTTPS"),
        entry("proxy-0.corp", "10.20.0.0", 3128, "TCP"),
        entry("proxy-0.corp", "10.20.0.0", 3128, "HTTP"),
    ];
    let entries = [
        ("ordinary", ordinary),
        ("correct", correct),
        ("broken", broken),
    ];
    println!(
        "\nThe entry has {} bytes. Ratios of the quickest, [middle half of the turns].\n",
        entries[1].1.len()
    );
    let nothing = MeshView::new();
    let [few, many] = [FEW, MANY].map(policies);
    for (name, text) in &entries {
        let skip = || serde_json::from_str::<IgnoredAny>(black_box(text)).is_ok();
        let decide = || decide(black_box(text), &few, &nothing, Environment::default()) > 0;
        in_turns(&format!("{name} entry ÷ skipping it"), decide, skip);
    }
    for (name, text) in &entries {
        let decide = |policies| decide(black_box(text), policies, &nothing, Environment::default());
        let label = format!("{name} entry, {MANY} ÷ {FEW} proxies");
        in_turns(&label, || decide(&many), || decide(&few));
    }
    for (what, view, captures_dns) in VIEWS {
        let [less, more] = [FEW, MANY].map(view);
        let environment = Environment {
            captures_dns,
            ..Environment::default()
        };
        for (name, text) in &entries[1..] {
            let decide = |mesh| decide(black_box(text), &few, mesh, environment);
            let label = format!("{name} entry, {MANY} ÷ {FEW} {what}");
            in_turns(&label, || decide(&more), || decide(&less));
        }
    }
    let texts: Vec<String> = (0..MANY as u32).map(stored).collect();
    let times = (0..5).map(|_| {
        let begin = processor_time();
        drop(build(black_box(&texts)));
        processor_time() - begin
    });
    let quickest = times.min().unwrap_or_default().as_secs_f64();
    println!(
        "\nA view of {MANY} entries takes {quickest:.2} s of processor time, reading them included."
    );
}

/// How long each side runs before it is the other's turn, at least: much longer than a look at the clock, much
/// shorter than the machine is somebody else's.
const TURN: Duration = Duration::from_millis(1);
const TURNS: usize = 300;

/// How long two things are measured, whatever number of turns that is.
const LONGEST: Duration = Duration::from_secs(10);

/// Measures two things in turns, so that whoever else is at work on the machine slows both, and prints the ratio of
/// what the quickest turns took: those that nobody disturbed. The middle half of all pairs tells how steady it is.
fn in_turns<T>(label: &str, one: impl Fn() -> T, other: impl Fn() -> T) {
    let (times_one, times_other) = (times_a_turn(&one), times_a_turn(&other));
    let mut pairs: Vec<(f64, f64)> = Vec::with_capacity(TURNS);
    let begin = Instant::now();
    for turn in 0..TURNS {
        if begin.elapsed() > LONGEST {
            break;
        }
        // Whoever comes second finds other caches.
        let pair = if turn % 2 == 0 {
            let first = nanoseconds(&one, times_one);
            (first, nanoseconds(&other, times_other))
        } else {
            let first = nanoseconds(&other, times_other);
            (nanoseconds(&one, times_one), first)
        };
        pairs.push(pair);
    }
    let quickest = |side: fn(&(f64, f64)) -> f64| pairs.iter().map(side).fold(f64::MAX, f64::min);
    let (one, other) = (quickest(|pair| pair.0), quickest(|pair| pair.1));
    let mut ratios: Vec<f64> = pairs.iter().map(|pair| pair.0 / pair.1).collect();
    ratios.sort_by(f64::total_cmp);
    let (low, high) = (ratios[ratios.len() / 4], ratios[ratios.len() * 3 / 4]);
    println!(
        "{label:<62} {:>6.2} [{low:.2}-{high:.2}]   ({one:.0} ns ÷ {other:.0} ns)",
        one / other
    );
}

/// Of this thread, on Linux.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}

/// How often something is done in a turn.
fn times_a_turn<T>(act: &impl Fn() -> T) -> u32 {
    let mut times = 1;
    while nanoseconds(act, times) * f64::from(times) < TURN.as_nanos() as f64 {
        times *= 2;
    }
    times
}

/// How long something takes, done so often.
fn nanoseconds<T>(act: &impl Fn() -> T, times: u32) -> f64 {
    let begin = Instant::now();
    for _ in 0..times {
        black_box(act());
    }
    begin.elapsed().as_nanos() as f64 / f64::from(times)
}
