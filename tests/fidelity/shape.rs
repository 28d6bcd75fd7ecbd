//! A shape: objects, and the dials to make. What becomes of them is not in it, but predicted and
//! measured.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;

use serde::Deserialize;
use serde_json::{Value, json};
use tunnelguard::mesh::simulation::IstioVersion;
use tunnelguard::mesh::{Dial, Speech};
use tunnelguard::policy::PolicySet;

use crate::harness::repository;
use crate::lab::{Allocated, Application, Family};

/// One file of `shapes/`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Shape {
    /// The file's name.
    #[serde(skip)]
    pub(crate) name: String,
    /// What it is about: the comment that the file begins with.
    #[serde(skip)]
    pub(crate) about: String,
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
    /// What is declared, as in a policy, where that is not [`PROXY`].
    proxies: Option<Value>,
}

/// Where the proxy is that is declared unless a shape says otherwise. Whatever else is dialled is
/// somebody else's.
const PROXY: [&str; 2] = ["10.20.0.5", "fd00:20::5"];

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
                shape.about = about(&text);
                shape
            })
            .collect();
        shapes.sort_by(|one, other| one.name.cmp(&other.name));
        shapes
    }

    /// The policy that declares its proxies, which repairs what it can.
    pub(crate) fn policies(&self) -> PolicySet {
        let addresses = PROXY.into_iter().filter(|address| self.is_dialled(address));
        let addresses: Vec<&str> = addresses.collect();
        let default = json!([{
            "name": "corp", "hosts": ["my-company-proxy.com"], "addresses": addresses,
            "ports": [3128, 8080, 8443],
        }]);
        let policy = json!({
            "apiVersion": "tunnelguard.dev/v1alpha1", "kind": "ConnectProxyPolicy",
            "metadata": {"name": "corporate"},
            "spec": {"mode": "Mutate", "proxies": self.proxies.clone().unwrap_or(default)},
        });
        let policy = serde_json::from_value(policy).expect("a policy");
        PolicySet::compile(&[policy]).expect("a policy")
    }

    /// Whether dials are made of the address's family, of which IPv4 is the usual one.
    fn is_dialled(&self, address: &str) -> bool {
        let is_v6 = |address: &str| address.matches(':').count() > 1;
        let mut dials = self.dials.iter().map(|dial| is_v6(&dial.to));
        dials.any(|dialled| dialled == is_v6(address)) || (self.dials.is_empty() && !is_v6(address))
    }

    /// Whether it is for that version.
    pub(crate) fn is_for(&self, version: IstioVersion) -> bool {
        let only = self.istio.as_ref();
        only.is_none_or(|only| only.parse() == Ok(version))
    }

    /// Whether it is for one version alone.
    pub(crate) fn is_for_one(&self) -> bool {
        self.istio.is_some()
    }

    /// The hosts that are dialled at the addresses that istiod allocates to them, each with the namespace of
    /// the client if that has an entry of its own of the host: that one's address is meant then.
    pub(crate) fn named(&self) -> impl Iterator<Item = (Option<Box<str>>, &str)> {
        let dials = self.dials.iter();
        let named = dials.filter(|dialled| dialled.to.parse::<SocketAddr>().is_err());
        named.map(|dialled| {
            let (host, namespace) = (dialled.target().0, dialled.namespace());
            let own = self.objects.iter().any(|object| {
                let hosts = object["spec"]["hosts"].as_array();
                object["metadata"]["namespace"] == *namespace
                    && hosts.is_some_and(|hosts| hosts.iter().any(|one| one == host))
            });
            (own.then_some(namespace), host)
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
        let own = self.namespace();
        let of_host = |one: &&Allocated| one.host == host && one.address.is_ipv4();
        let of_host = allocated.iter().filter(of_host);
        let found = of_host.min_by_key(|one| *one.namespace != *own);
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

/// The comment at the top, in one line.
fn about(text: &str) -> String {
    let lines = text.lines().map_while(|line| line.strip_prefix('#'));
    lines.map(str::trim).collect::<Vec<_>>().join(" ")
}
