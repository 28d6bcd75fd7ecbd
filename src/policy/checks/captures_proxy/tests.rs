use serde_json::json;

use super::super::testing::{context, entries, table};
use crate::mesh::MeshView;
use crate::mesh::simulation::OutboundPolicy;
use crate::policy::compile::PolicySet;
use crate::policy::evaluator::evaluate;
use crate::policy::spec::ConnectProxyPolicy;

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

/// Those that no port captures are no reason to leave out one that comes after them.
#[test]
fn a_proxy_behind_many_tunnels_is_dialled() {
    let api = "{hosts: [api.test], ports: [{number: 3129, name: p, protocol: HTTP}]}";
    let api = entries(api).remove(0);
    let mut mesh = MeshView::new();
    mesh.upsert(api.clone());
    for tunnels in [0, super::DIALLED] {
        let proxies = (0..=tunnels).map(|index| {
            let address = format!("10.20.{index}.1");
            json!({
                "name": format!("p{index}"), "addresses": [address], "ports": [3129], "tunnel": index < tunnels,
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
        let findings = evaluate(&api, context(&policies, &mesh, OutboundPolicy::default()));
        let captured = findings
            .iter()
            .filter(|finding| finding.check == super::CHECK.id);
        let captured: Vec<&str> = captured
            .flat_map(|finding| &finding.proxies)
            .map(|concerned| &*concerned.proxy.name)
            .collect();
        assert_eq!(captured, [format!("p{tunnels}")]);
    }
}
