//! The policy document, as written: a file, or a custom resource. An unknown field is an error,
//! because a typo in a guard's policy must never mean "not guarded".
//!
//! The schema of the custom resource is derived from these types, their documentation included:
//! `kubectl explain` shows it. The lengths are what the API server's estimate of a rule's cost needs;
//! a file has none.

mod reading;
mod rules;
mod status;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

pub use reading::Unreadable;
pub use status::{Condition, ConditionStatus, PolicyStatus, ProxyCounts, READY};

/// The API group of policies.
pub const GROUP: &str = "tunnelguard.dev";
/// Their version in it.
pub const VERSION: &str = "v1alpha1";
/// The `apiVersion` of a policy: both.
pub const API_VERSION: &str = "tunnelguard.dev/v1alpha1";
/// The `kind` of a policy.
pub const KIND: &str = "ConnectProxyPolicy";
/// What the API server calls policies in its paths.
pub const PLURAL: &str = "connectproxypolicies";

/// A whole policy document.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConnectProxyPolicy {
    /// [`API_VERSION`].
    pub api_version: String,
    /// [`KIND`].
    pub kind: String,
    /// Only the name is read.
    pub metadata: Metadata,
    /// What it asks for.
    pub spec: PolicySpec,
    /// A [`PolicyStatus`], which is written and never read.
    #[serde(default)]
    pub status: Option<Value>,
}

/// The part of `metadata` that is read; the API server knows its other fields.
#[derive(Clone, Debug, Deserialize)]
pub struct Metadata {
    /// What messages call the policy.
    pub name: String,
}

/// Which CONNECT proxies there are, and what is done about ServiceEntries that break them.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicySpec {
    /// What is done about findings. In YAML, quote "Off".
    pub mode: Mode,
    /// What Mutate does where no safe fix exists.
    pub on_unsafe: OnUnsafe,
    /// What happens to a finding that an object already had before an update.
    pub existing: Existing,
    /// The proxies it declares.
    #[schemars(length(max = 512))]
    pub proxies: Vec<ProxySpec>,
    /// The shortest prefix in `addresses` that a repair may keep.
    pub ranges: Ranges,
    /// What is made of proxies learnt from workloads.
    pub observed: Observed,
    /// The ceiling for name evidence.
    pub suspected: Suspected,
    /// The ceiling for one check, by id.
    #[schemars(extend("maxProperties" = 64, "x-kubernetes-validations" = rules::known_keys()))]
    pub checks: BTreeMap<String, CheckSpec>,
    /// What cannot be read from the cluster.
    pub mesh: MeshSpec,
    /// Modes for some namespaces: the first whose selector selects it. Until the labels of a namespace are
    /// known, a moment after it was made, only those count that ask for no other than its name.
    #[schemars(length(max = 256))]
    pub overrides: Vec<Override>,
    /// What is let through, by whom and until when.
    #[schemars(length(max = 1024))]
    pub exemptions: Vec<Exemption>,
}

/// What is done about findings, least first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema,
)]
pub enum Mode {
    /// Nothing.
    Off,
    /// Allow and warn.
    #[default]
    Audit,
    /// Repair what can be repaired safely.
    Mutate,
    /// Deny.
    Enforce,
}

impl<'de> Deserialize<'de> for Mode {
    /// In YAML 1.1, which Kubernetes reads, a bare `Off` is the boolean false: it is taken for
    /// what its author means.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        match &value {
            Value::Bool(false) => Ok(Self::Off),
            Value::String(text) if text == "Off" => Ok(Self::Off),
            Value::String(text) if text == "Audit" => Ok(Self::Audit),
            Value::String(text) if text == "Mutate" => Ok(Self::Mutate),
            Value::String(text) if text == "Enforce" => Ok(Self::Enforce),
            other => Err(D::Error::custom(format!(
                "expected one of Off, Audit, Mutate, Enforce, found {other}"
            ))),
        }
    }
}

/// What Mutate does where no safe fix exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum OnUnsafe {
    /// Deny.
    #[default]
    Enforce,
    /// Allow and warn.
    Audit,
}

/// What happens to a finding that an object already had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum Existing {
    /// A warning on update.
    #[default]
    Tolerate,
    /// As if it were new.
    Enforce,
}

