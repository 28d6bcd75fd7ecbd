//! The webhook configurations: whom they ask about what.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::commands::doctor::Installed;
use crate::commands::doctor::facts::{Configuration, Facts, Seen, Webhook};
use crate::commands::doctor::shipped;

use super::Observation;

/// A configuration as this version ships it.
struct Shipped {
    kind: &'static str,
    /// What is lost without it.
    without: &'static str,
}

const MUTATING: Shipped = Shipped {
    kind: "MutatingWebhookConfiguration",
    without: "nothing is repaired",
};
const VALIDATING: Shipped = Shipped {
    kind: "ValidatingWebhookConfiguration",
    without: "nothing is denied or warned about",
};

/// The one whose failurePolicy is for whoever installs it to choose.
const MAY_FAIL: &str = "validate.tunnelguard.dev";

pub(super) fn examine(facts: &Facts, installed: &Installed) -> Vec<Observation> {
    let mut all = configuration(&MUTATING, &facts.mutating, installed);
    all.extend(configuration(&VALIDATING, &facts.validating, installed));
    all
}

fn configuration(
    shipped: &Shipped,
    found: &Seen<Configuration>,
    installed: &Installed,
) -> Vec<Observation> {
    let Shipped { kind, without, .. } = shipped;
    let name = &installed.webhook_configuration;
    let found = match found {
        Seen::Found(found) => found,
        Seen::Untold(why) => return vec![Observation::unchecked(*kind, why)],
        Seen::Absent => {
            let told = format!("there is none called {name}: {without}");
            return vec![Observation::failed(*kind, &told, remedy())];
        }
    };
    let wanted = shipped::shipped(&[kind]).into_iter().next();
    let wanted = wanted.map(serde_json::from_value::<Configuration>);
    let Some(Ok(wanted)) = wanted else {
        return vec![Observation::unchecked(
            *kind,
            "a bug: what is shipped cannot be read",
        )];
    };
    let webhooks = wanted.webhooks.iter();
    let webhooks = webhooks.map(|wanted| {
        let mut webhooks = found.webhooks.iter();
        match webhooks.find(|webhook| webhook.name == wanted.name) {
            Some(webhook) => webhook_as(wanted, webhook, installed),
            None => {
                let told = format!("not among the webhooks of {kind} {name}");
                Observation::failed(&wanted.name, &told, remedy())
            }
        }
    });
    webhooks.collect()
}

/// What is to be said of a webhook, compared with the one that is shipped.
fn webhook_as(wanted: &Webhook, webhook: &Webhook, installed: &Installed) -> Observation {
    let mut faults = Vec::new();
    let asked = asked(wanted, webhook, installed).unwrap_or_else(|fault| {
        faults.push(fault);
        String::new()
    });
    let drift = drift(wanted, webhook);
    if !drift.is_empty() {
        let version = env!("CARGO_PKG_VERSION");
        faults.push(format!(
            "not as tunnelguard {version} has it: {}",
            drift.join(", ")
        ));
    }
    if !faults.is_empty() {
        return Observation::failed(&webhook.name, &faults.join("; "), remedy());
    }
    let policy = webhook.failure_policy.as_deref().unwrap_or("Fail");
    let seconds = webhook.timeout_seconds.unwrap_or(10);
    let told = format!("asks {asked}, {seconds} s; a call that fails: {policy}");
    match webhook.client_config.url {
        Some(_) => {
            let told = format!("{told}; whether that is the guard cannot be seen in the cluster");
            Observation::unchecked(&webhook.name, &told)
        }
        None => Observation::ok(&webhook.name, &told),
    }
}

/// Whom it asks; an error if that is not the guard. Of a URL nobody can tell.
fn asked(wanted: &Webhook, webhook: &Webhook, installed: &Installed) -> Result<String, String> {
    let config = &webhook.client_config;
    if let Some(url) = &config.url {
        return Ok(format!("{url}, not a Service"));
    }
    let Some(service) = &config.service else {
        return Err("asks nobody".to_owned());
    };
    let path = service.path.as_deref().unwrap_or("/");
    let port = service.port.unwrap_or(443);
    let asked = format!("{}/{}:{port}{path}", service.namespace, service.name);
    if !installed.is_service(service) {
        let Installed {
            namespace,
            service: name,
            ..
        } = installed;
        return Err(format!("asks {asked}, not the Service {namespace}/{name}"));
    }
    let wanted = wanted.client_config.service.as_ref();
    let wanted = wanted.and_then(|service| service.path.as_deref());
    match wanted.unwrap_or("/") {
        wanted if wanted == path => Ok(asked),
        wanted => Err(format!(
            "asks {asked}, where nobody answers: its path is {wanted}"
        )),
    }
}

/// The fields that differ in what matters. Which namespaces are spared, how long a call may take and what
/// becomes of an entry that nobody judged are for whoever installs it to say.
fn drift(wanted: &Webhook, webhook: &Webhook) -> Vec<&'static str> {
    let fields = [
        ("rules", webhook.rules == wanted.rules),
        (
            "matchConditions",
            webhook.match_conditions == wanted.match_conditions,
        ),
        ("matchPolicy", webhook.match_policy == wanted.match_policy),
        ("objectSelector", is_empty(&webhook.object_selector)),
        ("sideEffects", webhook.side_effects == wanted.side_effects),
        (
            "admissionReviewVersions",
            webhook.admission_review_versions == wanted.admission_review_versions,
        ),
        (
            "reinvocationPolicy",
            webhook.reinvocation_policy == wanted.reinvocation_policy,
        ),
        (
            "failurePolicy",
            wanted.name == MAY_FAIL || webhook.failure_policy == wanted.failure_policy,
        ),
    ];
    let differing = fields.iter().filter(|(_, is_same)| !is_same);
    differing.map(|(field, _)| *field).collect()
}

/// Whether it selects everything.
fn is_empty(selector: &LabelSelector) -> bool {
    let labels = selector.match_labels.iter().flatten().next();
    let expressions = selector.match_expressions.iter().flatten().next();
    labels.is_none() && expressions.is_none()
}

fn remedy() -> String {
    let loses = "failurePolicy, port and what else was chosen are the defaults again";
    let remedy = shipped::remedy("webhooks", loses);
    format!("{remedy}\nthen see that the caBundle is there")
}
