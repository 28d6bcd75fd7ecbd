//! TG001: a proxy's port is HTTP.
//!
//! **What it does.** Reports a port of a known proxy whose protocol is HTTP, HTTP2, GRPC or
//! GRPC-Web, in any case.
//!
//! **Why.** The sidecar parses what the application sends, finds a CONNECT that no route can
//! match, and answers `404`, `server: envoy`. It does so for every destination on the port
//! that has no TCP entry of its own: `addresses` do not narrow an HTTP port.
//!
//! **Fix.** `protocol: TCP`, safe where simulation proves it.

use crate::mesh::protocol::Protocol;
use crate::mesh::simulation::Outcome;
use crate::policy::check::{Check, CheckId};
use crate::policy::claim::Claim;
use crate::policy::finding::{Brief, Finding};
use crate::policy::repair::repair;
use crate::policy::spec::Mode;
use crate::policy::subject::Subject;
use crate::policy::words::{Words, protocol_in_words};

/// See the module.
pub(super) static CHECK: Check = Check {
    id: CheckId(1),
    title: "a proxy's port is HTTP",
    ceiling: Mode::Enforce,
    page: include_str!("../../../docs/checks/TG001.md"),
    run,
};

fn run(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    for claim in &subject.claims {
        let protocol = claim.port.protocol;
        if protocol.is_http() && protocol != Protocol::HttpProxy {
            findings.push(parsed_port(&CHECK, subject, claim));
        }
    }
}

/// The finding about a port that Envoy parses, with its repair; shared by TG001 to TG004.
pub(super) fn parsed_port(check: &Check, subject: &Subject<'_>, claim: &Claim<'_>) -> Finding {
    let repair = repair(subject, claim);
    let (value, state) = protocol_in_words(claim.port);
    // A neighbour's HTTP may do it too, but TCP here would protect the proxy from both.
    let mut reaches = claim.reaches.iter();
    let fails = reaches.any(|reach| reach.caused || reach.outcome == Outcome::NotFound);
    let (what, fate) = match (fails, claim.proxy.tls) {
        (true, false) => (
            format!("{value} makes Envoy answer 404 to CONNECT through {{proxy}}"),
            "CONNECT to {proxy} gets 404",
        ),
        (false, false) => (
            format!(
                "{value} lets CONNECT through {{proxy}} pass only by what else the port's entries declare"
            ),
            "CONNECT to {proxy} works only by chance",
        ),
        (true, true) => (
            format!("{value} makes the mesh close TLS connections to {{proxy}}"),
            "TLS to {proxy} is closed",
        ),
        (false, true) => (
            format!(
                "{value} lets TLS connections to {{proxy}} pass only because they do not look like HTTP"
            ),
            "TLS to {proxy} works only by chance",
        ),
    };
    let words = Words {
        what,
        brief: Brief::new(state, fate, &repair.advice.in_brief),
        edit: repair.advice.at_length,
    };
    let mut finding = subject.finding(check, claim, claim.port.path("protocol"), words);
    if fails {
        finding = claim.as_error(finding);
    }
    finding.fix = repair.fix;
    finding
}

#[cfg(test)]
mod tests {
    use super::super::testing::table;

    const CORP: &str = "hosts: [proxy.corp]";