/// A declared proxy.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = rules::recognisable()))]
pub struct ProxySpec {
    /// What messages call it.
    pub name: String,
    /// Host names; `*.x` for any host below x.
    #[serde(default)]
    #[schemars(length(max = 32), inner(length(max = 253)))]
    #[schemars(transform = rules::hosts)]
    pub hosts: Vec<String>,
    /// IPs and ranges.
    #[serde(default)]
    #[schemars(length(max = 64), inner(length(max = 64)))]
    #[schemars(transform = rules::addresses)]
    pub addresses: Vec<String>,
    /// The ports it listens on.
    #[schemars(length(min = 1, max = 256), inner(range(min = 1, max = 65535)))]
    pub ports: Vec<u16>,
    /// Whether the proxy itself expects TLS on these ports.
    #[serde(default)]
    pub tls: bool,
    /// Whether sidecars make the CONNECT (DestinationRule `tunnel`): HTTP is right there.
    #[serde(default)]
    pub tunnel: bool,
}

/// The shortest prefixes that a repair may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Ranges {
    /// For IPv4, 0 to 32.
    #[schemars(range(max = 32))]
    pub ipv4: u8,
    /// For IPv6, 0 to 128.
    #[schemars(range(max = 128))]
    pub ipv6: u8,
}

impl Default for Ranges {
    /// Single addresses only.
    fn default() -> Self {
        Self {
            ipv4: 32,
            ipv6: 128,
        }
    }
}

/// What is made of proxies learnt from workloads.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Observed {
    /// No finding on such evidence goes further than this.
    pub mode: Mode,
    /// Whether DNS is asked for the addresses of their hosts.
    pub resolve: bool,
}

impl Default for Observed {
    fn default() -> Self {
        Self {
            mode: Mode::Audit,
            resolve: false,
        }
    }
}

/// The ceiling for name evidence.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Suspected {
    /// Audit or Off: names are weak evidence.
    #[schemars(extend("oneOf" = [{"const": "Off"}, {"const": "Audit"}]))]
    pub mode: Mode,
}

impl Default for Suspected {
    fn default() -> Self {
        Self { mode: Mode::Audit }
    }
}

/// The ceiling for one check.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CheckSpec {
    /// No finding of the check goes further than this.
    pub mode: Mode,
}

/// What cannot be read from the cluster.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct MeshSpec {
    /// `meshConfig.outboundTrafficPolicy.mode`.
    #[schemars(extend("enum" = rules::outbound_policies()))]
    pub outbound_traffic_policy: Option<String>,
    /// `"1.21"` to `"1.31"`, quoted: YAML reads 1.30 as a number and loses the zero.
    #[schemars(length(max = 32), extend("x-kubernetes-validations" = rules::istio_version()))]
    pub istio_version: Option<String>,
    /// `meshConfig.rootNamespace`.
    pub root_namespace: Option<String>,
    /// Whether sidecars capture DNS (`ISTIO_META_DNS_CAPTURE`), so that hosts without an address are
    /// reached at the one that istiod allocates to them.
    pub dns_capture: bool,
}

/// A mode for some namespaces.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Override {
    /// Which namespaces, by their labels. Without a cluster only their name is known, as the label
    /// kubernetes.io/metadata.name; an empty selector selects every one.
    pub namespace_selector: LabelSelector,
    /// Their mode.
    pub mode: Mode,
}

/// A label selector (`k8s.io/apimachinery/pkg/apis/meta/v1`).
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelSelector {
    /// Every one must be equal.
    #[schemars(extend("maxProperties" = 16))]
    pub match_labels: BTreeMap<String, String>,
    /// Every one must hold.
    #[schemars(length(max = 16))]
    pub match_expressions: Vec<LabelExpression>,
}

/// One expression of a label selector.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = rules::values_of_operator()))]
pub struct LabelExpression {
    /// The label.
    #[schemars(length(max = 317))]
    pub key: String,
    /// How its value relates to `values`.
    pub operator: LabelOperator,
    /// The values of In and NotIn.
    #[serde(default)]
    pub values: Vec<String>,
}

/// How a label relates to the values of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum LabelOperator {
    /// The label has one of the values.
    In,
    /// The label is absent or has none of the values.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
}

/// What is let through.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Exemption {
    /// A glob over namespaces; absent: all.
    #[serde(default)]
    pub namespace: Option<String>,
    /// A glob over names; absent: all.
    #[serde(default)]
    pub name: Option<String>,
    /// Check ids; absent: all.
    #[serde(default)]
    #[schemars(length(max = 64), inner(length(max = 16)))]
    #[schemars(transform = rules::known_items)]
    pub checks: Vec<String>,
    /// Why.
    pub reason: String,
    /// Who asked for it.
    #[serde(default)]
    pub owner: Option<String>,
    /// The last valid day, UTC, as YYYY-MM-DD.
    #[serde(default)]
    #[schemars(length(max = 32), extend("x-kubernetes-validations" = rules::date()))]
    pub expires: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::{API_VERSION, GROUP, VERSION};

    #[test]
    fn the_api_version_is_group_and_version() {
        assert_eq!(API_VERSION, format!("{GROUP}/{VERSION}"));
    }
}
