//! A prediction, told to a person.

use std::net::IpAddr;

use crate::mesh::line::{NAME_CHARACTERS, OBJECT_CHARACTERS, one_line, shown};
use crate::mesh::service_entry::{Registry, Resolution, ServiceEntry};

use super::cluster::Target;
use super::service::Service;
use super::upstream::Upstream;
use super::{
    Dial, End, Environment, ListenerKind, OutboundPolicy, Outcome, Prediction, Speech, Trail, Way,
    kubernetes,
};

impl Dial {
    /// `10.20.0.5:3128`, or `[2001:db8::7]:3128`.
    pub fn target(&self) -> String {
        socket(self.address, self.port)
    }
}

pub(super) fn socket(address: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(address, port).to_string()
}

/// `namespace/name`, as kubectl writes it, or `Service namespace/name`; an entry without a name is
/// called by its host.
pub(crate) fn entry_name(entry: &ServiceEntry) -> String {
    let name = match (&*entry.name, entry.hosts.first()) {
        ("", Some(host)) => host,
        (name, _) => name,
    };
    let kind = match entry.registry {
        Registry::Istio => "",
        Registry::Kubernetes => "Service ",
    };
    one_line(
        &format!("{kind}{}/{name}", entry.namespace),
        OBJECT_CHARACTERS,
    )
}

/// How much of a host or an endpoint is told: a DNS name has at most 253 characters.
pub(super) const HOST_CHARACTERS: usize = 253;

/// How many endpoints are told.
const ENDPOINTS: usize = 4;

pub(super) fn endpoints_in_words(endpoints: &[String]) -> String {
    let told = endpoints.iter().take(ENDPOINTS);
    let told: Vec<String> = told.map(|one| shown(one, HOST_CHARACTERS)).collect();
    let told = told.join(" or ");
    match endpoints.len().saturating_sub(ENDPOINTS) {
        0 => told,
        more => format!("{told} or {more} more"),
    }
}

impl Prediction<'_> {
    /// Why, in one sentence.
    pub fn why(&self, dial: &Dial, environment: &Environment<'_>) -> String {
        match &self.trail {
            Trail::Unmodelled(object) => format!(
                "the view holds {}, a kind that can change what a sidecar does and that is not modelled yet",
                one_line(
                    &format!("{} {}/{}", object.kind, object.namespace, object.name),
                    OBJECT_CHARACTERS
                )
            ),
            Trail::Versions(oldest, newest) => format!(
                "it differs between Istio 1.21 ({oldest}) and 1.31 ({newest}), and {} was not measured",
                environment.version
            ),
            Trail::Clients(sidecar, selected, others) => format!(
                "it differs between the clients that {} selects ({selected}) and the others of namespace {} ({others}), and the client's labels are not known",
                sidecar.called(),
                shown(&dial.namespace, NAME_CHARACTERS)
            ),
            Trail::Allocated => format!(
                "istiod allocates {} to some host, and the status of no entry in view says to which",
                dial.address
            ),
            Trail::Tied(by, one, other) => format!(
                "several entries in namespace {} list {} and were created in the same second: which of them comes first is left to chance ({one} or {other})",
                shown(&by.entry.namespace, NAME_CHARACTERS),
                shown(by.host, HOST_CHARACTERS)
            ),
            Trail::NewlyRead(service) => format!(
                "{} has a port whose appProtocol Istio {} may not know yet",
                entry_name(service),
                environment.version
            ),
            Trail::NoSuchPolicy => format!(
                "ALLOW_ANY_DYNAMIC_DNS came with Istio 1.31; {} does not know it",
                environment.version
            ),
            Trail::Way(way) => way.why(dial),
        }
    }
}

