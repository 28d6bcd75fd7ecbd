//! TG021: the client's Sidecar decides, and makes the port HTTP.
//!
//! **What it does.** Reports a port of a known proxy that a Sidecar gives an egress listener of its own
//! with an HTTP protocol, where nothing else takes the connection: an error where the entry's port is
//! opaque already, a warning where it will be once it is TCP.
//!
//! **Why.** An egress listener with a port takes its protocol from the Sidecar, not from the entry, so
//! that no edit of the entry helps the clients that the Sidecar is for.
//!
//! **Fix.** None: the edit belongs into the other object.

use crate::mesh::line::{NAME_CHARACTERS, shown};
use crate::mesh::sidecar::Sidecar;
use crate::mesh::simulation::{Dial, Outcome, simulate};
use crate::mesh::{FieldPath, Mesh, Overlay, ServiceEntry};
use crate::policy::check::{Check, CheckId};
use crate::policy::claim::Claim;
use crate::policy::dials::{ELSEWHERE, addresses_of, dial};
use crate::policy::finding::{Brief, Finding, Severity};
use crate::policy::repair::repaired;
use crate::policy::spec::Mode;
use crate::policy::subject::Subject;
use crate::policy::words::Words;

/// See the module.
pub(super) static CHECK: Check = Check {
    id: CheckId(21),
    title: "the client's Sidecar makes the port HTTP",
    ceiling: Mode::Enforce,
    page: include_str!("../../../docs/checks/TG021.md"),
    run,
};

/// How many Sidecars are tried that may decide, and as a rule the first does: a dial behind each takes some
/// microseconds, and a user waits for them all.
const TRIED: usize = 256;

fn run(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    for claim in &subject.claims {
        let protocol = claim.port.protocol;
        let is_parsed = protocol.is_http() || protocol.is_sniffed();
        let found = match is_parsed {
            true => deciding(subject, claim, &repaired(subject.entry, claim.port)),
            false => deciding(subject, claim, subject.entry),
        };
        let Some(sidecar) = found else {
            continue;
        };
        let finding = told(subject, claim, sidecar, is_parsed);
        findings.push(match is_parsed {
            true => finding.rated(Severity::Warning),
            false => claim.as_error(finding),
        });
    }
}

/// The first Sidecar whose egress listener answers 404 to a dial of the claimed proxy, with `entry` in
/// its place.
fn deciding<'a>(
    subject: &Subject<'a>,
    claim: &Claim<'_>,
    entry: &ServiceEntry,
) -> Option<&'a Sidecar> {
    let mesh = subject.context.mesh;
    let view = Overlay::with(mesh, entry).of_entries_only();
    let sidecars = mesh.others().sidecars_parsing(claim.port.number);
    let dialled = sidecars.map(|sidecar| (sidecar, dials(subject, claim, sidecar, entry)));
    let concerned = dialled.filter(|(_, dials)| !dials.is_empty());
    let dials = concerned.take(TRIED).flat_map(|(sidecar, dials)| {
        let dials = dials.into_iter();
        dials.map(move |dial| (sidecar, dial))
    });
    for (sidecar, dial) in dials {
        if !subject.effort.for_dials(1) {
            return None;
        }
        let prediction = simulate(&view, &dial, &subject.context.environment);
        let decides = prediction.by_egress_of() == Some(sidecar);
        if decides && prediction.outcome == Outcome::NotFound {
            return Some(sidecar);
        }
    }
    None
}

/// The dials of the claimed proxy by clients that the Sidecar is for and that see the entry.
fn dials(
    subject: &Subject<'_>,
    claim: &Claim<'_>,
    sidecar: &Sidecar,
    entry: &ServiceEntry,
) -> Vec<Dial> {
    let root = subject.context.environment.root_namespace();
    let is_for_all = *sidecar.namespace == *root && sidecar.selector.is_none();
    let namespaces: &[&str] = match is_for_all {
        true => &[&entry.namespace, ELSEWHERE],
        false => &[&sidecar.namespace],
    };
    let namespaces = namespaces
        .iter()
        .filter(|namespace| entry.is_visible_from(namespace));
    let dials = namespaces.flat_map(|namespace| {
        let addresses = addresses_of(&claim.proxy, entry).into_iter();
        addresses.map(|address| Dial {
            labels: Some(sidecar.selector.clone().unwrap_or_default()),
            ..dial(namespace, address, claim.port.number, &claim.proxy)
        })
    });
    dials.collect()
}

fn told(subject: &Subject<'_>, claim: &Claim<'_>, sidecar: &Sidecar, is_parsed: bool) -> Finding {
    let port = claim.port;
    let sidecar_port = shown(&sidecar.called(), NAME_CHARACTERS);
    let even = if is_parsed {
        "even with TCP here, "
    } else {
        ""
    };
    let edit = format!("set protocol: TCP for port {} in its egress", port.number);
    let words = Words {
        what: format!(
            "{even}{} makes port {} HTTP for its clients, so that Envoy answers 404 to their CONNECT through {{proxy}}",
            sidecar.called(),
            port.number
        ),
        edit: format!(
            "In that Sidecar set protocol: TCP for port {} of its egress",
            port.number
        ),
        brief: Brief::new(
            port.protocol_text
                .as_deref()
                .map_or("is not set".to_owned(), |text| shown(text, NAME_CHARACTERS)),
            format!("{even}{sidecar_port} makes it HTTP: CONNECT to {{proxy}} gets 404"),
            &edit,
        ),
    };
    let path = FieldPath::spec()
        .key("ports")
        .index(port.index)
        .key("protocol");
    subject.finding(&CHECK, claim, path, words)
}

#[cfg(test)]
mod tests {
    use super::super::testing::table;

    #[test]
    fn rows() {
        let beside = |sidecar: &str, spec: &str| {
            format!(
                "kind: Sidecar\nmetadata: {{name: own}}\nspec: {sidecar}\n---\nmetadata: {{name: proxy}}\nspec: {spec}"
            )
        };
        let entry = |protocol: &str| {
            format!(
                "{{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{{number: 3128, name: p, protocol: {protocol}}}]}}"
            )
        };
        let http = "{egress: [{port: {number: 3128, protocol: HTTP}, hosts: ['*/*']}]}";
        let unset = "{egress: [{port: {number: 3128}, hosts: ['*/*']}]}";
        let tcp = "{egress: [{port: {number: 3128, protocol: TCP}, hosts: ['*/*']}]}";
        let with_all =
            "{egress: [{port: {number: 3128, protocol: HTTP}, hosts: ['*/*']}, {hosts: ['*/*']}]}";
        let other_port = "{egress: [{port: {number: 8080, protocol: HTTP}, hosts: ['*/*']}]}";
        let selecting = "{workloadSelector: {labels: {app: web}}, egress: [{port: {number: 3128, protocol: HTTP}, hosts: ['./*']}]}";
        for (name, sidecar, protocol, expected) in [
            ("TCP", http, "TCP", "error"),
            ("HTTP", http, "HTTP", "warning"),
            ("no protocol in the Sidecar", unset, "TCP", "error"),
            ("for some clients", selecting, "TCP", "error"),
            ("TCP in the Sidecar", tcp, "TCP", ""),
            ("TCP in the Sidecar, HTTP in the entry", tcp, "HTTP", ""),
            ("with a listener for all ports", with_all, "TCP", ""),
            ("another port", other_port, "TCP", ""),
        ] {
            table(
                &super::CHECK,
                &[(name, &beside(sidecar, &entry(protocol)), expected)],
            );
        }
    }
}
