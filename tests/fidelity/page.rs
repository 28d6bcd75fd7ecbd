//! docs/fidelity.md: what a whole run of the fixed shapes has shown.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;

use tunnelguard::mesh::simulation::{IstioVersion, OutboundPolicy};

use crate::comparison::record::{Record, Repaired, Totals, records};
use crate::comparison::repairs::Offer;
use crate::harness::repository;
use crate::lab::Versions;
use crate::shape::Shape;

const PAGE: &str = "docs/fidelity.md";

const HEAD: &str = "\
# Fidelity

What tunnelguard predicts of a CONNECT, against what a real istiod and a real Envoy do with it. This
page is written by a whole run of `make fidelity`, as root on Linux, and by nothing else.
`make fidelity TESTS=NAME` runs the shapes whose name contains NAME; `ISTIOD=` and `ENVOY=` name other
binaries, and `ISTIO_VERSION=1.2x` says which version that istiod is predicted as.
CONTRIBUTING.md has how a shape is added.

A shape is a set of objects and the dials that an application makes; whatever the file says in words, it
holds no expectation. For each shape, each outbound policy and each istiod the run compares

- what `simulate` predicts with what the connection meets, and the object that it blames with the one
  whose filter chain took the connection, by Envoy's own counters and configuration;
- what istiod's validating webhook says of each object with what is predicted of it;
- the checks with both: an error if and only if a declared proxy's dial does not tunnel, or another
  dial is hijacked because of the object, and a warning about what works but istiod refuses;
- the repairs: what is offered is made, and must be accepted, make the proxy's dials tunnel, and make none
  worse; what is withheld is made as well, and must do harm or be refused.
";

const LEGEND: &str = "\
## How to read the tables

The proxy that is declared is at 10.20.0.5 (fd00:20::5), ports 3128, 8080 and 8443, unless a shape names others. A
dial is a plaintext `CONNECT` with HTTP/1.1 to port 3128 from namespace `default`, unless it says more; the
results stand in the order of the dials.

*tunnel*: the dialled proxy answered, and the origin through it. *404*: Envoy answered. *elsewhere*: another
endpoint or port answered. *in TLS*: the proxy dialled, inside TLS that the sidecar added. *closed*: reset,
ended, or a failed handshake. *silence*: nothing. *unknown*: no prediction, because it depends on something
that no object tells. *refused*: the API server does not take an object, so that nothing is dialled.

Where: AA is `ALLOW_ANY`, RO `REGISTRY_ONLY`, DD `ALLOW_ANY_DYNAMIC_DNS`, which only 1.31 knows
and which is measured where it is predicted to tell. Where all agree there is one line. After repair: *safe* is what tunnelguard makes for the user, *proved* what it
offers to a person with the proof, *withheld* what it does not offer, made all the same.
";

/// Writes it.
///
/// # Panics
/// If it cannot be written.
pub(crate) fn write(versions: &[Versions]) {
    let shapes = Shape::all();
    let names: BTreeSet<&str> = shapes.iter().map(|shape| &*shape.name).collect();
    let mut records = records();
    records.retain(|record| names.contains(&*record.shape));
    let mut page = HEAD.to_owned();
    page.push_str(&ran(versions, &records));
    page.push_str(LEGEND);
    for topic in TOPICS {
        let of_topic = shapes.iter().filter(|shape| self::topic(shape) == topic);
        let _ = write!(
            page,
            "\n## {topic}\n\n| shape | dials | where | predicted | measured | after repair |\n|---|---|---|---|---|---|\n",
        );
        for shape in of_topic {
            let own = records.iter().filter(|one| one.shape == shape.name);
            let mut own: Vec<&Record> = own.collect();
            // Each lab begins with the policy that it is set to.
            own.sort_by_key(|one| (one.version, short(one.outbound)));
            page.push_str(&rows(shape, &own));
        }
    }
    fs::write(repository(PAGE), page).expect("the page");
    println!("{PAGE} is written");
}

/// What ran, and what it came to.
fn ran(versions: &[Versions], records: &[Record]) -> String {
    let mut text = "\n## What ran\n\n".to_owned();
    for versions in versions {
        let own = records
            .iter()
            .filter(|one| one.version == versions.predicted);
        let totals = Totals::of(own.cloned().collect());
        let _ = writeln!(text, "- {versions}: {totals}.");
    }
    text.push('\n');
    text
}

/// What shapes are about, in the order of the page.
const TOPICS: [&str; 10] = [
    "One entry",
    "Several entries",
    "Two entries on one port, in both orders",
    "Protocols, addresses and resolutions",
    "Kubernetes Services",
    "Workload selectors",
    "DestinationRules",
    "Sidecars",
    "DNS capture",
    "IPv6",
];

