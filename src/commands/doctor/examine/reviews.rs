//! What came of what was tried: whether reviews are answered, and as the policies say.

use crate::commands::doctor::Installed;
use crate::commands::doctor::attempts::{Attempt, NAME, Reaction};
use crate::commands::doctor::facts::{Answer, Facts, Seen, Tried, Webhook};
use crate::mesh::Labels;
use crate::policy::namespaces::Namespace;
use crate::policy::spec::LabelSelector;

use super::{Observation, State};

/// The webhooks whose answers can be seen, in the order in which they are asked.
const WEBHOOKS: [&str; 3] = [
    "mutate.tunnelguard.dev",
    "validate.tunnelguard.dev",
    "validate-policy.tunnelguard.dev",
];

/// How the API server tells a call that failed, and a denial (k8s.io/apiserver/pkg/admission/plugin/webhook).
const CALL_FAILED: &str = "failed calling webhook";
const FAILED_BECAUSE: &str = "failed to call webhook: ";
const DENIED: &str = "denied the request";

pub(super) fn examine(facts: &Facts, tried: &[Tried], installed: &Installed) -> Vec<Observation> {
    // What is not there was told already.
    let configured: Vec<&Webhook> = WEBHOOKS
        .iter()
        .filter_map(|name| facts.webhook(name))
        .collect();
    let mut all = Vec::new();
    let mut unanswered = Vec::new();
    for webhook in configured {
        let tried = tried.iter().find(|one| one.attempt.webhook == webhook.name);
        let observation = review(webhook, tried, facts, installed);
        if observation.state == State::Failed {
            unanswered.push(webhook);
        }
        all.push(observation);
    }
    all.extend(consequence(&unanswered, installed));
    all
}

fn review(
    webhook: &Webhook,
    tried: Option<&Tried>,
    facts: &Facts,
    installed: &Installed,
) -> Observation {
    let (called, _) = webhook.name.split_once('.').unwrap_or((&webhook.name, ""));
    let subject = format!("/{called}, tried");
    if !asks_about(webhook, facts, installed) {
        let told = format!(
            "its namespaceSelector spares namespace {}: name another with --try-in",
            installed.try_in
        );
        return Observation::unchecked(subject, &told);
    }
    match tried {
        Some(tried) => came_of(subject, tried),
        None => Observation::unchecked(subject, &untried(webhook, facts, installed)),
    }
}

/// Whether it is asked about what is tried.
fn asks_about(webhook: &Webhook, facts: &Facts, installed: &Installed) -> bool {
    let selector = serde_json::to_value(&webhook.namespace_selector);
    let selector = selector.and_then(serde_json::from_value::<LabelSelector>);
    let (Ok(selector), Seen::Found(namespace)) = (selector, &facts.namespace) else {
        return true;
    };
    let labels = namespace.metadata.labels.iter().flatten();
    let labels = labels.map(|(label, value)| (label.as_str().into(), value.as_str().into()));
    let labels: Labels = labels.collect();
    selector.selects(Namespace {
        name: &installed.try_in,
        labels: Some(&labels),
    })
}

/// Why nothing was tried of which it would say something.
fn untried(webhook: &Webhook, facts: &Facts, installed: &Installed) -> String {
    let namespace = &installed.try_in;
    let is_policy = webhook.name == "validate-policy.tunnelguard.dev";
    let told = !matches!(facts.policies, Seen::Untold(_));
    if !(told && (is_policy || !matches!(facts.policy_files, Seen::Untold(_)))) {
        return "the policies are not told, so there is no telling what it should say".to_owned();
    }
    match webhook.name.as_str() {
        _ if is_policy => "no policy can be made: their definition is not installed".to_owned(),
        _ if facts.entry_versions.found().is_none() => "no ServiceEntry can be made".to_owned(),
        "mutate.tunnelguard.dev" => format!(
            "no policy that can be seen repairs anything in namespace {namespace}, so nothing would show it"
        ),
        _ => format!(
            "no policy that can be seen says anything about an entry in namespace {namespace}: see --try-in"
        ),
    }
}

