//! The Sidecar: what of the mesh it shows the clients that it is for, on which ports,
//! and what becomes of the rest.
//!
//! `networking.istio.io` v1, v1beta1 and v1alpha3 share one schema.

mod import;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use serde_json::Value;

use crate::mesh::field::Field;
use crate::mesh::labels::{self, Labels};
use crate::mesh::lenient::Problem;
use crate::mesh::line::{OBJECT_CHARACTERS, one_line};
use crate::mesh::object::{Metadata, is_of_istio};
use crate::mesh::protocol::Protocol;
use crate::mesh::service_entry::ServiceEntry;
use crate::mesh::simulation::OutboundPolicy;

pub use import::Import;

/// Whether an `apiVersion` and `kind` are those of a Sidecar, in any version.
pub fn is_sidecar(api_version: &str, kind: &str) -> bool {
    is_of_istio(api_version, kind, "Sidecar")
}

/// A Sidecar as the simulation sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sidecar {
    /// `metadata.namespace`; `default` where it is absent.
    pub namespace: Box<str>,
    /// `metadata.name`.
    pub name: Box<str>,
    /// `metadata.creationTimestamp` in seconds since 1970.
    pub created: Option<i64>,
    /// `spec.workloadSelector.labels`; `None` where it is for every workload.
    pub selector: Option<Labels>,
    /// `spec.egress`; where it is absent one listener that shows everything.
    pub egress: Vec<Egress>,
    /// `spec.outboundTrafficPolicy`; `None` where the mesh's holds.
    pub outbound: Option<Outbound>,
}

/// `spec.outboundTrafficPolicy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbound {
    /// `mode`; REGISTRY_ONLY where it is absent, the first value of the enumeration.
    pub policy: OutboundPolicy,
    /// `egressProxy`, as `host:port`: where what nobody declares is sent.
    pub egress_proxy: Option<Box<str>>,
}

/// One listener of `spec.egress`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Egress {
    /// `port`: it then is for that port alone, and no other egress listener adds to what it makes.
    pub port: Option<EgressPort>,
    /// Where it listens, if not where its services do.
    pub bind: Option<EgressBind>,
    /// `hosts`: what it shows.
    pub hosts: Vec<Import>,
}

/// `port` of an egress listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EgressPort {
    /// `number`.
    pub number: u16,
    /// `protocol`: it holds in place of the services' own.
    pub protocol: Protocol,
}

/// `bind` and `captureMode` of an egress listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EgressBind {
    /// On this address.
    At(IpAddr),
    /// On a Unix socket: nobody dials it by IP.
    Socket,
}

impl Sidecar {
    /// Reads an object of that kind.
    ///
    /// # Errors
    /// The first field of the wrong type.
    pub fn read(object: &Value) -> Result<Self, Problem> {
        let object = Field::of(object);
        let Metadata {
            namespace,
            name,
            created,
        } = Metadata::of(&object)?;
        let spec = object.get("spec")?;
        let egress = spec.get("egress")?;
        let egress = egress.items()?.map(|listener| Egress::read(&listener));
        let mut egress: Vec<Egress> = egress.collect::<Result<_, _>>()?;
        if egress.is_empty() {
            egress.push(Egress::of_everything());
        }
        Ok(Self {
            namespace: namespace.into(),
            name: name.into(),
            created,
            selector: labels::read_selector(&spec.get("workloadSelector")?, "labels")?,
            egress,
            outbound: spec.get("outboundTrafficPolicy")?.read(Outbound::read)?,
        })
    }

    /// `Sidecar namespace/name`.
    pub(crate) fn called(&self) -> String {
        let name = format!("Sidecar {}/{}", self.namespace, self.name);
        one_line(&name, OBJECT_CHARACTERS)
    }

    /// The ports that have an egress listener of their own.
    pub(crate) fn ports(&self) -> impl Iterator<Item = u16> {
        let ports = self.egress.iter().filter_map(|egress| egress.port);
        ports.map(|port| port.number)
    }

    /// Those of them on which its clients' sidecars parse HTTP.
    pub(crate) fn parsed_ports(&self) -> impl Iterator<Item = u16> {
        let ports = self.egress.iter().filter_map(|egress| egress.port);
        let parsed = ports.filter(|port| port.protocol.is_http() || port.protocol.is_sniffed());
        parsed.map(|port| port.number)
    }
}

impl Outbound {
    fn read(outbound: &Field<'_, '_>) -> Result<Self, Problem> {
        let policy = match outbound.get("mode")?.text()? {
            Some("ALLOW_ANY") => OutboundPolicy::AllowAny,
            _ => OutboundPolicy::RegistryOnly,
        };
        let proxy = outbound.get("egressProxy")?;
        let port = proxy.get("port")?.get("number")?.port()?.unwrap_or(0);
        let host = proxy.get("host")?.text()?;
        Ok(Self {
            policy,
            egress_proxy: host.map(|host| format!("{host}:{port}").into()),
        })
    }
}

