//! The kinds of objects that decide what becomes of a CONNECT, and how each is read.

use std::sync::Arc;

use kube::{Client, Resource as _};
use serde_json::Value;

use crate::discovery::watch::{Kind, NamespacedName, Reading};
use crate::mesh::kubernetes::{EndpointSlice, read_service};
use crate::mesh::service_entry::GROUP;
use crate::mesh::{DestinationRule, FieldPath, Problem, ServiceEntry, Sidecar, WorkloadEntry};

use super::stored::Stored;

/// A kind whose objects are in the view of the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MeshKind {
    /// Of Istio.
    ServiceEntry,
    /// Of Istio.
    DestinationRule,
    /// Of Istio.
    Sidecar,
    /// Of Istio.
    WorkloadEntry,
    /// Of Kubernetes.
    Service,
    /// Of Kubernetes.
    EndpointSlice,
}

/// What is kept of an object.
#[derive(Clone, Debug, PartialEq)]
pub enum MeshObject {
    /// A ServiceEntry.
    ServiceEntry(Arc<ServiceEntry>),
    /// A DestinationRule.
    DestinationRule(DestinationRule),
    /// A Sidecar.
    Sidecar(Sidecar),
    /// A WorkloadEntry.
    WorkloadEntry(WorkloadEntry),
    /// A Service, without what its EndpointSlices say.
    Service(ServiceEntry),
    /// An EndpointSlice, by its own name.
    EndpointSlice(NamespacedName, EndpointSlice),
}

impl MeshKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::ServiceEntry,
        Self::DestinationRule,
        Self::Sidecar,
        Self::WorkloadEntry,
        Self::Service,
        Self::EndpointSlice,
    ];

    /// In words, in the plural.
    pub fn called(self) -> &'static str {
        match self {
            Self::ServiceEntry => "ServiceEntries",
            Self::DestinationRule => "DestinationRules",
            Self::Sidecar => "Sidecars",
            Self::WorkloadEntry => "WorkloadEntries",
            Self::Service => "Services",
            Self::EndpointSlice => "EndpointSlices",
        }
    }

    /// What is followed, in the newest version that the cluster serves: Istio's share one schema.
    pub fn followed(self, client: &Client) -> Kind<Stored> {
        let (group, versions, kind) = match self {
            Self::ServiceEntry => (GROUP, &OF_ISTIO[..], "ServiceEntry"),
            Self::DestinationRule => (GROUP, &OF_ISTIO[..], "DestinationRule"),
            Self::Sidecar => (GROUP, &OF_ISTIO[..], "Sidecar"),
            Self::WorkloadEntry => (GROUP, &OF_ISTIO[..], "WorkloadEntry"),
            Self::Service => ("", &["v1"][..], "Service"),
            Self::EndpointSlice => ("discovery.k8s.io", &["v1"][..], "EndpointSlice"),
        };
        Kind::of_any_form(client, self.called(), group, versions, kind)
    }

    /// What is kept of an object of this kind; nothing where it decides nothing.
    pub fn read(self, object: Stored) -> Reading<MeshObject> {
        self.kept(object).map_err(|problem| problem.to_string())
    }

    fn kept(self, object: Stored) -> Result<Option<MeshObject>, Problem> {
        let name = NamespacedName::of(object.meta());
        let object = object.object;
        Ok(Some(match self {
            Self::ServiceEntry => MeshObject::ServiceEntry(read_entry(object)?),
            Self::DestinationRule => MeshObject::DestinationRule(DestinationRule::read(&object)?),
            Self::Sidecar => MeshObject::Sidecar(Sidecar::read(&object)?),
            Self::WorkloadEntry => MeshObject::WorkloadEntry(WorkloadEntry::read(&object)?),
            Self::Service => return Ok(read_service(&object)?.map(MeshObject::Service)),
            Self::EndpointSlice => {
                let slice = EndpointSlice::read(&object)?;
                return Ok(slice.map(|slice| MeshObject::EndpointSlice(name, slice)));
            }
        }))
    }
}

const OF_ISTIO: [&str; 3] = ["v1", "v1beta1", "v1alpha3"];

