//! TG017: nothing declares the proxy, and the mesh closes what is undeclared.
//!
//! **What it does.** Reports a declared proxy that no entry in view lets through, under
//! REGISTRY_ONLY (closed) or ALLOW_ANY_DYNAMIC_DNS (`404`). It is about the mesh, so it has no
//! file and no object, and the webhook never raises it. Silent where another finding already
//! explains why the proxy is cut off.
//!
//! **Why.** Under REGISTRY_ONLY a sidecar closes every connection that no service declares, and
//! people then add an entry in a hurry, with HTTP.
//!
//! **Fix.** None: the ServiceEntry to add, whole.

use std::net::IpAddr;
use std::sync::Arc;

use crate::mesh::service_entry::ServiceEntry;
use crate::mesh::simulation::{OutboundPolicy, Outcome, simulate};
use crate::mesh::{FieldPath, MeshView};
use crate::policy::check::{Check, CheckId, Context};
use crate::policy::dials::{ELSEWHERE, addresses_of, dial};
use crate::policy::finding::{Brief, Concerned, Finding, Severity};
use crate::policy::proxy::Proxy;
use crate::policy::spec::Mode;
use crate::policy::subject::Subject;

use super::protective_entry;

/// See the module.
pub(crate) static CHECK: Check = Check {
    id: CheckId(17),
    title: "nothing declares the proxy, and the mesh closes what is undeclared",
    ceiling: Mode::Enforce,
    page: include_str!("../../../docs/checks/TG017.md"),
    run: |_: &Subject<'_>, _: &mut Vec<Finding>| {},
};

/// Looks at every declared proxy with everything in view.
pub(crate) fn run(context: Context<'_>, findings: &[Finding]) -> Vec<Finding> {
    let mut found = Vec::new();
    // Forwarded as it is: there is nothing to close.
    if context.environment.outbound == OutboundPolicy::AllowAny {
        return found;
    }
    for proxy in context
        .policies
        .proxies
        .all()
        .iter()
        .filter(|proxy| !proxy.tunnel)
    {
        for port in &proxy.ports {
            let explained = findings.iter().any(|finding| {
                let mut concerned = finding.proxies.iter();
                finding.severity == Severity::Error
                    && concerned.any(|known| *known.proxy == *proxy && known.port == *port)
            });
            let cut_off = cut_off(context, proxy, *port);
            if !explained && !cut_off.is_empty() {
                found.push(undeclared(context, proxy, *port, &cut_off));
            }
        }
    }
    found
}

/// The addresses of the proxy that no namespace in view gets through to.
fn cut_off(context: Context<'_>, proxy: &Proxy, port: u16) -> Vec<IpAddr> {
    let mut namespaces = vec![ELSEWHERE];
    let (nobody, mesh): (ServiceEntry, &MeshView) = (ServiceEntry::default(), context.mesh);
    for entry in mesh.entries().filter(|entry| entry.port(port).is_some()) {
        let named = entry.export_to.iter().map(|to| match &**to {
            "." => &*entry.namespace,
            to => to,
        });
        for namespace in named.filter(|to| entry.is_visible_from(to)) {
            if !entry.is_public() && !namespaces.contains(&namespace) {
                namespaces.push(namespace);
            }
        }
    }
    let addresses = addresses_of(proxy, &nobody);
    let closed = addresses.into_iter().filter(|address| {
        namespaces.iter().all(|namespace| {
            let dial = dial(namespace, *address, port, proxy);
            let prediction = simulate(mesh, &dial, &context.environment);
            let fails = matches!(prediction.outcome, Outcome::BlackHole | Outcome::NotFound);
            fails && prediction.by.is_none()
        })
    });
    closed.collect()
}

fn undeclared(context: Context<'_>, proxy: &Proxy, port: u16, addresses: &[IpAddr]) -> Finding {
    let outbound = context.environment.outbound;
    let all = addresses.len() == proxy.single_addresses().count().max(1);
    let which = match (all, addresses) {
        (false, [only]) => format!(" at {only}"),
        (false, [first, rest @ ..]) => format!(" at {first} and {} more addresses", rest.len()),
        _ => String::new(),
    };
    Finding {
        check: CHECK.id,
        severity: Severity::Error,
        path: FieldPath::root(),
        port: Some(port),
        what: format!(
            "nothing declares {{proxy}}{which}, and {outbound} does not let through what is undeclared"
        ),
        edit: format!("Add: {}", protective_entry(proxy, port)),
        brief: Brief::new(
            "",
            format!("nothing declares {{proxy}} under {outbound}"),
            "add a TCP entry for its IPs",
        ),
        proxies: vec![Concerned {
            proxy: Arc::new(proxy.clone()),
            port,
            severity: Severity::Error,
        }],
        fix: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::table;

    // The table's policy declares four proxies on five ports that are dialled directly.
    const REST: &str = "
metadata: {name: rest}
spec: {hosts: [other.corp], addresses: [10.20.0.6], ports: [{number: 3128, name: a, protocol: TCP}, {number: 3129, name: b, protocol: TCP}]}
---
metadata: {name: tls}
spec: {hosts: [tls.corp], addresses: [10.20.0.9], ports: [{number: 8443, name: a, protocol: TLS}]}
---
metadata: {name: pair}
spec: {hosts: [pair.corp], addresses: [10.20.0.7, 10.20.0.8], ports: [{number: 8118, name: a, protocol: TCP}]}";

    #[test]
    fn rows() {
        let with =
            |name: &str, spec: &str| format!("metadata: {{name: {name}}}\nspec: {spec}\n---{REST}");
        let declared = with(
            "corp",
            "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: TCP}]}",
        );
        let private = with(
            "corp",
            "{hosts: [proxy.corp], addresses: [10.20.0.5], exportTo: ['.'], ports: [{number: 3128, name: p, protocol: TCP}]}",
        );
        let missing = with(
            "api",
            "{hosts: [api.test], addresses: [10.9.9.9], ports: [{number: 9090, name: p, protocol: TCP}]}",
        );
        let explained = with(
            "corp",
            "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: UDP}]}",
        );
        table(
            &super::CHECK,
            &[
                ("one is missing, REGISTRY_ONLY", &missing, "error"),
                ("all are declared, REGISTRY_ONLY", &declared, ""),
                ("declared for one namespace, REGISTRY_ONLY", &private, ""),
                ("another finding explains it, REGISTRY_ONLY", &explained, ""),
                ("ALLOW_ANY", &missing, ""),
            ],
        );
    }
}
