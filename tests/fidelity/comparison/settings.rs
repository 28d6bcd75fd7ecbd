//! Under which settings a shape is worth measuring beside the usual ones.

use serde_json::{Value, json};
use tunnelguard::mesh::simulation::{IstioVersion, OutboundPolicy};
use tunnelguard::mesh::{Dial, Environment, MeshView, Outcome, simulate};

use super::stored::mesh_of;
use crate::lab::names;
use crate::shape::Shape;

/// What a mesh is set to.
type Setting = (IstioVersion, OutboundPolicy);

/// Whether a dial is predicted to end otherwise with the oldest Istio than with the newest. Where
/// addresses are allocated it is taken to: they are not known before.
pub(crate) fn differs(shape: &Shape) -> bool {
    let policies = [OutboundPolicy::AllowAny, OutboundPolicy::RegistryOnly];
    let [oldest, newest] = [IstioVersion::OLDEST, IstioVersion::NEWEST];
    let pairs = policies.map(|policy| ((oldest, policy), (newest, policy)));
    shape.dns_capture || differs_between(shape, &pairs)
}

/// Whether one is predicted to end otherwise under ALLOW_ANY_DYNAMIC_DNS than under ALLOW_ANY, which are
/// the same to whatever a filter chain of an entry takes.
pub(crate) fn differs_by_dynamic_dns(shape: &Shape) -> bool {
    let of = |policy| (IstioVersion::NEWEST, policy);
    let pair = (
        of(OutboundPolicy::AllowAny),
        of(OutboundPolicy::AllowAnyDynamicDns),
    );
    shape.dns_capture || differs_between(shape, &[pair])
}

/// Of the objects as they are, and with every port TCP, as repairs would have them.
fn differs_between(shape: &Shape, pairs: &[(Setting, Setting)]) -> bool {
    let repaired = as_tcp(&shape.objects);
    let meshes = [mesh_of(&shape.objects), mesh_of(&repaired)];
    meshes.iter().any(|mesh| {
        shape.dials(&[]).iter().any(|(_, dial)| {
            let outcome = |setting| outcome(mesh, dial, setting);
            let mut pairs = pairs.iter();
            pairs.any(|(one, other)| outcome(*one) != outcome(*other))
        })
    })
}

fn outcome(mesh: &MeshView, dial: &Dial, (version, outbound): Setting) -> Outcome {
    let names = names();
    let environment = Environment {
        outbound,
        version,
        names: Some(&names),
        ..Environment::default()
    };
    simulate(mesh, dial, &environment).outcome
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
