//! The WorkloadEntry: an endpoint that a ServiceEntry's selector selects.

use std::collections::BTreeMap;

use serde_json::Value;

use super::field::Field;
use super::labels::{self, Labels};
use super::lenient::Problem;
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
    /// Reads an object of that kind.
    ///
    /// # Errors
    /// The first field of the wrong type.
    pub fn read(object: &Value) -> Result<Self, Problem> {
        let object = Field::of(object);
        let Metadata {
            namespace, name, ..
        } = Metadata::of(&object)?;
        let spec = object.get("spec")?;
        let ports = spec.get("ports")?;
        let ports = ports.entries()?.filter_map(|(name, port)| {
            let port = port.port().transpose()?;
            Some(port.map(|port| (name.into(), port)))
        });
        let mut labels = labels::read(&spec.get("labels")?)?;
        labels.extend(labels::read(&object.get("metadata")?.get("labels")?)?);
        Ok(Self {
            namespace: namespace.into(),
            name: name.into(),
            address: spec.get("address")?.text()?.unwrap_or_default().into(),
            ports: ports.collect::<Result<_, _>>()?,
            labels,
        })
    }

    /// Whether a selector's labels are all among its own.
    pub fn is_selected_by(&self, selector: &Labels) -> bool {
        labels::selects(selector, &self.labels)
    }
}
