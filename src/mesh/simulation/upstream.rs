//! What a cluster does to the bytes that it forwards: what a DestinationRule says of its host.
//!
//! Which rule a client goes by follows `destinationRule` in `pilot/pkg/model/push_context.go`: one in
//! the client's namespace, else one exported from the service's, else one from the root namespace; in
//! each the one with the most specific host.

use crate::mesh::destination_rule::DestinationRule;
use crate::mesh::labels::{Labels, selects};
use crate::mesh::line::{OBJECT_CHARACTERS, one_line};
use crate::mesh::protocol::Protocol;
use crate::mesh::view::Mesh;

use super::{Environment, Outcome};

/// What happens to the bytes on their way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upstream<'a> {
    /// Nothing.
    Untouched,
    /// They leave inside TLS.
    Tls(&'a DestinationRule),
    /// They leave inside a CONNECT that the sidecar makes, and end where that leads.
    Tunnel(&'a DestinationRule, &'a str),
    /// They would, but the cluster has no protocol of its own to make it with: closed.
    NoTunnel(&'a DestinationRule),
    /// It depends on the client's labels.
    Undecided(&'a DestinationRule),
}

/// A cluster, as one client dials it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Destination<'q> {
    pub(crate) host: &'q str,
    /// The namespace of the object that declares the host.
    pub(crate) namespace: &'q str,
    pub(crate) port: u16,
    /// The client's namespace.
    pub(crate) client: &'q str,
    /// The client's labels, where they are known.
    pub(crate) labels: Option<&'q Labels>,
}

impl<'a> Upstream<'a> {
    /// What happens on the way to a destination.
    pub(crate) fn of(
        mesh: &'a dyn Mesh,
        destination: Destination<'_>,
        environment: &Environment<'_>,
    ) -> Self {
        let rules = rules(mesh, destination, environment.root_namespace());
        let (mut selecting, mut others): (Vec<_>, Vec<_>) =
            rules.into_iter().partition(|rule| rule.selector.is_some());
        // Of several rules of one host the older's policy holds (`mergeDestinationRule`).
        others.sort_by_key(|rule| (rule.created.is_none(), rule.created));
        let port = destination.port;
        let by_default = others.iter().find(|rule| rule.traffic_policy.is_some());
        let by_default = by_default.map_or(Self::Untouched, |rule| Self::by(rule, port));
        selecting.sort_by_key(|rule| (rule.created.is_none(), rule.created));
        let mut selecting = selecting.into_iter();
        let Some(labels) = destination.labels else {
            let odd = selecting.find(|rule| !Self::by(rule, port).is_like(by_default));
            return odd.map_or(by_default, Self::Undecided);
        };
        let own = selecting.find(|rule| rule.selector.iter().any(|own| selects(own, labels)));
        own.map_or(by_default, |rule| Self::by(rule, port))
    }

    /// What becomes of a dial that ends, by what the cluster leads to, in `outcome`.
    pub(crate) fn outcome(self, outcome: Outcome) -> Outcome {
        match (self, outcome) {
            (Self::Tls(_), Outcome::Tunnel) => Outcome::Wrapped,
            // A CONNECT inside another one: the proxy takes the sidecar's, and the application's is
            // for whoever is at the far end.
            (Self::Tunnel(..), Outcome::Tunnel) => Outcome::Hijacked,
            (Self::NoTunnel(_), _) => Outcome::NoEndpoints,
            (Self::Undecided(_), Outcome::Tunnel) => Outcome::Unknown,
            _ => outcome,
        }
    }

    /// The same for a port of a protocol. The cluster of a sniffed port takes over the one that arrives
    /// (`use_downstream_protocol_config`), and what its TCP proxy gets has none: measured on both ends of the
    /// version range.
    pub(crate) fn on_port(self, protocol: Protocol) -> Self {
        match self {
            Self::Tunnel(rule, _) if protocol.is_sniffed() => Self::NoTunnel(rule),
            _ => self,
        }
    }

    fn by(rule: &'a DestinationRule, port: u16) -> Self {
        match &rule.traffic_policy {
            Some(policy) => match &policy.tunnel {
                Some(target) => Self::Tunnel(rule, target),
                None if policy.adds_tls(port) => Self::Tls(rule),
                None => Self::Untouched,
            },
            None => Self::Untouched,
        }
    }

    /// What is done, as a step of the way; empty for nothing.
    pub(super) fn step(self) -> String {
        match self {
            Self::Untouched => String::new(),
            Self::Tls(rule) => format!(", in TLS because of {}", rule.called()),
            Self::Tunnel(rule, target) => {
                format!(
                    ", in a CONNECT of the sidecar's to {} because of {}",
                    one_line(target, OBJECT_CHARACTERS),
                    rule.called()
                )
            }
            Self::NoTunnel(rule) => format!(
                ", which cannot make the CONNECT that {} asks for",
                rule.called()
            ),
            Self::Undecided(rule) => {
                format!(", for some clients changed because of {}", rule.called())
            }
        }
    }

    /// What is done to bytes that would otherwise reach the address dialled, as a clause.
    pub(super) fn reason(self) -> Option<String> {
        match self {
            Self::Untouched => None,
            Self::Tls(rule) => Some(format!("and {} puts the bytes into TLS", rule.called())),
            Self::Tunnel(rule, target) => {
                let rule = rule.called();
                let target = one_line(target, OBJECT_CHARACTERS);
                Some(format!(
                    "and {rule} sends the bytes on to {target} in a CONNECT of the sidecar's own, so it is not the proxy that reads them"
                ))
            }
            Self::NoTunnel(rule) => {
                let rule = rule.called();
                Some(format!(
                    "and {rule} has the sidecar make a CONNECT, for which a port without a protocol gives it none, so Envoy closes the connection"
                ))
            }
            Self::Undecided(rule) => {
                let rule = rule.called();
                Some(format!(
                    "and {rule} says what becomes of the bytes for the clients that it selects"
                ))
            }
        }
    }

    fn is_like(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

/// Whether a DestinationRule makes the sidecars of a namespace send a CONNECT of their own to `host`.
pub fn is_tunnelled(
    mesh: &dyn Mesh,
    host: &str,
    namespace: &str,
    environment: &Environment<'_>,
) -> bool {
    let destination = Destination {
        host,
        namespace,
        port: 0,
        client: namespace,
        labels: None,
    };
    matches!(
        Upstream::of(mesh, destination, environment),
        Upstream::Tunnel(..)
    )
}

/// The rules that a client may go by, all of one host and one namespace.
fn rules<'a>(
    mesh: &'a dyn Mesh,
    destination: Destination<'_>,
    root: &str,
) -> Vec<&'a DestinationRule> {
    let Destination {
        host,
        namespace,
        client,
        ..
    } = destination;
    let local = mesh.others().destination_rules(client, host).into_iter();
    // What the root namespace exports is meant for all, and comes last for its own clients, too.
    let local = local.filter(|rule| match client == root {
        true => rule.is_private(),
        false => rule.is_local(),
    });
    let found = most_specific(local);
    if !found.is_empty() {
        return found;
    }
    for namespace in [namespace, root] {
        let shared = mesh.others().destination_rules(namespace, host).into_iter();
        let mut found = most_specific(shared.filter(|rule| !rule.is_private()));
        found.retain(|rule| rule.is_exported_to(client));
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

/// Of rules whose hosts cover one host those with the longest.
fn most_specific<'a>(rules: impl Iterator<Item = &'a DestinationRule>) -> Vec<&'a DestinationRule> {
    let mut found: Vec<&DestinationRule> = rules.collect();
    // A host covers itself, and no wildcard that covers it is as long.
    let longest = found.iter().map(|rule| (rule.host.len(), &rule.host)).max();
    if let Some((_, longest)) = longest {
        let longest = longest.clone();
        found.retain(|rule| rule.host == longest);
    }
    found
}
