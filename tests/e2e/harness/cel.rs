//! The CEL policies of `examples/cel`, in force for a while.

use std::fs;
use std::process::Stdio;

use serde_json::{Value, json};
use tunnelguard::source::{self, SourceFile};

use super::control_plane::run;
use super::{Answer, ControlPlane, Writer, await_some, repository};

/// What the mutating policy does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repair {
    /// Nothing: there is none.
    None,
    /// What `examples/cel` says.
    Guarded,
    /// Without the condition on what is repaired: TCP and MESH_EXTERNAL, whatever else is written.
    Literal,
}

/// Policies with their bindings, which are in force until this value is dropped.
pub(crate) struct CelPolicies<'a> {
    plane: &'a ControlPlane,
    writer: Writer,
    list: String,
}

impl<'a> CelPolicies<'a> {
    /// Applies them, with some of their text replaced, and waits until the API server goes by them.
    pub(crate) fn apply(plane: &'a ControlPlane, repair: Repair, edits: &[(&str, &str)]) -> Self {
        let mut objects = documents("validating-admission-policy.yaml", edits);
        let writer = Writer::new(plane, "admin");
        plane.apply(&list_of(&objects));
        await_some("the validating policy is in force", || {
            (!writer.creates(&broken()).is_allowed()).then_some(())
        });
        if repair != Repair::None {
            let mut mutating = documents("mutating-admission-policy.yaml", edits);
            if repair == Repair::Literal {
                take_off_the_guard(&mut mutating[0]);
            }
            objects.append(&mut mutating);
            plane.apply(&list_of(&objects));
            await_some("the mutating policy is in force", || {
                (protocol(&writer.creates(&broken())) == "TCP").then_some(())
            });
        }
        let list = list_of(&objects);
        Self {
            plane,
            writer,
            list,
        }
    }
}

impl Drop for CelPolicies<'_> {
    fn drop(&mut self) {
        let mut command = self.plane.kubectl(["delete", "-f", "-"]);
        run(command.stderr(Stdio::null()), &self.list);
        await_some("the policies are forgotten", || {
            (protocol(&self.writer.creates(&broken())) == "HTTP").then_some(())
        });
    }
}

fn take_off_the_guard(policy: &mut Value) {
    let conditions = policy["spec"]["matchConditions"].as_array_mut();
    let conditions = conditions.expect("conditions");
    let guard = |condition: &Value| condition["name"] == "plain-shapes-only";
    let position = conditions.iter().position(guard).expect("the guard");
    conditions.remove(position);
}

/// What the policies deny, or repair.
fn broken() -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
        "metadata": {"name": "are-the-policies-in-force", "namespace": "default"},
        "spec": {
            "hosts": ["squid.example"], "addresses": ["10.20.0.5"], "resolution": "NONE",
            "ports": [{"name": "http", "number": 3128, "protocol": "HTTP"}],
        },
    })
}

fn protocol(answer: &Answer) -> &Value {
    &answer.body["spec"]["ports"][0]["protocol"]
}

fn list_of(objects: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()
}

/// The documents of a file of `examples/cel`.
fn documents(file: &str, edits: &[(&str, &str)]) -> Vec<Value> {
    let text = fs::read_to_string(repository("examples/cel").join(file));
    let mut text = text.expect("an example");
    for (from, to) in edits {
        text = text.replace(from, to);
    }
    let reading = source::read(&SourceFile::from_text(file, text));
    assert!(
        reading.problems.is_empty(),
        "{file}: {:?}",
        reading.problems
    );
    let documents = reading.documents.into_iter();
    documents.map(|document| document.value).collect()
}