    #[test]
    fn rows() {
        let port =
            |protocol: &str| format!("ports: [{{number: 3128, name: p, protocol: {protocol}}}]");
        let http = port("HTTP");
        let row = |rest: &str| format!("{{{CORP}, {rest}}}");
        let one = |protocol: &str| row(&format!("addresses: [10.20.0.5], {}", port(protocol)));
        let cases = [
            ("HTTP", one("HTTP"), "error, safe"),
            ("lower case", one("http"), "error, safe"),
            ("HTTP2", one("HTTP2"), "error, safe"),
            ("GRPC", one("GRPC"), "error, safe"),
            ("GRPC-Web", one("grpc-web"), "error, safe"),
            ("REGISTRY_ONLY", one("HTTP"), "error, safe"),
            ("a prefix of full length, with NONE", row(&format!("addresses: [10.20.0.5/32], {http}")), "error, safe"),
            ("DNS with its one address", row(&format!("addresses: [10.20.0.5], resolution: DNS, {http}")), "error, safe"),
            ("STATIC with its own endpoint", row(&format!("addresses: [10.20.0.5], resolution: STATIC, endpoints: [{{address: 10.20.0.5}}], {http}")), "error, safe"),
            ("STATIC with a selector keeps its location", row(&format!("addresses: [10.20.0.5], resolution: STATIC, location: MESH_INTERNAL, workloadSelector: {{labels: {{app: squid}}}}, {http}")), "error, safe"),
            ("exported to one other namespace alone", row(&format!("addresses: [10.20.0.5], exportTo: [b], {http}")), "error, safe"),
            ("several hosts with NONE", format!("{{hosts: [proxy.corp, a.corp], addresses: [10.20.0.5], {http}}}"), "error, safe"),
            ("no address with NONE, proven by the view", row(&http), "error, unsafe"),
            ("no address with DNS hijacks", row(&format!("resolution: DNS, {http}")), "error"),
            ("a slash with DNS", row(&format!("addresses: [10.20.0.5/32], resolution: DNS, {http}")), "error"),
            ("a range", row(&format!("addresses: [10.20.0.0/24], {http}")), "error, unsafe"),
            ("0.0.0.0", row(&format!("addresses: [0.0.0.0], {http}")), "error, unsafe"),
            ("STATIC without endpoints", row(&format!("addresses: [10.20.0.5], resolution: STATIC, {http}")), "error"),
            ("two addresses with DNS", row(&format!("addresses: [10.20.0.5, 10.20.0.99], resolution: DNS, {http}")), "error"),
            ("two hosts with DNS", format!("{{hosts: [proxy.corp, a.corp], addresses: [10.20.0.5], resolution: DNS, {http}}}"), "error"),
            ("targetPort leads elsewhere", row("addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: HTTP, targetPort: 8080}]"), "error"),
            ("endpoint port leads elsewhere", row(&format!("addresses: [10.20.0.5], resolution: STATIC, endpoints: [{{address: 10.20.0.5, ports: {{p: 8080}}}}], {http}")), "error"),
            ("DYNAMIC_DNS", format!("{{hosts: ['*.proxy.corp'], resolution: DYNAMIC_DNS, {http}}}"), "error"),
            ("istiod refuses it for another reason", row("addresses: [10.20.0.5], exportTo: ['no such'], ports: [{number: 3128, name: p, protocol: HTTP}]"), "error"),
            ("suspected by name alone", "{hosts: [squid.example.com], addresses: [10.9.9.9], ports: [{number: 8080, name: p, protocol: HTTP}]}".to_owned(), "warning, unsafe"),
            ("HTTP on a TLS proxy", "{hosts: [tls.corp], addresses: [10.20.0.9], ports: [{number: 8443, name: p, protocol: HTTP}]}".to_owned(), "warning, safe"),
            ("HTTP on a TLS proxy, REGISTRY_ONLY", "{hosts: [tls.corp], addresses: [10.20.0.9], ports: [{number: 8443, name: p, protocol: HTTP}]}".to_owned(), "error, safe"),
            ("TCP", one("TCP"), ""),
            ("the port name means nothing", row("addresses: [10.20.0.5], ports: [{number: 3128, name: http-proxy, protocol: TCP}]"), ""),
            ("another port", row("addresses: [10.20.0.5], ports: [{number: 8080, name: p, protocol: HTTP}]"), ""),
            ("an ordinary API on the number", "{hosts: [api.test], addresses: [10.9.9.9], ports: [{number: 3128, name: p, protocol: HTTP}]}".to_owned(), ""),
            ("sidecars make the CONNECT", "{hosts: [tunnel.corp], addresses: [10.20.0.10], ports: [{number: 8888, name: p, protocol: HTTP}]}".to_owned(), ""),
            ("a reverse proxy by name", "{hosts: [oauth2-proxy.test], ports: [{number: 8080, name: p, protocol: HTTP}]}".to_owned(), ""),
        ];
        for (name, yaml, expected) in &cases {
            table(&super::CHECK, &[(name, yaml, expected)]);
        }
    }
}
