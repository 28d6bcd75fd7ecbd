//! Which shapes are worth measuring on the older istiod, too.

use serde_json::{Value, json};
use tunnelguard::mesh::simulation::{IstioVersion, OutboundPolicy};
use tunnelguard::mesh::{Environment, MeshView, simulate};

use super::stored::mesh_of;
use crate::lab::names;
use crate::shape::Shape;

/// Whether a dial is predicted to end otherwise with the oldest Istio than with the newest, as the
/// objects are or with every port TCP, as repairs would have them. Where addresses are allocated it is
/// taken to: they are not known before.
pub(crate) fn differs(shape: &Shape) -> bool {
    shape.dns_capture
        || [shape.objects.clone(), as_tcp(&shape.objects)]
            .iter()
            .any(|objects| differs_with(shape, &mesh_of(objects)))
}

fn differs_with(shape: &Shape, mesh: &MeshView) -> bool {
    let names = names();
    let policies = [OutboundPolicy::AllowAny, OutboundPolicy::RegistryOnly];
    shape.dials(&[]).iter().any(|(_, dial)| {
        policies.into_iter().any(|outbound| {
            let outcome = |version| {
                let environment = Environment {
                    outbound,
                    version,
                    names: Some(&names),
                    ..Environment::default()
                };
                simulate(mesh, dial, &environment).outcome
            };
            outcome(IstioVersion::OLDEST) != outcome(IstioVersion::NEWEST)
        })
    })
}

fn as_tcp(objects: &[Value]) -> Vec<Value> {
    let mut objects = objects.to_vec();
    for object in &mut objects {
        let is_entry = object["kind"] == "ServiceEntry";
        let ports = object.pointer_mut("/spec/ports").filter(|_| is_entry);
        let ports = ports.and_then(Value::as_array_mut).into_iter().flatten();
        ports.for_each(|port| port["protocol"] = json!("TCP"));
    }
    objects
}
