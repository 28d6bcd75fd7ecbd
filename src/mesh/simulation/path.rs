//! A dial's way through the sidecar, step by step.

use crate::mesh::line::{VALUE_CHARACTERS, quoted, shown};
use crate::mesh::protocol::Protocol;
use crate::mesh::service_entry::Registry;

use super::cluster::Target;
use super::prediction::{End, ListenerKind, Trail, Way};
use super::service::Service;
use super::upstream::Upstream;
use super::words::{HOST_CHARACTERS, endpoints_in_words, entry_name, host_of, socket};
use super::{Dial, Environment, Outcome, Prediction, Speech, kubernetes};

impl Prediction<'_> {
    /// The way through the sidecar, one step a line, from the application to where it ends.
    pub fn path(&self, dial: &Dial, environment: &Environment<'_>) -> Vec<String> {
        let spoken = match &dial.speech {
            Speech::Connect => "CONNECT, in plain text".to_owned(),
            Speech::ConnectHttp10 => "CONNECT with HTTP/1.0, in plain text".to_owned(),
            Speech::Tls(Some(name)) => format!("TLS, server name {name}"),
            Speech::Tls(None) => "TLS, no server name".to_owned(),
        };
        let mut from = format!("application in namespace {}", dial.namespace);
        if let Some(sidecar) = self.sidecar() {
            from.push_str(&format!(", which sees what {} shows", sidecar.called()));
        }
        let mut path = vec![from, format!("dials {} ({spoken})", dial.target())];
        let Trail::Way(way) = &self.trail else {
            path.push(format!("cannot be told: {}", self.why(dial, environment)));
            return path;
        };
        path.push(way.listener_step(dial));
        path.push(way.chain_step());
        path.push(way.end_step(self.outcome, dial));
        path
    }
}

impl Way<'_> {
    fn listener_step(&self, dial: &Dial) -> String {
        let wildcard = if dial.address.is_ipv4() {
            "0.0.0.0"
        } else {
            "::"
        };
        match self.listener {
            ListenerKind::Exact => {
                format!("listener {}_{} (exact address)", dial.address, dial.port)
            }
            ListenerKind::Wildcard => {
                format!(
                    "listener {wildcard}_{} (no listener for the address itself)",
                    dial.port
                )
            }
            ListenerKind::CatchAll => {
                format!(
                    "listener virtualOutbound (no listener on port {})",
                    dial.port
                )
            }
        }
    }

    fn chain_step(&self) -> String {
        let of_egress = |service: &Service<'_>| {
            let sidecar = self.sidecar.filter(|_| service.egress.is_some());
            sidecar.map_or(String::new(), |sidecar| {
                format!(", on an egress listener of {}", sidecar.called())
            })
        };
        match &self.end {
            End::Http(Some(service)) => format!(
                "HTTP filter chain, because of {} ({}){}",
                entry_name(service.entry),
                protocol_of(service),
                of_egress(service)
            ),
            End::Http(None) => "HTTP filter chain of the catch-all listener".to_owned(),
            End::Cluster(service, ..) => format!(
                "TCP filter chain, because of {} ({}){}",
                entry_name(service.entry),
                protocol_of(service),
                of_egress(service)
            ),
            End::Fallthrough => format!("no filter chain of an entry: {}", self.outbound),
        }
    }

    fn end_step(&self, outcome: Outcome, dial: &Dial) -> String {
        match (&self.end, outcome) {
            (End::Http(_), _) => match dial.speech {
                Speech::Tls(_) => "the TLS handshake is parsed as HTTP: closed".to_owned(),
                _ => "no route matches a CONNECT: 404, server: envoy".to_owned(),
            },
            (End::Cluster(service, target, upstream), _) => {
                let cluster = format!(
                    "cluster outbound|{}||{}{}",
                    service.port.number,
                    host_of(service),
                    upstream.step()
                );
                match target {
                    _ if matches!(upstream, Upstream::NoTunnel(_)) => format!("{cluster}: closed"),
                    Target::Dialled => format!("{cluster}: forwarded to {}", dial.target()),
                    Target::Selected => format!("{cluster}: forwarded to pods, or closed"),
                    Target::Port(port) => {
                        format!("{cluster}: forwarded to {}", socket(dial.address, *port))
                    }
                    Target::Elsewhere(endpoints) => {
                        format!("{cluster}: forwarded to {}", endpoints_in_words(endpoints))
                    }
                    Target::Behind(endpoints) => {
                        let endpoints = kubernetes::endpoints(endpoints);
                        format!("{cluster}: forwarded to {endpoints}")
                    }
                    Target::Contested | Target::Refused | Target::Unresolved(_) => {
                        format!("{cluster}: cannot be told")
                    }
                    Target::Empty => format!("{cluster}: no endpoint, closed"),
                    Target::Missing | Target::NotDynamic => {
                        format!("{cluster}: does not exist, closed")
                    }
                }
            }
            (End::Fallthrough, Outcome::BlackHole) => "BlackHoleCluster: closed".to_owned(),
            (End::Fallthrough, _) => match self.egress_proxy() {
                Some(proxy) => format!("egressProxy {}", shown(proxy, HOST_CHARACTERS)),
                None => format!("PassthroughCluster: forwarded to {}", dial.target()),
            },
        }
    }
}

fn protocol_of(service: &Service<'_>) -> String {
    let port = service.port;
    if let Some(egress) = service.egress {
        return format!("port {}, {}", egress.number, egress.protocol);
    }
    if service.entry.registry == Registry::Kubernetes {
        return kubernetes::port_in_words(port);
    }
    match (&port.protocol_text, port.protocol) {
        (Some(text), Protocol::Unknown) => {
            let text = quoted(text, VALUE_CHARACTERS);
            format!("port {}, protocol {text}", port.number)
        }
        (_, protocol) => format!("port {}, {protocol}", port.number),
    }
}
