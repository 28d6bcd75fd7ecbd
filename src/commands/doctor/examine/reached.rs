//! The Service that the API server dials, and who is behind it.

use k8s_openapi::api::core::v1::Service;

use crate::commands::doctor::Installed;
use crate::commands::doctor::facts::{Facts, Seen};
use crate::report::counted;

use super::Observation;

pub(super) fn examine(facts: &Facts, installed: &Installed) -> Vec<Observation> {
    let Some(service) = service(facts, installed) else {
        return Vec::new();
    };
    let mut all = vec![service];
    // Without a Service there is nothing that endpoints could be of.
    if !matches!(facts.service, Seen::Absent) {
        all.push(endpoints(facts, installed));
    }
    all
}

/// None where no webhook asks a Service.
fn service(facts: &Facts, installed: &Installed) -> Option<Observation> {
    const SUBJECT: &str = "Service";
    let Installed {
        namespace, service, ..
    } = installed;
    let configurations = [facts.mutating.found(), facts.validating.found()];
    let webhooks: Vec<_> = configurations
        .into_iter()
        .flatten()
        .flat_map(|configuration| &configuration.webhooks)
        .collect();
    let asked = webhooks
        .iter()
        .filter_map(|webhook| webhook.client_config.service.as_ref());
    let ports: Vec<i32> = asked.map(|service| service.port.unwrap_or(443)).collect();
    if ports.is_empty() && !webhooks.is_empty() {
        return None;
    }
    let remedy = "helm upgrade, or apply the manifests again";
    let found = match &facts.service {
        Seen::Found(found) => found,
        Seen::Untold(why) => return Some(Observation::unchecked(SUBJECT, why)),
        Seen::Absent => {
            let told = format!("there is no {namespace}/{service}: no review arrives");
            return Some(Observation::failed(SUBJECT, &told, remedy));
        }
    };
    let address = address(found);
    if address == "None" {
        let told = format!("{namespace}/{service} is headless: the API server cannot dial it");
        return Some(Observation::failed(SUBJECT, &told, remedy));
    }
    let spec = found.spec.as_ref();
    let open = spec
        .and_then(|spec| spec.ports.as_ref())
        .into_iter()
        .flatten();
    let open: Vec<i32> = open.map(|port| port.port).collect();
    if let Some(missing) = ports.iter().find(|port| !open.contains(port)) {
        let told = format!("{namespace}/{service} has no port {missing}, which a webhook asks");
        return Some(Observation::failed(SUBJECT, &told, remedy));
    }
    let told = format!("{namespace}/{service} at {address}");
    Some(Observation::ok(SUBJECT, &told))
}

fn address(service: &Service) -> &str {
    let spec = service.spec.as_ref();
    let address = spec.and_then(|spec| spec.cluster_ip.as_deref());
    address.unwrap_or("no address")
}

fn endpoints(facts: &Facts, installed: &Installed) -> Observation {
    const SUBJECT: &str = "ready endpoints";
    let slices = match &facts.slices {
        Seen::Found(slices) => slices.as_slice(),
        Seen::Absent => &[],
        Seen::Untold(why) => return Observation::unchecked(SUBJECT, why),
    };
    let endpoints = slices.iter().flat_map(|slice| &slice.endpoints);
    // Not said counts as ready (k8s.io/api/discovery/v1/types.go).
    let is_ready = |ready: Option<bool>| ready.unwrap_or(true);
    let (ready, waiting): (Vec<_>, Vec<_>) = endpoints
        .partition(|endpoint| is_ready(endpoint.conditions.as_ref().and_then(|one| one.ready)));
    if ready.is_empty() {
        let told = match waiting.len() {
            0 => "none: no replica runs".to_owned(),
            count => format!(
                "none: {} not ready",
                counted(count, "replica is", "replicas are")
            ),
        };
        let Installed {
            namespace, service, ..
        } = installed;
        let remedy = format!(
            "kubectl get pods -n {namespace} -l app.kubernetes.io/name=tunnelguard\nkubectl describe service -n {namespace} {service}"
        );
        return Observation::failed(SUBJECT, &told, remedy);
    }
    let told = match ready.len() {
        1 => "1: run two before failurePolicy is Fail".to_owned(),
        count => count.to_string(),
    };
    Observation::ok(SUBJECT, &told)
}
