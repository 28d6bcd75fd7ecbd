//! The WorkloadEntry, read leniently: an endpoint that a ServiceEntry's selector selects.

use std::collections::BTreeMap;

use serde_json::Value;

use super::labels::{self, Labels};
use super::object::{Metadata, is_of_istio};

/// Whether an `apiVersion` and `kind` are those of a WorkloadEntry, in any version.
pub fn is_workload_entry(api_version: &str, kind: &str) -> bool {
    is_of_istio(api_version, kind, "WorkloadEntry")
}

/// A WorkloadEntry as the simulation sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadEntry {
    /// `metadata.namespace`; `default` where it is absent.
    pub namespace: Box<str>,
    /// `metadata.name`.
    pub name: Box<str>,
    /// `spec.address`: an IP, a host name, or empty.
    pub address: Box<str>,
    /// `spec.ports`: port name → port number.
    pub ports: BTreeMap<Box<str>, u16>,
    /// `spec.labels`, and over them `metadata.labels` (`ConvertWorkloadEntry` in
    /// `pilot/pkg/serviceregistry/serviceentry/conversion.go`).
    pub labels: Labels,
}

impl WorkloadEntry {
    /// Reads an object of that kind. A field of the wrong type counts as absent: the API server refuses
    /// it.
    pub fn read(object: &Value) -> Self {
        let Metadata {
            namespace, name, ..
        } = Metadata::of(object);
        let spec = &object["spec"];
        let ports = spec["ports"].as_object().into_iter().flatten();
        let ports = ports.filter_map(|(name, port)| {
            let port = u16::try_from(port.as_u64()?).ok()?;
            Some((name.as_str().into(), port))
        });
        let mut labels = labels::read(&spec["labels"]);
        labels.extend(labels::read(&object["metadata"]["labels"]));
        Self {
            namespace: namespace.into(),
            name: name.into(),
            address: spec["address"].as_str().unwrap_or_default().into(),
            ports: ports.collect(),
            labels,
        }
    }

    /// Whether a selector's labels are all among its own.
    pub fn is_selected_by(&self, selector: &Labels) -> bool {
        labels::selects(selector, &self.labels)
    }
}
