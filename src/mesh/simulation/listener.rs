//! From services to listeners and filter chains, and which chain takes a connection.
//!
//! Building follows `buildSidecarOutboundListener` and `mergeTCPFilterChains` in
//! `pilot/pkg/networking/core/listener.go`. Picking follows Envoy's filter chain match
//! (`envoy.config.listener.v3.FilterChainMatch`): destination prefix, then server name, then
//! transport and application protocol, never going back a step; what matches nothing takes the
//! default chain.

use crate::mesh::address::Address;
use crate::mesh::protocol::{ListenerClass, Protocol};
use crate::mesh::service_entry::{Registry, ServiceEntry};
use crate::mesh::sidecar::EgressBind;

use super::bind::Bind;
use super::filter_chain::{self, Chain};
use super::service::Service;
use super::{Behaviour, Dial};

/// The listeners that the dialled port has, of which the exact one wins.
#[derive(Debug, Default)]
pub(crate) struct Listeners<'a> {
    pub(crate) exact: Option<Listener<'a>>,
    pub(crate) wildcard: Option<Listener<'a>>,
    /// Whether some service has a listener on an address allocated that the view does not tell.
    pub(crate) has_untold: bool,
    /// A Service whose port older Istio reads in another way.
    pub(crate) newly_read: Option<&'a ServiceEntry>,
}

/// One listener.
#[derive(Debug)]
pub(crate) struct Listener<'a> {
    state: State,
    chains: Vec<Chain<'a>>,
    outranked: Option<&'a ServiceEntry>,
    is_locked: bool,
}

/// What Istio calls the listener's protocol: it decides how the next service joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// One TCP-class protocol so far.
    Tcp(Protocol),
    /// HTTP and TCP told apart by sniffing.
    Sniffed,
    /// HTTP without sniffing: HTTP_PROXY.
    Http,
}

impl<'a> Listeners<'a> {
    /// Adds services in line, as far as they matter to a dial.
    pub(crate) fn add(&mut self, services: &[Service<'a>], dial: &Dial, behaviour: Behaviour) {
        for service in services {
            let class = service.protocol().listener_class();
            if class == ListenerClass::None {
                continue;
            }
            let is_untold = service.address == Bind::Undialled && class != ListenerClass::Http;
            self.has_untold |= is_untold && service.entry.registry == Registry::Istio;
            if let Some(slot) = self.slot(class, service.address, dial) {
                Listener::join(slot, service, dial, behaviour);
            }
        }
    }

    /// Keeps the listeners there are as they are: no later egress listener adds to them.
    pub(crate) fn lock(&mut self) {
        for listener in [&mut self.exact, &mut self.wildcard].into_iter().flatten() {
            listener.is_locked = true;
        }
    }

    /// The listener that a service is on, if the dial can end there.
    fn slot(
        &mut self,
        class: ListenerClass,
        bind: Bind,
        dial: &Dial,
    ) -> Option<&mut Option<Listener<'a>>> {
        match (class, bind) {
            (_, Bind::Fixed(EgressBind::Socket)) => None,
            (_, Bind::Fixed(EgressBind::At(ip))) if ip == dial.address => Some(&mut self.exact),
            (_, Bind::Fixed(EgressBind::At(ip))) => {
                let is_wildcard = ip.is_unspecified() && ip.is_ipv4() == dial.address.is_ipv4();
                is_wildcard.then_some(&mut self.wildcard)
            }
            (ListenerClass::Http, _) | (_, Bind::Anywhere) => Some(&mut self.wildcard),
            (_, Bind::At(Address::Single(ip))) if ip == dial.address => Some(&mut self.exact),
            // `::` is the wildcard of IPv6 sidecars only; 0.0.0.0 came here as `Anywhere`.
            (_, Bind::At(Address::Single(ip))) if ip.is_unspecified() && dial.address.is_ipv6() => {
                Some(&mut self.wildcard)
            }
            (_, Bind::At(Address::Range(_))) => Some(&mut self.wildcard),
            (_, Bind::At(_) | Bind::Undialled) => None,
        }
    }
}

