//! Which dials are made of a shape.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tunnelguard::mesh::address::Address;
use tunnelguard::mesh::{Dial, MeshView, ServiceEntry, Speech};

use super::Comparison;
use crate::lab::{Application, Family};

/// An address that no object names, for all others that none does, of either family.
const NOBODY: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 99, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x99, 0, 0, 0, 0, 0, 1)),
];

/// A namespace that holds no object, for all others that do not.
const UNRELATED: &str = "elsewhere";

impl Comparison<'_> {
    /// The shape's dials, and those that findings and repairs speak of: each declared proxy on each of
    /// its ports, whatever an entry lists on such a port, and an address that nobody lists.
    pub(super) fn dials(&self, mesh: &MeshView) -> Vec<(Application, Dial)> {
        let mut dials = self.own_dials();
        let mut clients: Vec<Application> =
            dials.iter().map(|(client, _)| client.clone()).collect();
        if self.is_seen_differently(mesh) {
            let like = clients.first().cloned().unwrap_or_default();
            let homes = mesh.entries().map(|entry| &*entry.namespace);
            let shown = mesh.entries().flat_map(|entry| &entry.export_to);
            let shown = shown
                .map(|to| &**to)
                .filter(|to| !["*", ".", "~"].contains(to));
            let namespaces = homes.chain(shown).chain([UNRELATED]);
            clients.extend(namespaces.map(|namespace| Application {
                namespace: namespace.into(),
                labels: BTreeMap::new(),
                ..like.clone()
            }));
        }
        if clients.is_empty() {
            clients.push(Application::default());
        }
        clients.sort();
        clients.dedup();
        for client in clients {
            for (address, port, speech) in self.targets(mesh) {
                let dial = Dial {
                    namespace: client.namespace.clone(),
                    labels: Some(client.labels.clone()),
                    address,
                    port,
                    speech,
                };
                let is_known = dials.iter().any(|(_, known)| *known == dial);
                if !is_known && Family::of(address) == client.family {
                    dials.push((client.clone(), dial));
                }
            }
        }
        dials.sort_by(|(one, _), (other, _)| one.cmp(other));
        dials
    }

    fn targets(&self, mesh: &MeshView) -> Vec<(IpAddr, u16, Speech)> {
        let mut targets = Vec::new();
        for proxy in self.policies.proxies.all() {
            let speech = match proxy.tls {
                true => Speech::Tls(proxy.server_name().map(Into::into)),
                false => Speech::Connect,
            };
            for port in &proxy.ports {
                let declared = proxy.single_addresses();
                targets.extend(declared.map(|address| (address, *port, speech.clone())));
                let entries = mesh.entries().filter(|entry| entry.port(*port).is_some());
                for address in entries.flat_map(listed) {
                    targets.push((address, *port, Speech::Connect));
                }
            }
        }
        targets
    }

    /// Whether what a client sees can depend on its namespace.
    fn is_seen_differently(&self, mesh: &MeshView) -> bool {
        let mut objects = self.shape.objects.iter();
        let namespaces: BTreeSet<&str> = mesh.entries().map(|entry| &*entry.namespace).collect();
        namespaces.len() > 1
            || mesh.entries().any(|entry| !entry.is_public())
            || objects.any(|object| object["kind"] == "Sidecar")
    }
}

/// What an entry lists, and somebody whom it does not: of a range, its first host.
pub(super) fn listed(entry: &ServiceEntry) -> impl Iterator<Item = IpAddr> {
    let addresses = entry.addresses.iter();
    let addresses = addresses.filter_map(|written| match written.address {
        Address::Range(net) => net.hosts().next(),
        other => other.usable(),
    });
    // Those that the lab's network has.
    let ours = |address: &IpAddr| match address {
        IpAddr::V4(v4) => v4.octets()[0] == 10,
        IpAddr::V6(v6) => v6.segments()[0] == 0xfd00,
    };
    addresses.filter(ours).chain(NOBODY)
}

pub(super) fn shown(dial: &Dial) -> String {
    let Dial {
        namespace,
        address,
        port,
        speech,
        labels,
    } = dial;
    let speech = match speech {
        Speech::Connect => "CONNECT".to_owned(),
        Speech::ConnectHttp10 => "CONNECT HTTP/1.0".to_owned(),
        Speech::Tls(name) => format!("TLS {}", name.as_deref().unwrap_or("without a name")),
    };
    let labels = labels.iter().flatten();
    let labels: String = labels
        .map(|(key, value)| format!(" {key}={value}"))
        .collect();
    format!("{speech} to {address} port {port} from {namespace}{labels}")
}
