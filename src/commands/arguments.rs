//! The flags that several commands share.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;

use crate::mesh::address::Address;
use crate::mesh::simulation::{IstioVersion, OutboundPolicy};
use crate::policy::PolicySet;
use crate::policy::proxy::{Evidence, Proxy, Users, check_host, normal_host};
use crate::state::{PolicyFiles, Snapshot};

/// What is declared, and what the mesh is set to.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct PolicyArguments {
    /// A policy file or directory; repeatable.
    #[arg(long, value_name = "PATH")]
    policy: Vec<PathBuf>,
    /// A proxy, as [https://]HOST|IP|CIDR:PORT (https for one that expects TLS); repeatable.
    #[arg(long, value_name = "PROXY", value_parser = parse_proxy)]
    proxy: Vec<Proxy>,
    /// The mesh's outbound traffic policy: ALLOW_ANY, REGISTRY_ONLY or ALLOW_ANY_DYNAMIC_DNS
    /// [default: what the policy says, else ALLOW_ANY].
    #[arg(long, value_name = "MODE")]
    outbound: Option<OutboundPolicy>,
    /// The version of Istio, 1.21 to 1.31 [default: what the policy says, else 1.31].
    #[arg(long, value_name = "VERSION")]
    istio_version: Option<IstioVersion>,
    /// Sidecars capture DNS: hosts without an address are reached at the one that istiod allocates to
    /// them.
    #[arg(long)]
    dns_capture: bool,
}

impl PolicyArguments {
    /// The state that the flags describe, with an empty mesh.
    ///
    /// # Errors
    /// Every fault of every policy file.
    pub(super) fn snapshot(&self) -> anyhow::Result<Snapshot> {
        let policies = self.policy_files().load();
        let policies = self.in_force(policies.context("the policy cannot be used")?);
        Ok(self.snapshot_of(Arc::new(policies)))
    }

    /// The policy files that the flags name; without any there is no policy in them.
    pub(super) fn policy_files(&self) -> PolicyFiles {
        PolicyFiles::new(self.policy.clone())
    }

    /// The policies of files and cluster, with the proxies of the flags; the built-in one where there is
    /// neither.
    pub(super) fn in_force(&self, policies: PolicySet) -> PolicySet {
        if !policies.policies.is_empty() && self.proxy.is_empty() {
            return policies;
        }
        let own = PolicySet::anonymous(self.proxy.clone());
        PolicySet::united([&policies, &own])
    }

    /// What the other flags make of the policies in force, with an empty mesh.
    pub(super) fn snapshot_of(&self, policies: Arc<PolicySet>) -> Snapshot {
        Snapshot {
            policies,
            outbound: self.outbound,
            version: self.istio_version,
            captures_dns: self.dns_capture,
            ..Snapshot::default()
        }
    }
}

/// Reads `[https://]HOST|IP|CIDR:PORT`; IPv6 in brackets.
fn parse_proxy(text: &str) -> anyhow::Result<Proxy> {
    let (tls, rest) = match text.split_once("://") {
        Some(("https", rest)) => (true, rest),
        Some(("http", rest)) => (false, rest),
        Some((scheme, _)) => bail!(
            "{scheme}:// is no scheme of a CONNECT proxy; use https:// for one that expects TLS, else none"
        ),
        None => (false, text),
    };
    let Some((place, port)) = rest.trim_end_matches('/').rsplit_once(':') else {
        bail!("a proxy needs its port: {text}:3128");
    };
    let port: u16 = match port.parse() {
        Ok(port) if port > 0 => port,
        _ => bail!("{port:?} is no port between 1 and 65535"),
    };
    let place = place.replace(['[', ']'], "");
    let (hosts, addresses) = match Address::parse(&place) {
        Address::Single(ip) => (Vec::new(), vec![ip.into()]),
        Address::Range(net) => (Vec::new(), vec![net]),
        Address::Invalid if place.is_empty() || place.contains(['/', ' ', ':', '@']) => {
            bail!("{place:?} is no host name, IP address or range")
        }
        Address::Invalid => {
            check_host(&place).map_err(anyhow::Error::msg)?;
            (vec![normal_host(&place)], Vec::new())
        }
    };
    Ok(Proxy {
        name: place.into(),
        policy: "".into(),
        evidence: Evidence::Declared,
        hosts,
        addresses,
        ports: vec![port],
        tls,
        tunnel: false,
        users: Users::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::parse_proxy;

    #[test]
    fn reads_proxies() {
        for (text, expected) in [
            ("10.20.0.5:3128", Some("10.20.0.5:3128 false")),
            ("https://10.20.0.5:8443/", Some("10.20.0.5:8443 true")),
            ("http://proxy.corp:3128", Some("proxy.corp:3128 false")),
            ("10.20.0.0/24:3128", Some("10.20.0.0/24:3128 false")),
            ("[2001:db8::7]:3128", Some("[2001:db8::7]:3128 false")),
            ("[2001:db8::]/64:3128", Some("2001:db8::/64:3128 false")),
            ("proxy.corp", None),
            ("proxy.corp:0", None),
            ("proxy.corp:70000", None),
            ("socks5://proxy.corp:1080", None),
            ("user:secret@proxy.corp:3128", None),
            (":3128", None),
            ("*.proxy.corp:3128", Some("*.proxy.corp:3128 false")),
            ("pr*xy.corp:3128", None),
            ("pröxy.corp:3128", None),
            (
                "xn--prxy-6qa.corp:3128",
                Some("xn--prxy-6qa.corp:3128 false"),
            ),
        ] {
            let read = parse_proxy(text).ok();
            let shown =
                read.map(|proxy| format!("{} {}", proxy.location(proxy.ports[0]), proxy.tls));
            assert_eq!(shown.as_deref(), expected, "{text}");
        }
    }
}
