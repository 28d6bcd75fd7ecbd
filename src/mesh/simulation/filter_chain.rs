//! Filter chains: what a service brings, and what a connection must be like to take one.

use ipnet::IpNet;

use crate::mesh::address::Address;
use crate::mesh::protocol::ListenerClass;
use crate::mesh::service_entry::Resolution;
use crate::mesh::sidecar::EgressBind;

use super::bind::Bind;
use super::service::Service;
use super::{Behaviour, Dial, Speech};

/// One filter chain, with what a connection must be like to take it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain<'a> {
    pub(crate) service: Service<'a>,
    /// Whether an HTTP connection manager sits on it, else a TCP proxy.
    pub(crate) http: bool,
    pub(super) prefix: Option<IpNet>,
    /// Declared for a range, be it one that Istio leaves out of the match.
    pub(super) ranged: bool,
    pub(super) server_name: Option<&'a str>,
    /// Only plain text that looks like HTTP/1.1 or HTTP/2.
    pub(super) sniffed_http: bool,
}

impl<'a> Chain<'a> {
    /// The chains that a service brings.
    pub(super) fn of(service: &Service<'a>, dial: &Dial, behaviour: Behaviour) -> Vec<Self> {
        let http = Self {
            service: *service,
            http: true,
            prefix: None,
            ranged: false,
            server_name: None,
            sniffed_http: service.sniffs(),
        };
        match service.protocol().listener_class() {
            ListenerClass::Http => vec![http],
            ListenerClass::Tcp => vec![Self::tcp(service, dial, behaviour)],
            ListenerClass::Auto => vec![Self::tcp(service, dial, behaviour), http],
            ListenerClass::None => Vec::new(),
        }
    }

    fn tcp(service: &Service<'a>, dial: &Dial, behaviour: Behaviour) -> Self {
        let range = match service.address {
            Bind::At(Address::Range(net)) => Some(net),
            _ => None,
        };
        let dynamic =
            service.entry.resolution == Resolution::DynamicDns && service.host.starts_with('*');
        let own_listener = !dynamic
            && match service.address {
                Bind::At(Address::Single(ip)) | Bind::Fixed(EgressBind::At(ip)) => {
                    !ip.is_unspecified()
                }
                // Older istiods compare its 0.0.0.0 with the wildcard of an IPv6 sidecar.
                Bind::Anywhere => behaviour == Behaviour::Old && dial.address.is_ipv6(),
                _ => false,
            };
        Self {
            service: *service,
            http: false,
            // Istio leaves a prefix of 0.0.0.0 out of the match, yet does not make the chain the
            // default one.
            ranged: range.is_some(),
            prefix: range.filter(|net| net.addr() != std::net::Ipv4Addr::UNSPECIFIED),
            // TLS on a shared listener can only be told apart by the server name
            // (`buildSidecarOutboundTLSFilterChainOpts` in `pilot/pkg/networking/core/tls.go`).
            server_name: (service.protocol().is_tls() && !own_listener).then_some(service.host),
            sniffed_http: false,
        }
    }

    pub(super) fn is_match_all(&self) -> bool {
        !self.ranged && self.server_name.is_none() && !self.sniffed_http
    }

    pub(super) fn same_match(&self, other: &Self) -> bool {
        self.prefix == other.prefix
            && self.server_name == other.server_name
            && self.sniffed_http == other.sniffed_http
    }
}

pub(super) fn by_server_name<'c, 'a>(
    chains: Vec<&'c Chain<'a>>,
    dial: &Dial,
) -> Vec<&'c Chain<'a>> {
    if let Speech::Tls(Some(name)) = &dial.speech {
        let named = |chain: &Chain<'_>| chain.server_name.is_some_and(|own| covers(own, name));
        // The most specific name wins; wildcards of one listener rarely overlap.
        let exact = chains.iter().any(|chain| chain.server_name == Some(name));
        let matching: Vec<_> = chains
            .iter()
            .copied()
            .filter(|chain| {
                if exact {
                    chain.server_name == Some(name)
                } else {
                    named(chain)
                }
            })
            .collect();
        if !matching.is_empty() {
            return matching;
        }
    }
    chains
        .into_iter()
        .filter(|chain| chain.server_name.is_none())
        .collect()
}

/// Whether a chain's server name (`a.b` or `*.b`) covers an SNI.
fn covers(own: &str, name: &str) -> bool {
    match own.strip_prefix('*') {
        Some(suffix) => name.len() > suffix.len() && name.ends_with(suffix),
        None => own == name,
    }
}

pub(super) fn by_first_bytes<'c, 'a>(
    chains: &[&'c Chain<'a>],
    reads_tls: bool,
    dial: &Dial,
) -> Option<&'c Chain<'a>> {
    let sniffed_http = chains.iter().find(|chain| chain.sniffed_http);
    let plain = chains.iter().find(|chain| !chain.sniffed_http);
    match (&dial.speech, sniffed_http) {
        (Speech::Connect, Some(http)) => Some(http),
        // Without the TLS inspector Envoy takes everything for raw bytes; once the raw-bytes
        // branch is entered, a chain outside of it is out of reach.
        (Speech::Tls(_), Some(_)) if reads_tls => plain.copied(),
        (_, Some(_)) => None,
        (_, None) => plain.copied(),
    }
}
