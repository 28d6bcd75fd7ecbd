//! What is said of a captured proxy.

use std::net::IpAddr;
use std::sync::Arc;

use crate::mesh::line::{OBJECT_CHARACTERS, one_line};
use crate::mesh::service_entry::{Port, Registry};
use crate::mesh::simulation::Outcome;
use crate::policy::checks::protective_entry;
use crate::policy::checks::service_port::protocol_path;
use crate::policy::finding::{Brief, Concerned, Finding, Severity};
use crate::policy::proxy::Proxy;
use crate::policy::subject::Subject;
use crate::policy::words::{BRIEF_LIST_CHARACTERS, ip_list, protocol_in_words};

use super::clients::Hidden;
use super::remedy::Remedy;
use super::{Beside, CHECK, Capture, DIALLED, NAMED};

/// The finding about it.
pub(super) fn captures(
    subject: &Subject<'_>,
    port: &Port,
    proxy: &Proxy,
    capture: Capture<'_>,
    beside: Beside,
) -> Finding {
    let number = port.number;
    let is_service = subject.entry.registry == Registry::Kubernetes;
    let what = if is_service { "Service" } else { "entry" };
    let sees_mesh = subject.context.sees_mesh;
    let path = match is_service {
        true => protocol_path(port),
        false => port.path("protocol"),
    };
    let severity = if sees_mesh {
        Severity::Error
    } else {
        Severity::Warning
    };
    let (value, state) = protocol_in_words(port);
    let remedy = capture
        .hidden
        .and_then(|hidden| Remedy::of(subject, hidden));
    let fate = fate(capture.outcome);
    let (behind, brief_behind) = behind(capture.hidden);
    let unless = match (capture.hidden, sees_mesh) {
        (_, true) => "",
        (None, false) => " unless the proxy has a TCP entry of its own",
        (Some(_), false) => " unless that Sidecar shows another TCP entry for it",
    };
    let (more, brief_more) = more(beside);
    Finding {
        check: CHECK.id,
        severity,
        path,
        port: Some(number),
        what: format!(
            "{value} on port {number} is for every destination, so CONNECT through {{proxy}}, which this {what} does not claim, {fate}{behind}{unless}{more}"
        ),
        edit: match &remedy {
            Some(remedy) => remedy.in_words(),
            None => edit(port, proxy, what, capture.hidden, beside.several),
        },
        brief: Brief {
            state,
            fate: format!("CONNECT to {{proxy}}{brief_more} on the same port {fate}{brief_behind}"),
            edit: match &remedy {
                Some(remedy) if sees_mesh => remedy.in_brief(),
                Some(remedy) => format!("{} if it shows no other", remedy.in_brief()),
                None => brief_edit(port, proxy, beside.several, sees_mesh),
            },
        },
        proxies: vec![Concerned {
            proxy: Arc::new(proxy.clone()),
            port: number,
            severity,
        }],
        fix: None,
    }
}

/// What else there may be, and in brief.
fn more(beside: Beside) -> (String, &'static str) {
    let told = format!("at most {DIALLED} proxies of a port are tried and {NAMED} told");
    let behind = "not every Sidecar is looked behind";
    let since = match (beside.untold, beside.cut) {
        (false, false) => return (String::new(), ""),
        (true, false) => told,
        (false, true) => behind.to_owned(),
        (true, true) => format!("{told}, and {behind}"),
    };
    (
        format!("; there may be more, since {since}"),
        " and perhaps more",
    )
}

fn fate(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::NotFound => "gets 404",
        Outcome::Hijacked => "is sent to this entry's endpoints",
        Outcome::Wrapped => "is put into TLS by the DestinationRule of its host",
        _ => "is closed",
    }
}

/// For whom, and in brief.
fn behind(hidden: Option<Hidden<'_>>) -> (String, String) {
    let Some(Hidden { sidecar, by, .. }) = hidden else {
        return <_>::default();
    };
    let sidecar = sidecar.called();
    let hides = by.map(|by| {
        let (kind, entry) = (by.entry.kind(), by.entry);
        let hidden = format!("{kind} {}/{}", entry.namespace, entry.name);
        let hidden = one_line(&hidden, OBJECT_CHARACTERS);
        format!(", which hides {hidden}")
    });
    (
        format!(" for clients of {sidecar}{}", hides.unwrap_or_default()),
        format!(" behind {sidecar}"),
    )
}

fn edit(
    port: &Port,
    proxy: &Proxy,
    what: &str,
    hidden: Option<Hidden<'_>>,
    several: bool,
) -> String {
    let cure = match (port.protocol.is_tcp(), several) {
        (true, _) => "Give this entry addresses of its own, or add".to_owned(),
        (false, false) => format!("Leave this {what} and add"),
        (false, true) => format!("Leave this {what} and add one such for each proxy"),
    };
    let shown = match hidden {
        Some(_) => ", where that Sidecar shows it",
        None => "",
    };
    format!("{cure}{shown}: {}", protective_entry(proxy, port.number))
}

fn brief_edit(port: &Port, proxy: &Proxy, several: bool, sees_mesh: bool) -> String {
    if port.protocol.is_tcp() {
        return "give this entry addresses".to_owned();
    }
    let unless = if sees_mesh { "" } else { " if there is none" };
    let addresses: Vec<IpAddr> = proxy.single_addresses().collect();
    let whose = match (several, addresses.as_slice()) {
        (true, _) => "each".to_owned(),
        (false, []) => "its IPs".to_owned(),
        (false, [only]) => only.to_string(),
        (false, known) => ip_list(known, BRIEF_LIST_CHARACTERS),
    };
    format!("add a TCP entry for {whose}{unless}")
}
