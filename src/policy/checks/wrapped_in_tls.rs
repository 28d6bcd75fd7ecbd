//! TG020: a DestinationRule puts the CONNECT into TLS.
//!
//! **What it does.** Reports a port of a known proxy whose host a DestinationRule with `tls` is about:
//! an error where the port is opaque already, a warning where it will be once it is TCP.
//!
//! **Why.** On an HTTP port the rule does nothing to a CONNECT, which gets 404 before it. TCP brings it
//! into force: what the application sends in plain text reaches the proxy as a TLS handshake.
//!
//! **Fix.** None: the edit belongs into the other object.

use std::net::IpAddr;

use crate::mesh::line::{NAME_CHARACTERS, shown};
use crate::mesh::simulation::{Prediction, simulate};
use crate::mesh::{FieldPath, Mesh, Overlay, ServiceEntry};
use crate::policy::check::{Check, CheckId};
use crate::policy::claim::Claim;
use crate::policy::dials::{addresses_of, dial};
use crate::policy::finding::{Brief, Finding, Severity};
use crate::policy::repair::repaired;
use crate::policy::spec::Mode;
use crate::policy::subject::Subject;
use crate::policy::words::Words;

/// See the module.
pub(super) static CHECK: Check = Check {
    id: CheckId(20),
    title: "a DestinationRule puts the CONNECT into TLS",
    ceiling: Mode::Enforce,
    page: include_str!("../../../docs/checks/TG020.md"),
    run,
};

/// A rule, and the host of the entry that it is about.
struct Wrapping {
    rule: String,
    host: usize,
}

fn run(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    // Without a rule in view, as in the webhook, nothing more is dialled.
    if !subject.context.mesh.others().has_destination_rules() {
        return;
    }
    for claim in &subject.claims {
        // A proxy that expects TLS may get it from the sidecar.
        if claim.proxy.tls {
            continue;
        }
        let protocol = claim.port.protocol;
        let is_parsed = protocol.is_http() || protocol.is_sniffed();
        let found = match is_parsed {
            true => wrapping(subject, claim, &repaired(subject.entry, claim.port)),
            false => wrapping(subject, claim, subject.entry),
        };
        let Some(found) = found else {
            continue;
        };
        let finding = told(subject, claim, &found, is_parsed);
        findings.push(match is_parsed {
            true => finding.rated(Severity::Warning),
            false => claim.as_error(finding),
        });
    }
}

/// The first rule that puts a dial of the claimed proxy into TLS, with `entry` in its place.
fn wrapping(subject: &Subject<'_>, claim: &Claim<'_>, entry: &ServiceEntry) -> Option<Wrapping> {
    let view = Overlay::with(subject.context.mesh, entry).of_entries_only();
    let dials = subject.namespaces().iter().flat_map(|namespace| {
        let addresses: Vec<IpAddr> = addresses_of(&claim.proxy, entry);
        let dials = addresses.into_iter();
        dials.map(|address| dial(namespace, address, claim.port.number, &claim.proxy))
    });
    for dial in dials {
        if !subject.effort.for_dials(1) {
            return None;
        }
        let prediction = simulate(&view, &dial, &subject.context.environment);
        if let Some(found) = by_rule(&prediction, entry) {
            return Some(found);
        }
    }
    None
}

fn by_rule(prediction: &Prediction<'_>, entry: &ServiceEntry) -> Option<Wrapping> {
    let rule = prediction.wrapped_by()?;
    let by = prediction.by.filter(|by| std::ptr::eq(by.entry, entry))?;
    let host = entry.hosts.iter().position(|host| **host == *by.host)?;
    Some(Wrapping {
        rule: rule.called(),
        host,
    })
}

fn told(subject: &Subject<'_>, claim: &Claim<'_>, found: &Wrapping, is_parsed: bool) -> Finding {
    let rule = &found.rule;
    let port = claim.port.number;
    let once = if is_parsed {
        "once the port is TCP, "
    } else {
        ""
    };
    let off = format!("set tls.mode: DISABLE for port {port} in it");
    let words = Words {
        what: format!(
            "{once}{rule} puts a CONNECT through {{proxy}} into TLS, which a proxy that expects plain text does not understand"
        ),
        edit: format!(
            "In that DestinationRule set tls.mode: DISABLE for port {port} (trafficPolicy.portLevelSettings); if the proxy itself expects TLS, declare it with tls: true"
        ),
        brief: Brief::new(
            shown(&subject.entry.hosts[found.host], NAME_CHARACTERS),
            format!("{once}{rule} puts CONNECT to {{proxy}} into TLS"),
            &off,
        ),
    };
    let path = FieldPath::spec().key("hosts").index(found.host);
    subject.finding(&CHECK, claim, path, words)
}

#[cfg(test)]
mod tests {
    use super::super::testing::table;

    #[test]
    fn rows() {
        let beside = |rule: &str, spec: &str| {
            format!(
                "kind: DestinationRule\nmetadata: {{name: rule}}\nspec: {rule}\n---\nmetadata: {{name: proxy}}\nspec: {spec}"
            )
        };
        let tls = "{host: proxy.corp, trafficPolicy: {tls: {mode: SIMPLE}}}";
        let tcp = "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: TCP}]}";
        let http = "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: HTTP}]}";
        let two = "{hosts: [a.corp, proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: TCP}]}";
        let opaque = "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: Mongo}]}";
        let own = "{hosts: [tls.corp], addresses: [10.20.0.9], ports: [{number: 8443, name: p, protocol: TCP}]}";
        let disable = "{host: proxy.corp, trafficPolicy: {tls: {mode: SIMPLE}, portLevelSettings: [{port: {number: 3128}, tls: {mode: DISABLE}}]}}";
        for (name, rule, spec, expected) in [
            ("TCP", tls, tcp, "error"),
            ("HTTP", tls, http, "warning"),
            ("Mongo", tls, opaque, "error"),
            (
                "every host",
                "{host: '*', trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}",
                tcp,
                "error",
            ),
            (
                "the first of two hosts",
                "{host: a.corp, trafficPolicy: {tls: {mode: SIMPLE}}}",
                two,
                "error",
            ),
            ("switched off for the port", disable, tcp, ""),
            (
                "another host",
                "{host: api.corp, trafficPolicy: {tls: {mode: SIMPLE}}}",
                tcp,
                "",
            ),
            (
                "no tls",
                "{host: proxy.corp, trafficPolicy: {loadBalancer: {simple: RANDOM}}}",
                tcp,
                "",
            ),
            (
                "a proxy that expects TLS",
                "{host: tls.corp, trafficPolicy: {tls: {mode: SIMPLE}}}",
                own,
                "",
            ),
        ] {
            table(&super::CHECK, &[(name, &beside(rule, spec), expected)]);
        }
    }
}