impl Way<'_> {
    fn why(&self, dial: &Dial) -> String {
        let mut why = match &self.end {
            End::Http(Some(service)) => self.http_reason(service, dial),
            End::Http(None) => format!(
                "nothing declares {}, and under ALLOW_ANY_DYNAMIC_DNS the catch-all listener parses it as HTTP, where no route matches a CONNECT",
                dial.target()
            ),
            End::Cluster(service, target, upstream) => match upstream.reason() {
                Some(clause)
                    if target.outcome() == Outcome::Tunnel
                        || matches!(upstream, Upstream::NoTunnel(_)) =>
                {
                    let name = entry_name(service.entry);
                    format!("{name} declares it {}, {clause}", service.protocol())
                }
                _ => cluster_reason(service, target, dial),
            },
            End::Fallthrough => self.fallthrough_reason(dial),
        };
        if let Some(loser) = self.outranked {
            let rule = match loser.created {
                Some(_) => "the older entry wins",
                None => "without creation times the one that appears first counts as older",
            };
            why.push_str(&format!(
                "; {} would have had a say, but {rule}",
                entry_name(loser)
            ));
        }
        why
    }

    fn fallthrough_reason(&self, dial: &Dial) -> String {
        let target = dial.target();
        let undeclared = match (self.listener, self.sidecar) {
            (ListenerKind::CatchAll, Some(sidecar)) => format!(
                "nothing that {} shows this client declares {target}",
                sidecar.called()
            ),
            (ListenerKind::CatchAll, None) => {
                format!("nothing that this client sees declares {target}")
            }
            _ => format!("no filter chain of the port's listener takes a connection to {target}"),
        };
        let own = self.sidecar.filter(|sidecar| sidecar.outbound.is_some());
        let whose = own.map_or(String::new(), |sidecar| format!(" of {}", sidecar.called()));
        let policy = self.outbound;
        match (policy, self.egress_proxy()) {
            (OutboundPolicy::RegistryOnly, _) => {
                format!("{undeclared}, and {policy}{whose} closes what is undeclared")
            }
            (_, Some(proxy)) => format!(
                "{undeclared}, and the egressProxy{whose} takes it to {}: what becomes of it there is not in view",
                shown(proxy, HOST_CHARACTERS)
            ),
            _ => format!("{undeclared}, and {policy}{whose} forwards it untouched"),
        }
    }

    fn http_reason(&self, service: &Service<'_>, dial: &Dial) -> String {
        match (self.sidecar, service.egress, &dial.speech) {
            (Some(sidecar), Some(egress), Speech::Connect) => format!(
                "{} has an egress listener that makes port {} {} for its clients, where no route matches a CONNECT, so Envoy answers 404",
                sidecar.called(),
                egress.number,
                egress.protocol
            ),
            _ => http_reason(service, dial, self.listener),
        }
    }
}

pub(super) fn host_of(service: &Service<'_>) -> String {
    shown(service.host, HOST_CHARACTERS)
}

fn http_reason(service: &Service<'_>, dial: &Dial, listener: ListenerKind) -> String {
    let name = entry_name(service.entry);
    let port = service.port.number;
    if let Speech::Tls(_) = dial.speech {
        return format!(
            "{name} makes port {port} HTTP for every client, and a TLS handshake is not HTTP"
        );
    }
    let by_what = kubernetes::by_what(service.entry, service.port);
    let answer = "where no route matches a CONNECT, so Envoy answers 404";
    match (service.port.protocol, listener) {
        (protocol, ListenerKind::Exact) if protocol.is_sniffed() => format!(
            "{name} declares {} with {protocol}{by_what}: the sidecar sniffs HTTP, {answer}",
            dial.target()
        ),
        (protocol, _) if protocol.is_sniffed() => format!(
            "{name} declares port {port} with {protocol}: the sidecar sniffs HTTP on it for every destination without a TCP entry of its own, {answer}"
        ),
        (protocol, _) => format!(
            "{name} makes port {port} {protocol}{by_what} for every destination without a TCP entry of its own, {answer}"
        ),
    }
}

fn cluster_reason(service: &Service<'_>, target: &Target, dial: &Dial) -> String {
    if let Some(reason) = kubernetes::reason(service, target, dial) {
        return reason;
    }
    let name = entry_name(service.entry);
    let host = host_of(service);
    let port = service.port.number;
    let resolution = service.entry.resolution.name();
    match target {
        Target::Dialled => format!(
            "{name} declares it {}, so the bytes are forwarded untouched to {}",
            service.port.protocol,
            dial.target()
        ),
        Target::Selected => format!(
            "{name} forwards it to what its workloadSelector selects: nothing in view, and Pods are not looked at; without any the connection is closed"
        ),
        Target::Port(other) => {
            format!("{name} forwards port {port} to its targetPort {other}")
        }
        Target::Elsewhere(endpoints) if service.entry.resolution == Resolution::None => format!(
            "{name} shares {host} with another object, to whose endpoints it forwards what it takes on port {port}: {}, whatever address was dialled",
            endpoints_in_words(endpoints)
        ),
        Target::Elsewhere(endpoints) => format!(
            "{name} has resolution {resolution} and forwards what it takes on port {port} to {}, whatever address was dialled",
            endpoints_in_words(endpoints)
        ),
        Target::Unresolved(host) => {
            let host = shown(host, HOST_CHARACTERS);
            format!("{name} forwards it to wherever {host} leads, which nothing in view tells")
        }
        Target::Behind(_) => format!("{name} forwards it to the endpoints of {host}"),
        Target::Refused => format!(
            "{name} has resolution {resolution} and names among its endpoints' IPs, which older istiods send and Envoy refuses, with those of other hosts that are sent along: it keeps the endpoints that it knew before"
        ),
        Target::Contested => format!(
            "several entries in namespace {} list {host} and lead it to different places; which of them istiod keeps depends on the order in which it saw them",
            shown(&service.entry.namespace, NAME_CHARACTERS)
        ),
        Target::Empty => {
            format!(
                "{name} has resolution {resolution} and no endpoints, so there is nowhere to forward to"
            )
        }
        Target::Missing => format!(
            "{name} listens, but the cluster of {host} belongs to an entry of the same host that does not have port {port}, so every connection is closed"
        ),
        Target::NotDynamic => format!(
            "{name} has resolution DYNAMIC_DNS, for which Istio builds no {} cluster, so every connection is closed",
            service.port.protocol
        ),
    }
}
