//! The policy document, as written: a file for the command line and for a cluster without the
//! custom resource, later the custom resource itself. An unknown field is an error, because a
//! typo in a guard's policy must never mean "not guarded".

use std::collections::BTreeMap;

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The `apiVersion` of a policy.
pub const API_VERSION: &str = "tunnelguard.dev/v1alpha1";
/// The `kind` of a policy.
pub const KIND: &str = "ConnectProxyPolicy";

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
    /// Written by the cluster, ignored here.
    #[serde(default)]
    pub status: Option<Value>,
}

/// The part of `metadata` that is read; the API server knows its other fields.
#[derive(Clone, Debug, Deserialize)]
pub struct Metadata {
    /// What messages call the policy.
    pub name: String,
}

/// What a policy asks for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicySpec {
    /// What is done about findings.
    pub mode: Mode,
    /// What Mutate does where no safe fix exists.
    pub on_unsafe: OnUnsafe,
    /// What happens to a finding that an object already had before an update.
    pub existing: Existing,
    /// The proxies it declares.
    pub proxies: Vec<ProxySpec>,
    /// The shortest prefix in `addresses` that a repair may keep.
    pub ranges: Ranges,
    /// The ceiling for proxies learnt from workloads.
    pub observed: Observed,
    /// The ceiling for name evidence.
    pub suspected: Suspected,
    /// The ceiling for one check, by id.
    pub checks: BTreeMap<String, CheckSpec>,
    /// What cannot be read from the cluster.
    pub mesh: MeshSpec,
    /// Modes for some namespaces: the first that matches.
    pub overrides: Vec<Override>,
    /// What is let through, by whom and until when.
    pub exemptions: Vec<Exemption>,
}

/// What is done about findings, least first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
pub enum OnUnsafe {
    /// Deny.
    #[default]
    Enforce,
    /// Allow and warn.
    Audit,
}

/// What happens to a finding that an object already had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
pub enum Existing {
    /// A warning on update.
    #[default]
    Tolerate,
    /// As if it were new.
    Enforce,
}

/// A declared proxy.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProxySpec {
    /// What messages call it.
    pub name: String,
    /// Host names; `*.x` for any host below x.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// IPs and ranges.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// Its ports.
    pub ports: Vec<u16>,
    /// Whether the proxy itself expects TLS on these ports.
    #[serde(default)]
    pub tls: bool,
    /// Whether sidecars make the CONNECT (DestinationRule `tunnel`): HTTP is right there.
    #[serde(default)]
    pub tunnel: bool,
}

/// The shortest prefixes that a repair may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Ranges {
    /// For IPv4, 0 to 32.
    pub ipv4: u8,
    /// For IPv6, 0 to 128.
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

/// The ceiling for proxies learnt from workloads.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Observed {
    /// No finding on such evidence goes further than this.
    pub mode: Mode,
}

impl Default for Observed {
    fn default() -> Self {
        Self { mode: Mode::Audit }
    }
}

/// The ceiling for name evidence.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Suspected {
    /// Audit or Off.
    pub mode: Mode,
}

impl Default for Suspected {
    fn default() -> Self {
        Self { mode: Mode::Audit }
    }
}

/// The ceiling for one check.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CheckSpec {
    /// No finding of the check goes further than this.
    pub mode: Mode,
}

/// What cannot be read from the cluster.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct MeshSpec {
    /// `meshConfig.outboundTrafficPolicy.mode`.
    pub outbound_traffic_policy: Option<String>,
    /// `"1.21"` to `"1.31"`, quoted: YAML reads 1.30 as a number and loses the zero.
    pub istio_version: Option<String>,
    /// `meshConfig.rootNamespace`.
    pub root_namespace: Option<String>,
    /// Whether sidecars capture DNS (`ISTIO_META_DNS_CAPTURE`), so that hosts without an address are
    /// reached at the one that istiod allocates to them.
    pub dns_capture: bool,
}

/// A mode for some namespaces.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Override {
    /// Which namespaces, by their labels.
    pub namespace_selector: LabelSelector,
    /// Their mode.
    pub mode: Mode,
}

/// A label selector (`k8s.io/apimachinery/pkg/apis/meta/v1`).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelSelector {
    /// Every one must be equal.
    pub match_labels: BTreeMap<String, String>,
    /// Every one must hold.
    pub match_expressions: Vec<LabelExpression>,
}

/// One expression of a label selector.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelExpression {
    /// The label.
    pub key: String,
    /// How its value relates to `values`.
    pub operator: LabelOperator,
    /// The values of In and NotIn.
    #[serde(default)]
    pub values: Vec<String>,
}

/// How a label relates to the values of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
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
#[derive(Clone, Debug, Deserialize)]
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
    pub checks: Vec<String>,
    /// Why.
    pub reason: String,
    /// Who asked for it.
    #[serde(default)]
    pub owner: Option<String>,
    /// The last valid day, UTC, as YYYY-MM-DD.
    #[serde(default)]
    pub expires: Option<String>,
}
