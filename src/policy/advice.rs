//! What is valid in a policy, and can hardly be meant.

use std::collections::HashMap;

use ipnet::IpNet;
use jiff::civil::Date;

use crate::mesh::FieldPath;
use crate::mesh::line::{NAME_CHARACTERS, one_line, shown};

use super::compile::{PolicySet, Remark};
use super::proxy::{Evidence, Proxy};
use super::spec::{ConnectProxyPolicy, Exemption};

/// How much of a reason is repeated: it only helps to find the exemption.
const REASON_CHARACTERS: usize = 60;

/// What its author may want to know of a policy that can be used: `compiled` is what became of the
/// document, `in_force` the policies there are, this one before the edit among them.
pub fn advice(
    document: &ConnectProxyPolicy,
    compiled: &PolicySet,
    in_force: &PolicySet,
    today: Date,
) -> Vec<Remark> {
    let mut advice = Vec::new();
    declared_elsewhere(compiled.proxies.all(), in_force.proxies.all(), &mut advice);
    never_reached(document, &mut advice);
    let exemptions = document.spec.exemptions.iter().enumerate();
    advice.extend(exemptions.filter_map(|(index, exemption)| {
        let path = FieldPath::spec().key("exemptions").index(index);
        let message = expired(exemption, today)?;
        Some(Remark { path, message })
    }));
    advice
}

fn expired(exemption: &Exemption, today: Date) -> Option<String> {
    let text = exemption.expires.as_deref()?;
    let last: Date = text.parse().ok()?;
    if today <= last {
        return None;
    }
    let owner = exemption.owner.as_deref();
    let owner = owner.map_or(String::new(), |owner| {
        format!("{}: ", shown(owner, NAME_CHARACTERS))
    });
    let reason = one_line(&exemption.reason, REASON_CHARACTERS);
    Some(format!(
        "expired on {last} and exempts nothing; renew or remove it ({owner}{reason})"
    ))
}

fn never_reached(document: &ConnectProxyPolicy, advice: &mut Vec<Remark>) {
    let overrides = &document.spec.overrides;
    for (index, over) in overrides.iter().enumerate() {
        let mut earlier = overrides[..index].iter();
        let selector = &over.namespace_selector;
        if let Some(first) = earlier.position(|one| one.namespace_selector.covers(selector)) {
            let path = |index| FieldPath::spec().key("overrides").index(index);
            let message = format!(
                "never reached, for {} selects all that it selects; put it first or remove it",
                path(first)
            );
            advice.push(Remark {
                path: path(index),
                message,
            });
        }
    }
}