/// Which of them a shape is about: what it has that the simpler ones have not.
fn topic(shape: &Shape) -> &'static str {
    let begins = |with: &str| shape.name.starts_with(with);
    let has = |kind: &str| shape.objects.iter().any(|object| object["kind"] == kind);
    match shape.objects.len() {
        _ if begins("ipv6-") => "IPv6",
        _ if shape.dns_capture => "DNS capture",
        _ if has("Sidecar") => "Sidecars",
        _ if has("DestinationRule") => "DestinationRules",
        _ if has("WorkloadEntry") => "Workload selectors",
        _ if has("Service") => "Kubernetes Services",
        _ if begins("grid-") => "Protocols, addresses and resolutions",
        _ if begins("pair-") => "Two entries on one port, in both orders",
        0 | 1 => "One entry",
        _ => "Several entries",
    }
}

/// A shape's rows: one for all settings that agree.
fn rows(shape: &Shape, records: &[&Record]) -> String {
    let mut groups: Vec<(Vec<&Record>, [String; 3])> = Vec::new();
    for record in records {
        let cells = cells(record);
        match groups.iter_mut().find(|(_, known)| *known == cells) {
            Some((members, _)) => members.push(record),
            None => groups.push((vec![record], cells)),
        }
    }
    let name = &shape.name;
    let about = shape.about.replace('|', "\\|");
    let mut first = format!("[{name}](../tests/fidelity/shapes/{name}.yaml): {about}");
    let own = records.iter().find(|record| !record.refused);
    let own = own.map_or(&[][..], |record| &record.dials[..]);
    let dials: Vec<&str> = own.iter().map(|line| &*line.dial).collect();
    let mut dials = dials.join("<br>");
    let mut text = String::new();
    for (members, [predicted, met, repaired]) in groups {
        let place = place(&members, records);
        let _ = writeln!(
            text,
            "| {first} | {dials} | {place} | {predicted} | {met} | {repaired} |"
        );
        first.clear();
        dials.clear();
    }
    text
}

/// What was predicted, measured, and measured after repair.
fn cells(record: &Record) -> [String; 3] {
    if record.refused {
        return ["refused".to_owned(), "refused".to_owned(), String::new()];
    }
    let predicted: Vec<&str> = record.dials.iter().map(|line| &*line.predicted).collect();
    let met: Vec<&str> = record.dials.iter().map(|line| &*line.met).collect();
    let repaired: Vec<String> = record.repairs.iter().map(repaired).collect();
    [
        predicted.join("<br>"),
        met.join("<br>"),
        repaired.join("<br>"),
    ]
}

fn repaired(repaired: &Repaired) -> String {
    let offer = match repaired.offer {
        Offer::Safe => "safe",
        Offer::Proved => "proved",
        Offer::Withheld => "withheld",
    };
    match repaired.accepted {
        true => format!("{offer}: {}", repaired.met.join(", ")),
        false => format!("{offer}: refused"),
    }
}

/// Where that holds, of all the settings that the shape was measured in.
fn place(members: &[&Record], all: &[&Record]) -> String {
    if members.len() == all.len() {
        return "all".to_owned();
    }
    let versions: BTreeSet<IstioVersion> = all.iter().map(|one| one.version).collect();
    let policies = |records: &[&Record], version: IstioVersion| -> Vec<&'static str> {
        let own = records.iter().filter(|one| one.version == version);
        own.map(|one| short(one.outbound)).collect()
    };
    let mut places: Vec<(Vec<&str>, Vec<String>)> = Vec::new();
    for version in versions.iter().copied() {
        let own = policies(members, version);
        let known = places.iter_mut().find(|(policies, _)| *policies == own);
        match known {
            _ if own.is_empty() => {}
            Some((_, versions)) => versions.push(version.to_string()),
            None if own == policies(all, version) => {
                places.push((Vec::new(), vec![version.to_string()]));
            }
            None => places.push((own, vec![version.to_string()])),
        }
    }
    let places = places.into_iter().map(|(policies, of)| {
        // One policy of every version needs none named.
        let of = if of.len() == versions.len() {
            String::new()
        } else {
            of.join(" ")
        };
        format!("{of} {}", policies.join(" ")).trim().to_owned()
    });
    places.collect::<Vec<_>>().join(", ")
}

fn short(outbound: OutboundPolicy) -> &'static str {
    match outbound {
        OutboundPolicy::AllowAny => "AA",
        OutboundPolicy::RegistryOnly => "RO",
        OutboundPolicy::AllowAnyDynamicDns => "DD",
    }
}