impl MeshObject {
    /// Which object it is.
    pub(super) fn name(&self) -> NamespacedName {
        let of = |namespace: &str, name: &str| NamespacedName {
            namespace: namespace.into(),
            name: name.into(),
        };
        match self {
            Self::ServiceEntry(entry) => of(&entry.namespace, &entry.name),
            Self::Service(service) => of(&service.namespace, &service.name),
            Self::DestinationRule(rule) => of(&rule.namespace, &rule.name),
            Self::Sidecar(sidecar) => of(&sidecar.namespace, &sidecar.name),
            Self::WorkloadEntry(workload) => of(&workload.namespace, &workload.name),
            Self::EndpointSlice(name, _) => name.clone(),
        }
    }
}

/// What can be read in part only is left out: what it does in whole, nobody can tell.
fn read_entry(object: Value) -> Result<Arc<ServiceEntry>, Problem> {
    // Every field may have any type, so that this does not fail.
    let entry: ServiceEntry = serde_json::from_value(object).map_err(|error| Problem {
        path: FieldPath::root(),
        message: error.to_string(),
    })?;
    match entry.problems.first() {
        Some(problem) => Err(problem.clone()),
        None => Ok(Arc::new(entry)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::MeshKind;

    /// A kind, what an object of it has beside its metadata, and why it is left out; nothing where it is not.
    const ROWS: &str = "
        ServiceEntry | {spec: {hosts: [a.test]}} |
        ServiceEntry | {spec: {hosts: a.test}} | spec.hosts: expected a list, found a string
        ServiceEntry | {spec: {hosts: [a.test, 7]}} | spec.hosts[1]: expected a string, found a number

        DestinationRule | {} |
        DestinationRule | {spec: null} |
        DestinationRule | {spec: []} | spec: expected a mapping, found a list
        DestinationRule | {spec: {host: a.test, exportTo: ['*']}} |
        DestinationRule | {spec: {host: null, exportTo: null, trafficPolicy: null}} |
        DestinationRule | {spec: {host: 5}} | spec.host: expected a string, found a number
        DestinationRule | {spec: {exportTo: '*'}} | spec.exportTo: expected a list, found a string
        DestinationRule | {spec: {exportTo: ['*', true]}} | spec.exportTo[1]: expected a string, found a boolean
        DestinationRule | {spec: {workloadSelector: {matchLabels: {app: a, tier: 1}}}} | spec.workloadSelector.matchLabels.tier: expected a string, found a number
        DestinationRule | {spec: {trafficPolicy: {tls: {mode: NEW}}}} |
        DestinationRule | {spec: {trafficPolicy: {tls: SIMPLE}}} | spec.trafficPolicy.tls: expected a mapping, found a string
        DestinationRule | {spec: {trafficPolicy: {tunnel: {targetHost: a.test, targetPort: 80}}}} |
        DestinationRule | {spec: {trafficPolicy: {tunnel: 'a.test:80'}}} | spec.trafficPolicy.tunnel: expected a mapping, found a string
        DestinationRule | {spec: {trafficPolicy: {portLevelSettings: [{port: {number: 80.0}}]}}} |
        DestinationRule | {spec: {trafficPolicy: {portLevelSettings: [{port: 80}]}}} | spec.trafficPolicy.portLevelSettings[0].port: expected a mapping, found a number
        DestinationRule | {spec: {trafficPolicy: {portLevelSettings: [{port: {number: 80}}, {port: {number: 70000}}]}}} | spec.trafficPolicy.portLevelSettings[1].port.number: expected a port between 1 and 65535, found 70000
        # What nobody reads.
        DestinationRule | {spec: {subsets: 5, trafficPolicy: {connectionPool: 7}}} |

        Sidecar | {spec: {egress: [{port: {number: 80, protocol: HTTP}, hosts: ['*/*'], captureMode: NONE}]}} |
        Sidecar | {spec: {egress: {}}} | spec.egress: expected a list, found a mapping
        Sidecar | {spec: {egress: ['*/*']}} | spec.egress[0]: expected a mapping, found a string
        Sidecar | {spec: {egress: [{hosts: '*/*'}]}} | spec.egress[0].hosts: expected a list, found a string
        Sidecar | {spec: {egress: [{port: {number: '80'}}]}} | spec.egress[0].port.number: expected a whole number, found a string
        Sidecar | {spec: {egress: [{port: {protocol: 7}}]}} | spec.egress[0].port.protocol: expected a string, found a number
        Sidecar | {spec: {egress: [{bind: 10.1}]}} | spec.egress[0].bind: expected a string, found a number
        Sidecar | {spec: {egress: [{captureMode: {}}]}} | spec.egress[0].captureMode: expected a string, found a mapping
        Sidecar | {spec: {workloadSelector: {labels: {app: a}}}} |
        Sidecar | {spec: {workloadSelector: {labels: [app]}}} | spec.workloadSelector.labels: expected a mapping, found a list
        Sidecar | {spec: {outboundTrafficPolicy: {mode: REGISTRY_ONLY, egressProxy: {host: a.test, port: {number: 80}}}}} |
        Sidecar | {spec: {outboundTrafficPolicy: REGISTRY_ONLY}} | spec.outboundTrafficPolicy: expected a mapping, found a string
        Sidecar | {spec: {outboundTrafficPolicy: {mode: 1}}} | spec.outboundTrafficPolicy.mode: expected a string, found a number
        Sidecar | {spec: {outboundTrafficPolicy: {egressProxy: {port: 80}}}} | spec.outboundTrafficPolicy.egressProxy.port: expected a mapping, found a number

        WorkloadEntry | {spec: {address: 10.0.0.1, ports: {tcp: 80}, labels: {app: a}}} |
        WorkloadEntry | {spec: {address: 10}} | spec.address: expected a string, found a number
        WorkloadEntry | {spec: {ports: x}} | spec.ports: expected a mapping, found a string
        WorkloadEntry | {spec: {ports: {tcp: 80.5}}} | spec.ports.tcp: expected a whole number, found a number
        WorkloadEntry | {spec: {labels: {app: true}}} | spec.labels.app: expected a string, found a boolean

        Service | {spec: {clusterIP: 10.0.0.1, selector: {app: a}, ports: [{port: 80, targetPort: web}]}} |
        Service | {spec: {ports: x}} | spec.ports: expected a list, found a string
        Service | {spec: {ports: [{port: 80}, {port: web}]}} | spec.ports[1].port: expected a whole number, found a string
        Service | {spec: {ports: [{port: 80, appProtocol: 2}]}} | spec.ports[0].appProtocol: expected a string, found a number
        Service | {spec: {clusterIP: 10}} | spec.clusterIP: expected a string, found a number
        Service | {spec: {clusterIPs: 10.0.0.1}} | spec.clusterIPs: expected a list, found a string
        Service | {spec: {selector: a}} | spec.selector: expected a mapping, found a string
        # No port of it is read.
        Service | {spec: {type: ExternalName, ports: x}} |
        Service | {spec: {type: 1}} | spec.type: expected a string, found a number

        EndpointSlice | {addressType: IPv4, ports: [{name: null, port: 80}], endpoints: [{addresses: [10.0.0.1], conditions: {ready: true}}]} |
        EndpointSlice | {endpoints: 3} | endpoints: expected a list, found a number
        EndpointSlice | {ports: [{port: web}]} | ports[0].port: expected a whole number, found a string
        EndpointSlice | {ports: [{name: 80}]} | ports[0].name: expected a string, found a number
        EndpointSlice | {endpoints: [{addresses: 10.0.0.1}]} | endpoints[0].addresses: expected a list, found a string
        EndpointSlice | {endpoints: [{conditions: {ready: 'no'}}]} | endpoints[0].conditions.ready: expected a boolean, found a string
        EndpointSlice | {addressType: FQDN, endpoints: 3} |
    ";

    #[test]
    fn what_can_be_read_in_part_only_is_left_out() {
        let rows = ROWS.lines().map(str::trim);
        for row in rows.filter(|row| !row.is_empty() && !row.starts_with('#')) {
            let [kind, yaml, said] = row.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
                panic!("{row}");
            };
            let mut kinds = MeshKind::ALL.into_iter();
            let kind = kinds.find(|own| format!("{own:?}") == kind).expect(row);
            let mut object: serde_json::Value = serde_saphyr::from_str(yaml).expect(row);
            object["metadata"] = json!({
                "namespace": "team", "name": "a", "labels": {"kubernetes.io/service-name": "a"},
            });
            let read = kind.read(serde_json::from_value(object).expect("an object"));
            let told = match &read {
                Ok(read) => read.as_ref().map_or("nothing is kept", |_| ""),
                Err(reason) => reason,
            };
            assert_eq!(told, said, "{row}");
        }
    }
}
