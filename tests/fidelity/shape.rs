//! A shape: objects, and the dials to make. What becomes of them is not in it, but predicted and
//! measured.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;

use serde::Deserialize;
use serde_json::Value;
use tunnelguard::mesh::simulation::IstioVersion;
use tunnelguard::mesh::{Dial, Speech};

use crate::harness::repository;
use crate::lab::{Allocated, Application, Family};

/// One file of `shapes/`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Shape {
    /// The file's name.
    #[serde(skip)]
    pub(crate) name: String,
    /// The only version of Istio that knows what it holds, if not every one does.
    istio: Option<String>,
    /// Whether applications ask their sidecars for names, so that entries get addresses allocated.
    #[serde(default)]
    pub(crate) dns_capture: bool,
    /// Whether they are created without waiting for the clock, so that other things than age decide.
    #[serde(default)]
    pub(crate) in_one_second: bool,
    /// In the order in which they are created.
    pub(crate) objects: Vec<Value>,
    dials: Vec<Dialled>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Dialled {
    /// `IP:port`, or `host:port` for the address that istiod allocated to the host.
    to: Box<str>,
    /// The application's namespace.
    from: Option<Box<str>>,
    /// Its labels, by which Sidecars and DestinationRules select it.
    #[serde(default)]
    labels: BTreeMap<Box<str>, Box<str>>,
    #[serde(default)]
    speaks: Speaks,
    /// What a TLS client asks for.
    server_name: Option<Box<str>>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
enum Speaks {
    #[default]
    #[serde(rename = "HTTP/1.1")]
    Http11,
    #[serde(rename = "HTTP/1.0")]
    Http10,
    #[serde(rename = "TLS")]
    Tls,
}

impl Shape {
    /// All of them, by name.
    ///
    /// # Panics
    /// If a file is none.
    pub(crate) fn all() -> Vec<Self> {
        let files = fs::read_dir(repository("tests/fidelity/shapes")).expect("shapes");
        let mut shapes: Vec<Self> = files
            .map(|file| {
                let path = file.expect("a file").path();
                let text = fs::read_to_string(&path).expect("a file");
                let shape = serde_saphyr::from_str::<Self>(&text);
                let mut shape = shape.unwrap_or_else(|error| panic!("{path:?}: {error}"));
                let name = path.file_stem().expect("a name");
                shape.name = name.to_string_lossy().into_owned();
                shape
            })
            .collect();
        shapes.sort_by(|one, other| one.name.cmp(&other.name));
        shapes
    }

    /// Whether it is for that version.
    pub(crate) fn is_for(&self, version: IstioVersion) -> bool {
        let only = self.istio.as_ref();
        only.is_none_or(|only| only.parse() == Ok(version))
    }

    /// The hosts that are dialled at the addresses that istiod allocates to them.
    pub(crate) fn named(&self) -> impl Iterator<Item = &str> {
        let dials = self.dials.iter();
        dials.filter_map(|dialled| match dialled.to.parse::<SocketAddr>() {
            Ok(_) => None,
            Err(_) => Some(dialled.target().0),
        })
    }

    /// The dials, each with who makes it, those of one application together.
    pub(crate) fn dials(&self, allocated: &[Allocated]) -> Vec<(Application, Dial)> {
        let dials = self.dials.iter();
        let mut dials: Vec<_> = dials
            .map(|dialled| {
                let dial = dialled.dial(allocated);
                let application = Application {
                    namespace: dial.namespace.clone(),
                    labels: dialled.labels.clone(),
                    family: Family::of(dial.address),
                    dns_capture: self.dns_capture,
                };
                (application, dial)
            })
            .collect();
        dials.sort_by(|(one, _), (other, _)| one.cmp(other));
        dials
    }
}

impl Dialled {
    fn target(&self) -> (&str, u16) {
        let (host, port) = self.to.rsplit_once(':').expect("a port");
        (host, port.parse().expect("a port"))
    }

    fn address(&self, allocated: &[Allocated]) -> SocketAddr {
        if let Ok(address) = self.to.parse() {
            return address;
        }
        let (host, port) = self.target();
        let mut allocated = allocated.iter();
        let found = allocated.find(|one| one.host == host && one.address.is_ipv4());
        SocketAddr::new(found.expect("it was waited for").address, port)
    }

    fn namespace(&self) -> Box<str> {
        self.from.clone().unwrap_or_else(|| "default".into())
    }

    fn dial(&self, allocated: &[Allocated]) -> Dial {
        let to = self.address(allocated);
        Dial {
            namespace: self.namespace(),
            labels: Some(self.labels.clone()),
            address: to.ip(),
            port: to.port(),
            speech: match self.speaks {
                Speaks::Http11 => Speech::Connect,
                Speaks::Http10 => Speech::ConnectHttp10,
                Speaks::Tls => Speech::Tls(self.server_name.clone()),
            },
        }
    }
}
