//! What a repair changes, as its annotation and its warning tell it.

use crate::mesh::line::{NAME_CHARACTERS, VALUE_CHARACTERS, shown};
use crate::mesh::service_entry::Location;
use crate::mesh::{FieldPath, ServiceEntry};
use crate::policy::Finding;
use crate::policy::check::CheckId;
use crate::policy::fix::{Edit, Operation};

/// The changes of one repair.
pub(super) struct Changes {
    ports: Vec<Port>,
    /// Only where a value was written and is another now: the default made explicit is no news.
    location: Option<Place>,
}

struct Port {
    name: String,
    /// `HTTP→TCP`
    change: String,
    check: CheckId,
}

struct Place {
    /// `location MESH_INTERNAL→MESH_EXTERNAL`
    change: String,
    check: CheckId,
}

impl Changes {
    pub(super) fn of(entry: &ServiceEntry, mended: &[Finding]) -> Self {
        Self {
            ports: mended.iter().filter_map(|f| Port::of(entry, f)).collect(),
            location: mended.iter().find_map(|f| Place::of(entry, f)),
        }
    }

    /// `ports[<name>] HTTP→TCP TG001`, one a port, and `location MESH_INTERNAL→MESH_EXTERNAL TG001`;
    /// without a time, so that repairing twice changes nothing.
    pub(super) fn annotation(&self) -> String {
        let ports = self.ports.iter();
        let ports =
            ports.map(|port| format!("ports[{}] {} {}", port.name, port.change, port.check));
        let location = self.location.iter();
        let location = location.map(|place| format!("{} {}", place.change, place.check));
        ports.chain(location).collect::<Vec<_>>().join(", ")
    }

    /// The first port's change, how many more there are, and the location's.
    pub(super) fn in_brief(&self) -> String {
        let first = self.ports.first().map(|port| port.change.clone());
        let mut brief = first.unwrap_or_default();
        match self.ports.len() {
            0 | 1 => {}
            2 => brief.push_str(" and 1 more port"),
            count => brief.push_str(&format!(" and {} more ports", count - 1)),
        }
        if let Some(place) = &self.location {
            brief.push_str(", ");
            brief.push_str(&place.change);
        }
        brief
    }
}

impl Port {
    fn of(entry: &ServiceEntry, mended: &Finding) -> Option<Self> {
        let port = entry.port(mended.port?)?;
        let from = port
            .protocol_text
            .as_deref()
            .filter(|text| !text.is_empty());
        let from = from.map_or("(none)".to_owned(), |text| shown(text, VALUE_CHARACTERS));
        Some(Self {
            name: shown(&port.name, NAME_CHARACTERS),
            change: format!("{from}→TCP"),
            check: mended.check,
        })
    }
}

impl Place {
    fn of(entry: &ServiceEntry, mended: &Finding) -> Option<Self> {
        let from = match entry.location {
            Location::Absent => return None,
            Location::Internal => "MESH_INTERNAL",
            Location::External => "MESH_EXTERNAL",
        };
        let path = FieldPath::spec().key("location");
        let to = |edit: &Edit| match &edit.operation {
            Operation::Replace(to) if edit.path == path => to.as_str().map(str::to_owned),
            _ => None,
        };
        let to = mended.fix.as_ref()?.edits.iter().find_map(to)?;
        Some(Self {
            change: format!("location {from}→{to}"),
            check: mended.check,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Changes;
    use crate::mesh::simulation::Environment;
    use crate::mesh::{MeshView, ServiceEntry};
    use crate::policy::check::Context;
    use crate::policy::{PolicySet, evaluate};

    /// What the repair of `spec` is told as: in the annotation, and in the warning.
    fn told(spec: Value) -> (String, String) {
        let document = json!({
            "apiVersion": "tunnelguard.dev/v1alpha1", "kind": "ConnectProxyPolicy",
            "metadata": {"name": "corporate"},
            "spec": {"proxies": [
                {"name": "corp", "addresses": ["10.20.0.5"], "ports": [3128, 3129, 3130]}
            ]},
        });
        let policies = PolicySet::compile(&[serde_json::from_value(document).unwrap()]).unwrap();
        let mesh = MeshView::new();
        let context = Context {
            policies: &policies,
            mesh: &mesh,
            sees_mesh: false,
            namespaces: None,
            environment: Environment::default(),
        };
        let mut object = json!({"metadata": {"name": "e"}, "spec": spec});
        object["spec"]["hosts"] = json!(["a.b"]);
        object["spec"]["addresses"] = json!(["10.20.0.5"]);
        let entry: ServiceEntry = serde_json::from_value(object).unwrap();
        let mended = evaluate(&entry, context).into_iter();
        let mended: Vec<_> = mended.filter(|finding| finding.has_safe_fix()).collect();
        let changes = Changes::of(&entry, &mended);
        (changes.annotation(), changes.in_brief())
    }

    #[test]
    fn what_was_written_and_is_no_more_is_told() {
        let port = |number: u16, name: &str, protocol: Value| json!({"number": number, "name": name, "protocol": protocol});
        let http = || port(3128, "http", json!("HTTP"));
        let (long, cut) = ("x".repeat(256), format!("{}…", "x".repeat(23)));
        for (spec, annotation, brief) in [
            (
                json!({"ports": [http()]}),
                "ports[http] HTTP→TCP TG001".to_owned(),
                "HTTP→TCP".to_owned(),
            ),
            (
                json!({"ports": [http()], "location": "MESH_EXTERNAL"}),
                "ports[http] HTTP→TCP TG001".to_owned(),
                "HTTP→TCP".to_owned(),
            ),
            (
                json!({"ports": [http()], "location": "MESH_INTERNAL"}),
                "ports[http] HTTP→TCP TG001, location MESH_INTERNAL→MESH_EXTERNAL TG001".to_owned(),
                "HTTP→TCP, location MESH_INTERNAL→MESH_EXTERNAL".to_owned(),
            ),
            (
                json!({
                    "ports": [http(), port(3129, "b", json!("")), port(3130, "c", json!("a b"))],
                    "location": "MESH_INTERNAL",
                }),
                "ports[http] HTTP→TCP TG001, ports[b] (none)→TCP TG002, ports[c] \"a b\"→TCP TG003, location MESH_INTERNAL→MESH_EXTERNAL TG001".to_owned(),
                "HTTP→TCP and 2 more ports, location MESH_INTERNAL→MESH_EXTERNAL".to_owned(),
            ),
            (
                json!({"ports": [port(3128, "a", Value::Null), port(3129, "b", json!("grpc"))]}),
                "ports[b] grpc→TCP TG001, ports[a] (none)→TCP TG002".to_owned(),
                "grpc→TCP and 1 more port".to_owned(),
            ),
            (
                json!({"ports": [port(3128, "a", json!(long))]}),
                format!("ports[a] {cut}→TCP TG003"),
                format!("{cut}→TCP"),
            ),
            (
                json!({"ports": [port(3128, "a", json!("HT TP\u{1b}[31m\"x\""))]}),
                r#"ports[a] "HT TP\u{1b}[31m\"x\""→TCP TG003"#.to_owned(),
                r#""HT TP\u{1b}[31m\"x\""→TCP"#.to_owned(),
            ),
        ] {
            assert_eq!(told(spec.clone()), (annotation, brief), "{spec}");
        }
    }
}