fn came_of(subject: String, tried: &Tried) -> Observation {
    let Attempt {
        webhook,
        called,
        by,
        expected,
        ..
    } = &tried.attempt;
    let got = match judged(&tried.answer) {
        Ok(got) => got,
        Err(Unjudged::Away(why)) if why.contains(webhook) => {
            let why = why
                .rsplit_once(FAILED_BECAUSE)
                .map_or(&*why, |(_, why)| why);
            return Observation::bad(subject, &format!("not answered: {why}"));
        }
        Err(Unjudged::Away(why) | Unjudged::Else(why)) => {
            let why = why.trim_start_matches("Internal error occurred: ");
            return Observation::unchecked(subject, &format!("it could not be tried: {why}"));
        }
    };
    let came = format!("{called} {}", done(got));
    match (got, expected) {
        _ if got == *expected => Observation::ok(subject, &format!("{came}, {by}")),
        (Reaction::Nothing, _) => {
            let told = format!("{called} passes unjudged: no answer to the review came");
            Observation::bad(subject, &told)
        }
        // A repair that was missed is denied, too, and one that the mesh forbids is not made.
        (_, Reaction::Repaired) => {
            let told = format!(
                "{came}, not repaired {by}: a policy in a file or the mesh is why, or /mutate was not answered"
            );
            Observation::unchecked(subject, &told)
        }
        _ if got > *expected => {
            let told =
                format!("{came}, more strictly than {by}: so says a policy in a file, or the mesh");
            Observation::ok(subject, &told)
        }
        _ => {
            let told = format!(
                "{came}, where it should be {}, {by}: another policy is in force",
                done(*expected).trim_start_matches("is ")
            );
            Observation::bad(subject, &told)
        }
    }
}

/// Why an answer does not show what the guard thinks.
enum Unjudged {
    /// A webhook of the guard was called in vain.
    Away(String),
    /// Something else was in the way.
    Else(String),
}

fn judged(answer: &Answer) -> Result<Reaction, Unjudged> {
    let (object, warnings) = match answer {
        Answer::Created { object, warnings } => (object, warnings),
        Answer::Refused { code, message } => {
            let is_ours = message.contains(".tunnelguard.dev\"");
            return match (is_ours, message) {
                (true, message) if message.contains(DENIED) => Ok(Reaction::Denied),
                (true, message) if message.contains(CALL_FAILED) => {
                    Err(Unjudged::Away(message.clone()))
                }
                _ => Err(Unjudged::Else(format!("{message} ({code})"))),
            };
        }
    };
    let annotations = &object["metadata"]["annotations"];
    if annotations["tunnelguard.dev/repaired"].is_string() {
        return Ok(Reaction::Repaired);
    }
    let policy = format!("policy {NAME} ");
    let is_ours = |warning: &String| warning.starts_with("TG") || warning.starts_with(&policy);
    Ok(match warnings.iter().any(is_ours) {
        true => Reaction::Warned,
        false => Reaction::Nothing,
    })
}

fn done(reaction: Reaction) -> &'static str {
    match reaction {
        Reaction::Nothing => "passes",
        Reaction::Warned => "is warned about",
        Reaction::Repaired => "is repaired",
        Reaction::Denied => "is denied",
    }
}

/// What it means that webhooks are not answered, or not as they should be, and what to do.
fn consequence(unanswered: &[&Webhook], installed: &Installed) -> Option<Observation> {
    let stops = |webhook: &&&Webhook| webhook.failure_policy.as_deref() != Some("Ignore");
    unanswered.first()?;
    let told = match unanswered.iter().find(stops) {
        Some(webhook) => format!(
            "while {} is not answered, no ServiceEntry can be made, and none changed",
            webhook.name
        ),
        None => {
            let names: Vec<&str> = unanswered.iter().map(|one| one.name.as_str()).collect();
            format!(
                "what {} should be asked about passes unjudged",
                names.join(", ")
            )
        }
    };
    let Installed {
        namespace,
        webhook_configuration: name,
        ..
    } = installed;
    let remedy = format!(
        "if no line above tells why: kubectl logs -n {namespace} -l app.kubernetes.io/name=tunnelguard --tail=100\n\
         in an emergency, to take it out of the way: kubectl delete validatingwebhookconfiguration,mutatingwebhookconfiguration {name}"
    );
    Some(Observation::failed("what that means", &told, remedy))
}
