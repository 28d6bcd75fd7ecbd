//! What the cluster shows of a policy beside its spec: whether it is in force, and if not, why.

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

/// The type of the one condition: whether a policy is in force as it was written last.
pub const READY: &str = "Ready";

/// Whether the policy is in force, and what it comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = optional)]
pub struct PolicyStatus {
    /// The generation of the spec that this is about.
    pub observed_generation: i64,
    /// How many proxies there are.
    pub proxies: ProxyCounts,
    /// How many findings about stored ServiceEntries this policy neither exempts nor switches off; not told
    /// where it is not in force, or the cluster has not told all of the mesh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub findings: Option<u32>,
    /// Ready: whether the policy is in force as it was written last.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// How many proxies there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = optional)]
pub struct ProxyCounts {
    /// Those that this policy declares, in the form that is in force.
    pub declared: u32,
    /// Those of the whole cluster that workloads use and no policy declares.
    pub observed: u32,
}

/// A condition (`k8s.io/apimachinery/pkg/apis/meta/v1`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about.
    #[serde(rename = "type")]
    pub type_: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Why, in a word.
    pub reason: String,
    /// Why, and the way out.
    pub message: String,
    /// The generation of the spec that it is about.
    pub observed_generation: i64,
    /// Since when it has that status.
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: String,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum ConditionStatus {
    /// It does.
    True,
    /// It does not.
    False,
    /// Nobody knows.
    Unknown,
}

/// Takes back that every field must be there. With it, a status that another version wrote would keep
/// people from editing the spec beside it: the API server checks both.
fn optional(schema: &mut Schema) {
    schema.remove("required");
}
