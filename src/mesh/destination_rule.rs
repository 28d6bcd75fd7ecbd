//! The DestinationRule: what it does to the bytes that a sidecar forwards.
//!
//! `networking.istio.io` v1, v1beta1 and v1alpha3 share one schema.

use serde_json::Value;

use super::field::Field;
use super::labels::{self, Labels};
use super::lenient::Problem;
use super::line::{OBJECT_CHARACTERS, one_line};
use super::object::{Metadata, is_of_istio};

/// Whether an `apiVersion` and `kind` are those of a DestinationRule, in any version.
pub fn is_destination_rule(api_version: &str, kind: &str) -> bool {
    is_of_istio(api_version, kind, "DestinationRule")
}

/// A DestinationRule as the simulation sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationRule {
    /// `metadata.namespace`; `default` where it is absent.
    pub namespace: Box<str>,
    /// `metadata.name`.
    pub name: Box<str>,
    /// `metadata.creationTimestamp` in seconds since 1970.
    pub created: Option<i64>,
    /// `spec.host`; a short name is completed to the Service's in the rule's namespace
    /// (`ResolveShortnameToFQDN` in `pilot/pkg/model/virtualservice.go`).
    pub host: Box<str>,
    /// `spec.workloadSelector.matchLabels`: where it is set it holds for these clients of its namespace.
    pub selector: Option<Labels>,
    /// `spec.exportTo`.
    pub export_to: Vec<Box<str>>,
    /// `spec.trafficPolicy`.
    pub traffic_policy: Option<TrafficPolicy>,
}

/// What of `spec.trafficPolicy` a CONNECT notices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrafficPolicy {
    /// Whether `tls.mode` is SIMPLE, MUTUAL or ISTIO_MUTUAL.
    tls: bool,
    /// Where `tunnel` leads, as `host:port`: the sidecar makes a CONNECT of its own there.
    pub tunnel: Option<Box<str>>,
    /// The same as `tls` for each port of `portLevelSettings`.
    ports: Vec<(u16, bool)>,
}

impl TrafficPolicy {
    /// Whether what is forwarded on a port is put into TLS. A port's settings inherit nothing: without
    /// `tls` of their own there is none (`MergeTrafficPolicy` in `pilot/pkg/networking/util/util.go`).
    pub fn adds_tls(&self, port: u16) -> bool {
        let own = self.ports.iter().find(|(number, _)| *number == port);
        own.map_or(self.tls, |(_, tls)| *tls)
    }

    fn read(policy: &Field<'_, '_>) -> Result<Self, Problem> {
        let mut ports = Vec::new();
        for settings in policy.get("portLevelSettings")?.items()? {
            let tls = adds_tls(&settings)?;
            let number = settings.get("port")?.get("number")?.port()?;
            ports.extend(number.map(|number| (number, tls)));
        }
        let tunnel = policy.get("tunnel")?.read(|tunnel| {
            let host = tunnel.get("targetHost")?.text()?.unwrap_or_default();
            let port = tunnel.get("targetPort")?.port()?.unwrap_or_default();
            Ok(format!("{host}:{port}").into())
        })?;
        Ok(Self {
            tls: adds_tls(policy)?,
            tunnel,
            ports,
        })
    }
}

/// Whether settings ask for TLS; without a mode it is DISABLE.
fn adds_tls(settings: &Field<'_, '_>) -> Result<bool, Problem> {
    let mode = settings.get("tls")?.get("mode")?.text()?;
    Ok(matches!(mode, Some("SIMPLE" | "MUTUAL" | "ISTIO_MUTUAL")))
}

impl DestinationRule {
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
        let mut host = spec.get("host")?.text()?.unwrap_or_default().to_owned();
        if !host.contains('.') && !host.starts_with('*') {
            host = format!("{host}.{namespace}.svc.cluster.local");
        }
        let export_to = spec.get("exportTo")?.texts()?.into_iter();
        Ok(Self {
            namespace: namespace.into(),
            name: name.into(),
            created,
            host: host.into(),
            selector: labels::read_selector(&spec.get("workloadSelector")?, "matchLabels")?,
            export_to: export_to.map(Into::into).collect(),
            traffic_policy: spec.get("trafficPolicy")?.read(TrafficPolicy::read)?,
        })
    }

    /// `DestinationRule namespace/name`.
    pub(crate) fn called(&self) -> String {
        let name = format!("DestinationRule {}/{}", self.namespace, self.name);
        one_line(&name, OBJECT_CHARACTERS)
    }

    /// Whether clients of its own namespace find it there. One that selects clients is never exported
    /// (`setDestinationRules` in `pilot/pkg/model/push_context.go`, as are the next two).
    pub(crate) fn is_local(&self) -> bool {
        let to = |name: &str| self.export_to.iter().any(|to| **to == *name);
        self.selector.is_some()
            || self.export_to.is_empty()
            || to("*")
            || to(".")
            || to(&self.namespace)
    }

    /// Whether only clients of its own namespace find it.
    pub(crate) fn is_private(&self) -> bool {
        let own = |to: &str| to == "." || *to == *self.namespace;
        self.selector.is_some() || matches!(&self.export_to[..], [to] if own(to))
    }

    /// Whether a client of another namespace finds it in the rule's.
    pub(crate) fn is_exported_to(&self, namespace: &str) -> bool {
        let to = |name: &str| self.export_to.iter().any(|to| **to == *name);
        self.selector.is_none() && (self.export_to.is_empty() || to("*") || to(namespace))
    }
}
