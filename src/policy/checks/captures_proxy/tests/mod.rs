mod advice;
mod sidecars;

use serde_json::json;

use crate::mesh::simulation::OutboundPolicy;
use crate::mesh::{MeshView, ServiceEntry};
use crate::policy::checks::testing::{context, entries, table};
use crate::policy::compile::PolicySet;
use crate::policy::evaluator::evaluate;
use crate::policy::finding::Finding;
use crate::policy::spec::ConnectProxyPolicy;

use super::{DIALLED, NAMED};

const PROTECTED: &str = "
metadata: {name: protects}
spec: {hosts: [other.corp], addresses: [10.20.0.6], ports: [{number: 3129, name: p, protocol: TCP}]}";

#[test]
fn rows() {
    let api = "{hosts: [api.test], addresses: [10.9.9.9], ports: [{number: 3129, name: p, protocol: HTTP}]}";
    let protected = format!("metadata: {{name: api}}\nspec: {api}\n---\n{PROTECTED}");
    // 10.20.0.6:3129 is sniffed whatever the API does.
    let sniffed = protected.replace("protocol: TCP", "protocol: ''");
    let private =
        "{hosts: [api.test], exportTo: ['~'], ports: [{number: 3129, name: p, protocol: HTTP}]}";
    let hidden = format!(
        "{protected}\n---\nmetadata: {{name: own, namespace: b}}\nspec: {{hosts: [other.corp], ports: [{{number: 443, name: p, protocol: TLS}}]}}"
    );
    let disputed = "\
metadata: {name: api}
spec: {hosts: [api.test], ports: [{number: 3129, name: p, protocol: Mongo}]}
---
metadata: {name: beside}
spec: {hosts: [api.test], exportTo: [b], ports: [{number: 8080, name: p}]}";
    let behind_sidecar = "\
metadata: {name: api}
spec: {hosts: [api.test], exportTo: [b], ports: [{number: 3129, name: p}]}
---
metadata: {name: own, namespace: b}
spec: {hosts: [own.test], ports: [{number: 3129, name: p}]}
---
kind: Sidecar
metadata: {name: sidecar, namespace: b}
spec: {egress: [{hosts: [./*]}]}";
    let hides_itself = "\
metadata: {name: hidden}
spec: {hosts: [api.test], exportTo: [b], ports: [{number: 3129, name: p}]}
---
metadata: {name: own, namespace: b}
spec: {hosts: [api.test], ports: [{number: 9999, name: p, protocol: TCP}]}
---
metadata: {name: captures, namespace: b}
spec: {hosts: [other.corp], ports: [{number: 3129, name: p}]}";
    table(
        &super::CHECK,
        &[
            ("an HTTP API on the port", api, "error"),
            (
                "a Service of somebody else",
                "kind: Service\nmetadata: {name: api}\nspec: {clusterIP: 10.96.0.9, ports: [{port: 3129, name: http}]}",
                "error",
            ),
            (
                "a Service without a ClusterIP yet",
                "kind: Service\nmetadata: {name: api}\nspec: {ports: [{port: 3129, name: http}]}",
                "error",
            ),
            (
                "a Service that is sniffed",
                "kind: Service\nmetadata: {name: api}\nspec: {ports: [{port: 3129, name: web}]}",
                "",
            ),
            (
                "sniffed without address",
                "{hosts: [api.test], ports: [{number: 3129, name: p}]}",
                "error",
            ),
            (
                "TCP with DNS and no address",
                "{hosts: [api.test], resolution: DNS, ports: [{number: 3129, name: p, protocol: TCP}]}",
                "error",
            ),
            (
                "claims one proxy and breaks another",
                "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: HTTP}]}",
                "error",
            ),
            ("every such proxy is protected", &protected, ""),
            (
                "another entry's listener takes the proxy's dials",
                &sniffed,
                "",
            ),
            (
                "a DestinationRule of its host puts what it takes into TLS",
                "kind: DestinationRule\nmetadata: {name: rule}\nspec: {host: api.test, trafficPolicy: {tls: {mode: SIMPLE}}}\n---\nmetadata: {name: api}\nspec: {hosts: [api.test], ports: [{number: 3129, name: p, protocol: TCP}]}",
                "error",
            ),
            (
                "the same DestinationRule without TLS",
                "kind: DestinationRule\nmetadata: {name: rule}\nspec: {host: api.test, trafficPolicy: {tls: {mode: DISABLE}}}\n---\nmetadata: {name: api}\nspec: {hosts: [api.test], ports: [{number: 3129, name: p, protocol: TCP}]}",
                "",
            ),
            ("nobody sees it", private, ""),
            (
                "another entry of the host, exported to one namespace, takes the endpoints from it there",
                disputed,
                "error",
            ),
            (
                "that one is for another host",
                &disputed.replace("hosts: [api.test], exportTo", "hosts: [own.test], exportTo"),
                "",
            ),
            (
                "the only client has an entry of its own for the host, and another's port takes the dials",
                hides_itself,
                "",
            ),
            (
                "that one is for another host, too",
                &hides_itself.replace(
                    "hosts: [api.test], ports: [{number: 9999",
                    "hosts: [other.test], ports: [{number: 9999",
                ),
                "error",
            ),
            (
                "another namespace's own entry hides from it the one that protects the proxy",
                &hidden,
                "error",
            ),
            (
                "that namespace does not see the port",
                &hidden.replace(
                    "spec: {hosts: [api.test], ",
                    "spec: {hosts: [api.test], exportTo: ['.'], ",
                ),
                "",
            ),
            (
                "a Sidecar shows the only namespace that it is exported to nothing but its own port",
                behind_sidecar,
                "error",
            ),
            (
                "only clients of IPv6 see it, and under ALLOW_ANY_DYNAMIC_DNS nobody's proxy gets 404",
                "{hosts: [api.test], addresses: ['::'], ports: [{number: 3129, name: p}]}",
                "",
            ),
            (
                "sniffed for everyone under ALLOW_ANY_DYNAMIC_DNS",
                "{hosts: [api.test], ports: [{number: 3129, name: p}]}",
                "error",
            ),
            (
                "TCP with an address",
                "{hosts: [api.test], addresses: [10.9.9.9], ports: [{number: 3129, name: p, protocol: TCP}]}",
                "",
            ),
            (
                "sniffed with an address",
                "{hosts: [api.test], addresses: [10.9.9.9], ports: [{number: 3129, name: p}]}",
                "",
            ),
            (
                "no proxy on the port",
                "{hosts: [api.test], ports: [{number: 9090, name: p, protocol: HTTP}]}",
                "",
            ),
            (
                "sidecars make the CONNECT",
                "{hosts: [api.test], ports: [{number: 8888, name: p, protocol: HTTP}]}",
                "",
            ),
        ],
    );
}

/// What an HTTP API on the port captures of so many proxies, of which `is_tunnel` says which are dialled by
/// sidecars, where those before `unprotected` have a TCP entry.
fn captured(count: usize, is_tunnel: impl Fn(usize) -> bool, unprotected: usize) -> Vec<Finding> {
    let api = "{hosts: [api.test], ports: [{number: 3129, name: p, protocol: HTTP}]}";
    let api = entries(api).remove(0);
    let mut mesh = MeshView::new();
    mesh.upsert(api.clone());
    let address = |index: usize| format!("10.20.{index}.1");
    for index in 0..unprotected {
        let address = address(index);
        let entry = json!({
            "metadata": {"name": format!("p{index}")},
            "spec": {
                "hosts": [format!("p{index}.test")], "addresses": [address],
                "ports": [{"number": 3129, "name": "p", "protocol": "TCP"}],
            },
        });
        mesh.upsert(serde_json::from_value::<ServiceEntry>(entry).unwrap());
    }
    let proxies = (0..count).map(|index| {
        json!({
            "name": format!("p{index}"), "addresses": [address(index)], "ports": [3129], "tunnel": is_tunnel(index),
        })
    });
    let document: ConnectProxyPolicy = serde_json::from_value(json!({
        "apiVersion": "tunnelguard.dev/v1alpha1",
        "kind": "ConnectProxyPolicy",
        "metadata": {"name": "corporate"},
        "spec": {"proxies": proxies.collect::<Vec<_>>()},
    }))
    .unwrap();
    let policies = PolicySet::compile(&[document]).unwrap();
    let mut findings = evaluate(&api, context(&policies, &mesh, OutboundPolicy::default()));
    findings.retain(|finding| finding.check == super::CHECK.id);
    findings
}

/// Those that no port captures are no reason to leave out one that comes after them.
#[test]
fn a_proxy_behind_many_tunnels_is_dialled() {
    for tunnels in [0, DIALLED] {
        let findings = captured(tunnels + 1, |index| index < tunnels, 0);
        let names = findings.iter().flat_map(|finding| &finding.proxies);
        let names: Vec<&str> = names.map(|concerned| &*concerned.proxy.name).collect();
        assert_eq!(names, [format!("p{tunnels}")]);
    }
}

#[test]
fn what_is_cut_off_is_told() {
    // (proxies, of which the first so many are protected; how many are named, whether more are spoken of)
    for (count, protected, named, more) in [
        (1, 0, 1, false),
        (NAMED, 0, NAMED, false),
        (NAMED + 1, 0, NAMED, true),
        (DIALLED, DIALLED - 1, 1, false),
        (DIALLED + 1, DIALLED - 1, 1, true),
        (DIALLED + 1, DIALLED, 0, false),
    ] {
        let case = format!("{protected} of {count}");
        let findings = captured(count, |_| false, protected);
        let told: usize = findings.iter().map(|finding| finding.proxies.len()).sum();
        assert_eq!(told, named, "{case}");
        for finding in findings {
            let (long, short) = (finding.message(), finding.brief_about(40).fate);
            assert_eq!(long.contains("there may be more"), more, "{case}: {long}");
            assert_eq!(short.contains("and perhaps more"), more, "{case}: {short}");
        }
    }
}