impl<'a> Listener<'a> {
    /// Adds a service to the listener in `slot`, in the way Istio resolves conflicts.
    fn join(slot: &mut Option<Self>, service: &Service<'a>, dial: &Dial, behaviour: Behaviour) {
        let protocol = service.protocol();
        let class = protocol.listener_class();
        if slot.as_ref().is_some_and(|current| current.is_locked) {
            return;
        }
        let replaces = match slot {
            None => true,
            // An HTTP_PROXY service takes the listener whatever was on it, and a sniffed one
            // takes it back.
            Some(current) => {
                protocol == Protocol::HttpProxy
                    || (class == ListenerClass::Auto && current.state == State::Http)
            }
        };
        if replaces {
            let outranked = slot.as_ref().and_then(|old| old.chains.first());
            *slot = Some(Self {
                state: State::of(service, class),
                chains: Chain::of(service, dial, behaviour),
                outranked: outranked
                    .map(|chain| chain.service.entry)
                    .filter(|old| !std::ptr::eq(*old, service.entry)),
                is_locked: false,
            });
            return;
        }
        let Some(current) = slot else { return };
        let adds_nothing = match class {
            ListenerClass::Http => !matches!(current.state, State::Tcp(_)),
            ListenerClass::Auto => current.state == State::Sniffed,
            ListenerClass::Tcp | ListenerClass::None => false,
        };
        if adds_nothing || current.refuses(protocol) {
            return current.note_outranked(service, class, dial);
        }
        current.merge(service, dial, behaviour);
        if !(class == ListenerClass::Tcp && matches!(current.state, State::Tcp(_))) {
            current.state = State::Sniffed;
        }
    }

    fn refuses(&self, incoming: Protocol) -> bool {
        let State::Tcp(existing) = self.state else {
            return incoming.refuses_company();
        };
        incoming != existing && (incoming.refuses_company() || existing.refuses_company())
    }

    fn merge(&mut self, service: &Service<'a>, dial: &Dial, behaviour: Behaviour) {
        let class = service.protocol().listener_class();
        for chain in Chain::of(service, dial, behaviour) {
            if self
                .chains
                .iter()
                .any(|existing| existing.same_match(&chain))
            {
                self.note_outranked(service, class, dial);
            } else {
                self.chains.push(chain);
            }
        }
    }

    /// Remembers a loser whose chain could have taken this dial.
    fn note_outranked(&mut self, service: &Service<'a>, class: ListenerClass, dial: &Dial) {
        let second_http = class == ListenerClass::Http && self.state != State::Http;
        let same_entry = self
            .chains
            .iter()
            .any(|chain| std::ptr::eq(chain.service.entry, service.entry));
        let reaches = match service.address {
            Bind::At(Address::Range(net)) => net.contains(&dial.address),
            _ => true,
        };
        if !second_http && !same_entry && reaches && self.outranked.is_none() {
            self.outranked = Some(service.entry);
        }
    }

    /// An entry that would have had a say, had it been older.
    pub(crate) fn outranked(&self) -> Option<&'a ServiceEntry> {
        self.outranked
    }

    /// The chain that takes the connection; `None` is the listener's fall-through to the
    /// outbound policy.
    pub(crate) fn pick(&self, dial: &Dial, behaviour: Behaviour) -> Option<&Chain<'a>> {
        let default = self.chains.iter().find(|chain| chain.is_match_all());
        let by_prefix = self.by_prefix(dial);
        let by_name = filter_chain::by_server_name(by_prefix, dial);
        filter_chain::by_first_bytes(&by_name, self.reads_tls(behaviour), dial).or(default)
    }

    /// Whether Envoy's TLS inspector sits on the listener: where a chain wants a name, in older
    /// Istio also wherever HTTP is sniffed.
    fn reads_tls(&self, behaviour: Behaviour) -> bool {
        let old = behaviour == Behaviour::Old;
        let mut chains = self.chains.iter();
        chains.any(|chain| chain.server_name.is_some() || (old && chain.sniffed_http))
    }

    /// The chains of the longest prefix that holds the address. A chain that matches everything
    /// is not among them: Istio makes it the default chain.
    fn by_prefix(&self, dial: &Dial) -> Vec<&Chain<'a>> {
        let conditional = || self.chains.iter().filter(|chain| !chain.is_match_all());
        let length = |chain: &Chain<'_>| {
            let net = chain.prefix.filter(|net| net.contains(&dial.address))?;
            Some(net.prefix_len())
        };
        let longest = conditional().filter_map(length).max();
        match longest {
            Some(_) => conditional()
                .filter(|chain| length(chain) == longest)
                .collect(),
            None => conditional()
                .filter(|chain| chain.prefix.is_none())
                .collect(),
        }
    }
}

impl State {
    fn of(service: &Service<'_>, class: ListenerClass) -> Self {
        match class {
            ListenerClass::Tcp => Self::Tcp(service.protocol()),
            _ if service.sniffs() => Self::Sniffed,
            _ => Self::Http,
        }
    }
}
