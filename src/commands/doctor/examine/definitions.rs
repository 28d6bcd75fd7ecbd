//! The API server, the kinds that it knows, and the policies.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

use crate::commands::crd;
use crate::commands::doctor::attempts::{POLICY_FILES, policies_in_file};
use crate::commands::doctor::facts::{Facts, Seen};
use crate::policy::spec::{READY, VERSION};
use crate::report::counted;

use super::Observation;

/// The first minor version of Kubernetes 1 that takes the rules of the policy's definition, as the chart's
/// `kubeVersion` has it.
const OLDEST: u32 = 31;

const DEFINITION: &str = "definition of policies";

pub(super) fn examine(facts: &Facts) -> Vec<Observation> {
    let mut all = vec![api_server(facts), entries(facts), definition(facts)];
    all.extend(policies(facts));
    all
}

fn api_server(facts: &Facts) -> Observation {
    let told = format!("{} at {}", facts.version.git_version, facts.server);
    // Some clouds write `30+`.
    let minor = facts.version.minor.trim_end_matches('+').parse::<u32>();
    match minor {
        Ok(minor) if facts.version.major == "1" && minor < OLDEST => Observation::failed(
            "API server",
            &told,
            format!(
                "tunnelguard needs Kubernetes 1.{OLDEST} or newer (the rules of the policy's definition)"
            ),
        ),
        _ => Observation::ok("API server", &told),
    }
}

fn entries(facts: &Facts) -> Observation {
    const SUBJECT: &str = "ServiceEntries";
    match &facts.entry_versions {
        Seen::Found(versions) => {
            let told = format!("served as networking.istio.io {}", versions.join(", "));
            Observation::ok(SUBJECT, &told)
        }
        Seen::Absent => Observation::failed(
            SUBJECT,
            "Istio's definitions are not installed: there is nothing to guard",
            "install Istio, or its definitions alone (the chart istio/base)",
        ),
        Seen::Untold(why) => Observation::unchecked(SUBJECT, why),
    }
}

fn definition(facts: &Facts) -> Observation {
    // Forced, for what somebody edited is theirs, and what Helm once wrote is Helm's: a conflict.
    const REMEDY: &str = "helm upgrade; where Helm did not install it: tunnelguard crd | kubectl apply --server-side --force-conflicts -f -";
    let found = match &facts.definition {
        Seen::Found(found) => found,
        Seen::Untold(why) => return Observation::unchecked(DEFINITION, why),
        Seen::Absent if facts.policy_files.found().is_some() => {
            let told = "not installed, and policies are files";
            return Observation::ok(DEFINITION, told);
        }
        Seen::Absent => {
            let told = "not installed: policies can only be files, given to serve with --policy";
            return Observation::failed(DEFINITION, told, REMEDY);
        }
    };
    let version = env!("CARGO_PKG_VERSION");
    match crd::definition().map(|ours| is_current(&ours, found)) {
        Ok(true) => {
            let told = format!("as tunnelguard {version} has it");
            Observation::ok(DEFINITION, &told)
        }
        Ok(false) => {
            let told = format!("of another version than this tunnelguard, {version}");
            let remedy = format!("with the version that serves: {REMEDY}");
            Observation::failed(DEFINITION, &told, remedy)
        }
        Err(error) => Observation::unchecked(DEFINITION, &error.to_string()),
    }
}

/// Whether its version says the same: elsewhere the API server fills in what a definition leaves out.
fn is_current(ours: &CustomResourceDefinition, found: &CustomResourceDefinition) -> bool {
    let version = |definition: &CustomResourceDefinition| {
        let mut versions = definition.spec.versions.iter().cloned();
        let mut version = versions.find(|version| version.name == VERSION)?;
        let columns = version.additional_printer_columns.iter_mut().flatten();
        for column in columns {
            // The API server leaves out what is the default.
            column.priority = column.priority.filter(|priority| *priority != 0);
        }
        Some(version)
    };
    version(ours) == version(found)
}

fn policies(facts: &Facts) -> Vec<Observation> {
    const SUBJECT: &str = "policies";
    let policies = match &facts.policies {
        Seen::Found(policies) => policies.as_slice(),
        Seen::Untold(why) => return vec![Observation::unchecked(SUBJECT, why)],
        // Told by the definition.
        Seen::Absent => &[][..],
    };
    let mut all: Vec<Observation> = policies.iter().map(policy).collect();
    match &facts.policy_files {
        Seen::Found(files) => {
            let files = files.data.iter().flatten();
            all.extend(files.map(|(name, text)| policy_file(name, text)));
        }
        Seen::Untold(why) => all.push(Observation::unchecked("policy files", why)),
        Seen::Absent if all.is_empty() => {
            let told = "none: names are the only evidence, and only warned about";
            all.push(Observation::ok(SUBJECT, told));
        }
        Seen::Absent => {}
    }
    all
}

/// One of those that the chart mounts.
fn policy_file(name: &str, text: &str) -> Observation {
    let subject = format!("policy file {name}");
    match policies_in_file(name, text) {
        Ok(_) => Observation::ok(
            subject,
            &format!("in ConfigMap {POLICY_FILES}, of the chart"),
        ),
        Err(fault) => {
            let remedy = "mend it among the chart's `policies`, and helm upgrade";
            let told = format!("it is not in force: {fault}");
            Observation::failed(subject, &told, remedy)
        }
    }
}

fn policy(policy: &Value) -> Observation {
    let metadata = &policy["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    let subject = format!("policy {name}");
    let conditions = policy["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    let ready = conditions.find(|condition| condition["type"] == json!(READY));
    let Some(ready) = ready else {
        return Observation::failed(
            subject,
            "nobody has said yet whether it is in force",
            "the leader says so within seconds: see the Lease below",
        );
    };
    let message = ready["message"].as_str().unwrap_or_default();
    if ready["observedGeneration"] != metadata["generation"] {
        let told = "its last edit has not been seen by the leader";
        let remedy = "the leader says so within seconds: see the Lease below";
        return Observation::failed(subject, told, remedy);
    }
    if ready["status"] != "True" {
        let reason = ready["reason"].as_str().unwrap_or_default();
        let told = format!("not in force as written: {reason}: {message}");
        let remedy = format!("kubectl edit connectproxypolicy {name}");
        return Observation::failed(subject, &told, remedy);
    }
    let mode = policy["spec"]["mode"].as_str().unwrap_or("Audit");
    let declared = policy["status"]["proxies"]["declared"].as_u64();
    let declared = usize::try_from(declared.unwrap_or_default()).unwrap_or_default();
    let proxies = counted(declared, "proxy", "proxies");
    Observation::ok(subject, &format!("{message}: {mode}, {proxies} declared"))
}
