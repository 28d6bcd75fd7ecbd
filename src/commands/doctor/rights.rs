//! The calls that the guard makes of the API server, by the very roles that grant them.

use std::fmt;

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReviewSpec};
use k8s_openapi::api::rbac::v1::PolicyRule;

use super::Installed;
use super::shipped::shipped;

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Right {
    pub(super) verb: String,
    pub(super) group: String,
    pub(super) resource: String,
    pub(super) subresource: Option<String>,
    /// None: everywhere.
    pub(super) namespace: Option<String>,
    /// None: whatever it is called.
    pub(super) name: Option<String>,
    /// Whether it is for certificates that look after themselves.
    pub(super) for_certificates: bool,
}

/// Every call that the roles grant to the guard, where it is installed.
pub(super) fn rights(installed: &Installed) -> Vec<Right> {
    let mut rights = Vec::new();
    for role in shipped(&["ClusterRole", "Role"]) {
        let is_everywhere = role["kind"] == "ClusterRole";
        let namespace = (!is_everywhere).then_some(installed.namespace.as_str());
        let name = role["metadata"]["name"].as_str();
        let for_certificates = name.is_some_and(|name| name.ends_with("-certificates"));
        let rules = serde_json::from_value(role["rules"].clone());
        let rules: Vec<PolicyRule> = rules.unwrap_or_default();
        let of_role = rules.iter().flat_map(|rule| of_rule(rule, namespace));
        rights.extend(of_role.map(|right| {
            Right {
                for_certificates,
                name: right
                    .name
                    .as_deref()
                    .map(|name| called(&right, name, installed)),
                ..right
            }
        }));
    }
    rights
}

/// What that is called there which the shipped rule names.
fn called(right: &Right, shipped: &str, installed: &Installed) -> String {
    let called = match &*right.resource {
        "secrets" => installed.ca_secret.as_str(),
        "mutatingwebhookconfigurations" | "validatingwebhookconfigurations" => {
            &installed.webhook_configuration
        }
        _ => shipped,
    };
    called.to_owned()
}

fn of_rule(rule: &PolicyRule, namespace: Option<&str>) -> Vec<Right> {
    let names = rule.resource_names.iter().flatten().map(Some);
    let names: Vec<Option<&String>> = names.collect();
    let names = if names.is_empty() { vec![None] } else { names };
    let mut rights = Vec::new();
    for group in rule.api_groups.iter().flatten() {
        for resource in rule.resources.iter().flatten() {
            let (resource, subresource) = match resource.split_once('/') {
                Some((resource, subresource)) => (resource, Some(subresource)),
                None => (resource.as_str(), None),
            };
            for verb in &rule.verbs {
                rights.extend(names.iter().map(|name| Right {
                    verb: verb.clone(),
                    group: group.clone(),
                    resource: resource.to_owned(),
                    subresource: subresource.map(str::to_owned),
                    namespace: namespace.map(str::to_owned),
                    name: name.cloned(),
                    for_certificates: false,
                }));
            }
        }
    }
    rights
}

impl Right {
    /// The question whether the guard's ServiceAccount has it.
    pub(super) fn question(&self, installed: &Installed) -> SubjectAccessReviewSpec {
        let Installed {
            namespace,
            service_account,
            ..
        } = installed;
        // As the API server knows a ServiceAccount (k8s.io/apiserver/pkg/authentication/serviceaccount).
        let groups = [
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
            "system:authenticated".to_owned(),
        ];
        SubjectAccessReviewSpec {
            user: Some(format!(
                "system:serviceaccount:{namespace}:{service_account}"
            )),
            groups: Some(groups.into()),
            resource_attributes: Some(ResourceAttributes {
                verb: Some(self.verb.clone()),
                group: Some(self.group.clone()),
                resource: Some(self.resource.clone()),
                subresource: self.subresource.clone(),
                namespace: self.namespace.clone(),
                name: self.name.clone(),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if let Some(subresource) = &self.subresource {
            write!(f, "/{subresource}")?;
        }
        if let Some(name) = &self.name {
            write!(f, " {name}")?;
        }
        Ok(())
    }
}
