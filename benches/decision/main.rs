//! The decision core, measured as ratios.
//!
//! The yardstick is skipping over the same JSON once (`serde::de::IgnoredAny`): no reader of the
//! entry can be faster. The core reads the entry, evaluates every check and judges. What is compared is
//! measured in turns, see [`in_turns`]; reviews beside a thread that publishes are `publishing`, and what a
//! view takes to build is `building`.

#![allow(
    clippy::unwrap_used,
    reason = "a benchmark that cannot set up has nothing to measure"
)]

mod building;
#[path = "../entry/mod.rs"]
mod entry;
mod publishing;
mod turns;
mod views;

use std::hint::black_box;

use clap::Parser;
use jiff::civil::date;
use serde::de::IgnoredAny;
use tunnelguard::mesh::{Environment, MeshView, ServiceEntry};
use tunnelguard::policy::proxy::{Evidence, Proxy, ProxyIndex, Users};
use tunnelguard::policy::verdict::judge;
use tunnelguard::policy::{Context, PolicySet, evaluate};

use entry::entry;
use turns::in_turns;
use views::VIEWS;

const FEW: usize = 10;

/// Measures the decision core.
#[derive(Debug, Parser)]
struct Arguments {
    /// Parts of the names of the rows to measure; all without any.
    rows: Vec<String>,
    /// What is compared with 10 of it, and how much is in view.
    #[arg(long, value_name = "COUNT", default_value = "100000")]
    many: usize,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    fn wants(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|part| row.contains(part))
    }
}

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

/// An entry to review, and what it is called.
type Reviewed = (&'static str, String);

fn reviewed() -> [Reviewed; 3] {
    [
        (
            "ordinary",
            entry("api.partner.example", "203.0.113.7", 443, "HTTPS"),
        ),
        ("correct", entry("proxy-0.corp", "10.20.0.0", 3128, "TCP")),
        ("broken", entry("proxy-0.corp", "10.20.0.0", 3128, "HTTP")),
    ]
}

/// What one review costs beside reading its envelope.
fn decide(
    text: &str,
    policies: &PolicySet,
    mesh: &MeshView,
    environment: Environment<'_>,
) -> usize {
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
    decide_in(text, context)
}

/// Reads, evaluates, judges.
fn decide_in(text: &str, context: Context<'_>) -> usize {
    let entry: ServiceEntry = serde_json::from_str(text).unwrap();
    let findings = evaluate(&entry, context);
    let verdict = judge(findings, &entry, None, &context, date(2026, 11, 21));
    verdict.denied.len() + verdict.warned.len()
}

fn main() {
    let arguments = Arguments::parse();
    let entries = reviewed();
    println!(
        "\nThe entry has {} bytes. Ratios of the quickest, [middle half of the turns].\n",
        entries[1].1.len()
    );
    compare_with_skipping(&arguments, &entries);
    compare_counts(&arguments, &entries);
    publishing::measure(&arguments);
    building::measure(&arguments);
}

fn compare_with_skipping(arguments: &Arguments, entries: &[Reviewed]) {
    let (nothing, few) = (MeshView::new(), policies(FEW));
    for (name, text) in entries {
        let label = format!("{name} entry ÷ skipping it");
        if arguments.wants(&label) {
            let skip = || serde_json::from_str::<IgnoredAny>(black_box(text)).is_ok();
            let decide = || decide(black_box(text), &few, &nothing, Environment::default()) > 0;
            in_turns(&label, decide, skip);
        }
    }
}

/// What is known when an entry is reviewed: the proxies and the mesh.
type Known = (PolicySet, MeshView);

/// Reviews where much of something is known, beside where there is little of it.
fn compare_counts(arguments: &Arguments, entries: &[Reviewed]) {
    let proxies = |count| (policies(count), MeshView::new());
    compare_known(arguments, entries, "proxies", false, proxies);
    for (what, view, captures_dns) in VIEWS {
        let known = |count| (policies(FEW), view(count));
        compare_known(arguments, entries, what, captures_dns, known);
    }
    let everything = |count| (policies(count), views::everything(count));
    compare_known(arguments, entries, "of everything", false, everything);
}

fn compare_known(
    arguments: &Arguments,
    entries: &[Reviewed],
    what: &str,
    captures_dns: bool,
    known: impl Fn(usize) -> Known,
) {
    let many = arguments.many;
    let rows = entries.iter().map(|(name, text)| {
        let label = format!("{name} entry, {many} ÷ {FEW} {what}");
        (label, text)
    });
    let rows: Vec<(String, &String)> = rows.filter(|(label, _)| arguments.wants(label)).collect();
    if rows.is_empty() {
        return;
    }
    let environment = Environment {
        captures_dns,
        ..Environment::default()
    };
    let [less, more] = [FEW, many].map(known);
    for (label, text) in rows {
        let decide = |known: &Known| decide(black_box(text), &known.0, &known.1, environment);
        in_turns(&label, || decide(&more), || decide(&less));
    }
}