/// One proxy in two policies is no fault, but an edit of one of them does less than it seems to.
fn declared_elsewhere(own: &[Proxy], known: &[Proxy], advice: &mut Vec<Remark>) {
    let mut hosts: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut addresses: HashMap<IpNet, Vec<usize>> = HashMap::new();
    for (index, proxy) in own.iter().enumerate() {
        for host in &proxy.hosts {
            hosts.entry(host).or_default().push(index);
        }
        for address in &proxy.addresses {
            addresses.entry(address.trunc()).or_default().push(index);
        }
    }
    let mut twins: Vec<Option<String>> = vec![None; own.len()];
    let policy = own.first().map(|proxy| &*proxy.policy);
    let elsewhere =
        |proxy: &&Proxy| proxy.evidence == Evidence::Declared && Some(&*proxy.policy) != policy;
    for other in known.iter().filter(elsewhere) {
        let same_host = other.hosts.iter().filter_map(|host| hosts.get(&**host));
        let nets = other.addresses.iter().map(IpNet::trunc);
        let same_address = nets.filter_map(|net| addresses.get(&net));
        for index in same_host.chain(same_address).flatten() {
            let mut ports = own[*index].ports.iter();
            if twins[*index].is_none()
                && let Some(port) = ports.find(|port| other.ports.contains(port))
            {
                twins[*index] = Some(format!(
                    "is {} as well; where the two policies differ, the stricter holds",
                    other.mention(*port)
                ));
            }
        }
    }
    advice.extend(twins.into_iter().enumerate().filter_map(|(index, twin)| {
        let path = FieldPath::spec().key("proxies").index(index);
        Some(Remark {
            path,
            message: twin?,
        })
    }));
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use serde_json::{Value, json};

    use super::advice;
    use crate::policy::PolicySet;
    use crate::policy::compile::Place;
    use crate::policy::spec::ConnectProxyPolicy;

    fn policy(name: &str, spec: &str) -> ConnectProxyPolicy {
        let spec: Value = serde_saphyr::from_str(spec).unwrap();
        let object = json!({
            "apiVersion": "tunnelguard.dev/v1alpha1", "kind": "ConnectProxyPolicy",
            "metadata": {"name": name}, "spec": spec,
        });
        ConnectProxyPolicy::read(&object).unwrap()
    }

    fn compiled(documents: &[ConnectProxyPolicy]) -> PolicySet {
        PolicySet::compile_where(documents, Place::Cluster).unwrap()
    }

    /// What is advised about a policy called own, on 2026-11-21, beside one called other.
    #[test]
    fn what_can_hardly_be_meant() {
        let all = "{namespaceSelector: {}, mode: Audit}";
        let tier = "{namespaceSelector: {matchLabels: {tier: prod}}, mode: Enforce}";
        let never = "never reached, for spec.overrides[0] selects all that it selects; put it first or remove it";
        let twin = "is squid (10.20.0.5:3128, declared by policy other) as well; where the two policies differ, the stricter holds";
        for (spec, said) in [
            ("{}".to_owned(), vec![]),
            ("{exemptions: [{reason: r, expires: 2026-11-21}]}".into(), vec![]),
            ("{exemptions: [{reason: r}]}".into(), vec![]),
            (
                "{exemptions: [{reason: moves in Q1, owner: team-net, expires: 2026-11-20}]}".into(),
                vec!["spec.exemptions[0]: expired on 2026-11-20 and exempts nothing; renew or remove it (team-net: moves in Q1)".to_owned()],
            ),
            (format!("{{overrides: [{tier}, {all}]}}"), vec![]),
            (format!("{{overrides: [{all}, {tier}]}}"), vec![format!("spec.overrides[1]: {never}")]),
            (
                format!("{{overrides: [{tier}, {tier}, {tier}]}}"),
                vec![format!("spec.overrides[1]: {never}"), format!("spec.overrides[2]: {never}")],
            ),
            (
                "{proxies: [{name: a, addresses: [10.20.0.5/32], ports: [80, 3128]}]}".into(),
                vec![format!("spec.proxies[0]: {twin}")],
            ),
            (
                "{proxies: [{name: a, hosts: [b.c], ports: [3128]}, {name: a, hosts: [Squid.Corp.], ports: [3128]}]}".into(),
                vec![format!("spec.proxies[1]: {twin}")],
            ),
            ("{proxies: [{name: a, addresses: [10.20.0.5], ports: [8080]}]}".into(), vec![]),
            ("{proxies: [{name: a, addresses: [10.20.0.6], ports: [3128]}]}".into(), vec![]),
            ("{proxies: [{name: a, hosts: ['*.corp'], ports: [3128]}]}".into(), vec![]),
        ] {
            let own = policy("own", &spec);
            let squid = "{proxies: [{name: squid, hosts: [squid.corp], addresses: [10.20.0.5], ports: [3128]}]}";
            // What it said before, and what it says now, are no two policies.
            let in_force = compiled(&[own.clone(), policy("other", squid)]);
            let found = advice(&own, &compiled(std::slice::from_ref(&own)), &in_force, date(2026, 11, 21));
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(found, said, "{spec}");
        }
    }
}
