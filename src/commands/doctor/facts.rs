//! What a cluster tells, as of one moment.

use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, RuleWithOperations, WebhookClientConfig,
};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::version::Info;
use serde::Deserialize;
use serde_json::Value;

use super::attempts::Attempt;
use super::rights::Right;

/// What the API server said when it was asked for something.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Seen<T> {
    /// There it is.
    Found(T),
    /// There is none.
    Absent,
    /// It does not say, and why.
    Untold(String),
}

impl<T> Seen<T> {
    /// The same of what was found.
    pub(super) fn map<U>(self, of: impl FnOnce(T) -> U) -> Seen<U> {
        match self {
            Self::Found(found) => Seen::Found(of(found)),
            Self::Absent => Seen::Absent,
            Self::Untold(why) => Seen::Untold(why),
        }
    }

    /// It, where it was found.
    pub(super) fn found(&self) -> Option<&T> {
        match self {
            Self::Found(found) => Some(found),
            Self::Absent | Self::Untold(_) => None,
        }
    }
}

/// Everything that was asked for before anything was tried.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// The API server's own time: that of the machine that asks may be another.
    pub(super) now: Timestamp,
    /// Where the API server was asked.
    pub(super) server: String,
    pub(super) version: Info,
    /// The versions in which it serves ServiceEntries, as it prefers them.
    pub(super) entry_versions: Seen<Vec<String>>,
    pub(super) definition: Seen<CustomResourceDefinition>,
    pub(super) policies: Seen<Vec<Value>>,
    /// Those that the chart mounts as files.
    pub(super) policy_files: Seen<ConfigMap>,
    pub(super) mutating: Seen<Configuration>,
    pub(super) validating: Seen<Configuration>,
    /// Of the replicas, as the chart calls it.
    pub(super) deployment: Seen<Deployment>,
    /// Of the authority that the guard made itself, if it ever did.
    pub(super) authority: Seen<Secret>,
    pub(super) service: Seen<Service>,
    pub(super) slices: Seen<Vec<EndpointSlice>>,
    pub(super) lease: Seen<Lease>,
    /// The calls that the guard makes, and whether it may.
    pub(super) rights: Vec<(Right, Seen<bool>)>,
    /// The namespace of the entries that are tried.
    pub(super) namespace: Seen<Namespace>,
}

/// What was tried in a dry run, and what came of it.
#[derive(Clone, Debug)]
pub(super) struct Tried {
    pub(super) attempt: Attempt,
    pub(super) answer: Answer,
}

/// What the API server answers to a create.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// It would be stored like this.
    Created {
        object: Value,
        warnings: Vec<String>,
    },
    /// It would not.
    Refused { code: u16, message: String },
}

/// A MutatingWebhookConfiguration or a ValidatingWebhookConfiguration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Configuration {
    #[serde(default)]
    pub(super) webhooks: Vec<Webhook>,
}

/// One of its webhooks, of either kind.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Webhook {
    pub(super) name: String,
    pub(super) client_config: WebhookClientConfig,
    #[serde(default)]
    pub(super) rules: Vec<RuleWithOperations>,
    #[serde(default)]
    pub(super) match_conditions: Vec<MatchCondition>,
    pub(super) match_policy: Option<String>,
    #[serde(default)]
    pub(super) namespace_selector: LabelSelector,
    #[serde(default)]
    pub(super) object_selector: LabelSelector,
    pub(super) side_effects: Option<String>,
    pub(super) admission_review_versions: Vec<String>,
    pub(super) timeout_seconds: Option<i32>,
    pub(super) failure_policy: Option<String>,
    /// Of mutating ones.
    pub(super) reinvocation_policy: Option<String>,
}

impl Facts {
    /// Whether the guard is told to make its certificates itself; none where its Deployment cannot be seen. The
    /// Secret does not tell, for it outlives that.
    pub(super) fn is_self_managed(&self) -> Option<bool> {
        let deployment = self.deployment.found()?;
        let pods = deployment.spec.as_ref()?.template.spec.as_ref()?;
        let mut arguments = pods
            .containers
            .iter()
            .flat_map(|container| [&container.command, &container.args])
            .flatten()
            .flatten();
        Some(arguments.any(|argument| argument == "--self-managed"))
    }

    /// A webhook of either configuration.
    pub(super) fn webhook(&self, name: &str) -> Option<&Webhook> {
        let configurations = [&self.mutating, &self.validating].into_iter();
        let mut webhooks = configurations
            .filter_map(Seen::found)
            .flat_map(|configuration| &configuration.webhooks);
        webhooks.find(|webhook| webhook.name == name)
    }
}
