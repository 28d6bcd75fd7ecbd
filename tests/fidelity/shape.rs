//! A shape: objects, and the dials to make. What becomes of them is not in it, but predicted and
//! measured.

use std::fs;
use std::net::SocketAddr;

use serde::Deserialize;
use serde_json::Value;
use tunnelguard::mesh::simulation::IstioVersion;
use tunnelguard::mesh::{Dial, Speech};

use crate::harness::repository;

/// One file of `shapes/`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shape {
    /// The file's name.
    #[serde(skip)]
    pub(crate) name: String,
    /// The only version of Istio that knows what it holds, if not every one does.
    istio: Option<String>,
    /// In the order in which they are created.
    pub(crate) objects: Vec<Value>,
    dials: Vec<Dialled>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Dialled {
    to: SocketAddr,
    /// The application's namespace.
    from: Option<Box<str>>,
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

    /// The dials, those of a namespace together.
    pub(crate) fn dials(&self) -> Vec<Dial> {
        let mut dials: Vec<Dial> = self.dials.iter().map(Dialled::dial).collect();
        dials.sort_by(|one, other| one.namespace.cmp(&other.namespace));
        dials
    }
}

impl Dialled {
    fn dial(&self) -> Dial {
        Dial {
            namespace: self.from.clone().unwrap_or_else(|| "default".into()),
            labels: None,
            address: self.to.ip(),
            port: self.to.port(),
            speech: match self.speaks {
                Speaks::Http11 => Speech::Connect,
                Speaks::Http10 => Speech::ConnectHttp10,
                Speaks::Tls => Speech::Tls(self.server_name.clone()),
            },
        }
    }
}
