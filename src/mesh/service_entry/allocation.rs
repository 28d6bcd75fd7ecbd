//! The addresses that istiod allocates to hosts without one, for sidecars that capture DNS.
//!
//! The rules are those of `pilot/pkg/networking/serviceentry/ip_autoallocation.go`; older istiods have
//! the same in `autoAllocateIPs` of `pilot/pkg/serviceregistry/serviceentry/controller.go`.

use std::net::IpAddr;

use super::{Registry, Resolution, ServiceEntry};

/// With the value `false` nothing is allocated.
const OPT_OUT: &str = "networking.istio.io/enable-autoallocate-ip";

/// Whether istiod allocates from a range that holds `ip`: 240.240.0.0/16 and 2001:2::/48.
pub(crate) fn is_allocated(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.octets().starts_with(&[240, 240]),
        IpAddr::V6(ip) => ip.segments().starts_with(&[0x2001, 2, 0]),
    }
}

impl ServiceEntry {
    /// Whether its hosts have addresses allocated, one each. Older istiods do not heed the label that
    /// forbids it.
    pub(crate) fn is_given_addresses(&self, heeds_label: bool) -> bool {
        let label = self.labels.get(OPT_OUT).filter(|_| heeds_label);
        self.registry == Registry::Istio
            && self.resolution != Resolution::None
            && self.addresses.is_empty()
            && !label.is_some_and(|value| value.eq_ignore_ascii_case("false"))
    }

    /// Whether a host has an address allocated: not a wildcard.
    pub(crate) fn is_given_address(&self, host: &str, heeds_label: bool) -> bool {
        self.is_given_addresses(heeds_label) && !host.starts_with('*')
    }

    /// The address allocated to a host for dials of `dialled`'s family, where the status tells it.
    pub(crate) fn given_address(&self, host: &str, dialled: IpAddr) -> Option<IpAddr> {
        let mut given = self.allocated.iter();
        let own =
            |(of, ip): &&(Box<str>, IpAddr)| **of == *host && ip.is_ipv4() == dialled.is_ipv4();
        given.find(own).map(|(_, ip)| *ip)
    }
}