impl Egress {
    fn read(egress: &Field<'_, '_>) -> Result<Self, Problem> {
        let hosts = egress.get("hosts")?.texts()?.into_iter();
        Ok(Self {
            port: EgressPort::read(&egress.get("port")?)?,
            bind: EgressBind::read(egress)?,
            hosts: hosts.filter_map(Import::read).collect(),
        })
    }

    fn of_everything() -> Self {
        Self {
            port: None,
            bind: None,
            hosts: Import::read("*/*").into_iter().collect(),
        }
    }

    /// Whether it shows a client in `client` a host of an entry, by `selectServices` in
    /// `pilot/pkg/model/sidecar.go`. What hides does so since Istio 1.31 (`hiding`).
    pub(crate) fn imports(
        &self,
        entry: &ServiceEntry,
        host: &str,
        client: &str,
        hiding: bool,
    ) -> bool {
        let shows = || {
            let mut shown = self.hosts.iter().filter(|import| !import.hides);
            shown.any(|import| import.covers(entry, host, client))
        };
        let hides = || self.hiding(entry, host, client).next().is_some();
        self.has_port_of(entry) && !(hiding && hides()) && shows()
    }

    /// What hides a host of an entry from a client in `client`.
    pub(crate) fn hiding(
        &self,
        entry: &ServiceEntry,
        host: &str,
        client: &str,
    ) -> impl Iterator<Item = &Import> {
        let hiding = self.hosts.iter().filter(|import| import.hides);
        hiding.filter(move |import| import.covers(entry, host, client))
    }

    /// Whether an entry has the port, where only that counts. Not with HTTP_PROXY, which serves every
    /// port (`needsPortMatch` in `pilot/pkg/model/sidecar.go`).
    fn has_port_of(&self, entry: &ServiceEntry) -> bool {
        let wanted = self.matched_port();
        wanted.is_none_or(|number| entry.port(number).is_some())
    }

    /// The only port of a service that it takes, if it does not take all.
    pub(crate) fn matched_port(&self) -> Option<u16> {
        let port = self
            .port
            .filter(|port| port.protocol != Protocol::HttpProxy);
        port.map(|port| port.number)
    }

    /// Whether what it shows may listen on an address: where it says itself, that may be another.
    pub(crate) fn may_listen_on(&self, address: IpAddr) -> bool {
        match self.bind {
            None => true,
            Some(EgressBind::At(ip)) => ip == address || ip.is_unspecified(),
            Some(EgressBind::Socket) => false,
        }
    }

    /// Whether it leaves the ports to what it shows, and may listen on an address.
    pub(crate) fn may_show_at(&self, address: IpAddr) -> bool {
        self.port.is_none() && self.may_listen_on(address)
    }

    /// Whether each host that it shows is named, be it any namespace's.
    pub(crate) fn shows_exact_hosts(&self) -> bool {
        let mut hosts = self.shown_hosts();
        hosts.all(|host| !host.starts_with('*'))
    }

    /// The hosts that it shows, or the wildcards.
    pub(crate) fn shown_hosts(&self) -> impl Iterator<Item = &str> {
        self.shown().map(|(_, host)| host)
    }

    /// What it shows: namespaces as they are written, each with a host or a wildcard.
    pub(crate) fn shown(&self) -> impl Iterator<Item = (&str, &str)> {
        let shown = self.hosts.iter().filter(|import| !import.hides);
        shown.map(|import| (&*import.namespace, &*import.host))
    }

    /// Whether it shows whatever is exported to the client.
    pub(crate) fn shows_everything(&self) -> bool {
        let is_narrowed = self.hosts.iter().any(|import| import.hides);
        !is_narrowed && self.bind.is_none() && self.shown().any(|shown| shown == ("*", "*"))
    }

    /// The namespaces of which it shows anything to a client in `client`; `None` where that may be any.
    pub(crate) fn shown_namespaces<'a>(&'a self, client: &'a str) -> Option<BTreeSet<&'a str>> {
        let namespaces = self.shown().map(|(namespace, _)| match namespace {
            "*" => None,
            "." => Some(client),
            own => Some(own),
        });
        namespaces.collect()
    }

    /// Whether it names each host that it shows, with its namespace.
    pub(crate) fn names_each_host(&self) -> bool {
        let mut shown = self.shown();
        shown.all(|(namespace, host)| !host.starts_with('*') && namespace != "*")
    }
}

impl EgressPort {
    fn read(port: &Field<'_, '_>) -> Result<Option<Self>, Problem> {
        let protocol = Protocol::parse(port.get("protocol")?.text()?);
        let number = port.get("number")?.port()?;
        Ok(number.map(|number| Self { number, protocol }))
    }
}

impl EgressBind {
    /// An IP where one is given; the loopback address where nothing is captured.
    fn read(egress: &Field<'_, '_>) -> Result<Option<Self>, Problem> {
        let captured = egress.get("captureMode")?.text()? != Some("NONE");
        let bind = egress.get("bind")?.text()?.unwrap_or_default();
        Ok(match bind.parse() {
            Ok(ip) => Some(Self::At(ip)),
            Err(_) if !bind.is_empty() => Some(Self::Socket),
            Err(_) if captured => None,
            Err(_) => Some(Self::At(IpAddr::V4(Ipv4Addr::LOCALHOST))),
        })
    }
}
