//! Which connections are tried: the addresses and namespaces that stand for all others.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::mesh::ServiceEntry;
use crate::mesh::address::Address;
use crate::mesh::simulation::{Dial, Speech};

use super::proxy::Proxy;

/// A namespace that no object is in: dials from there see what every namespace sees.
pub(crate) const ELSEWHERE: &str = "-";

/// An address that is nobody's: the dummy address of RFC 7600, section 4.8.
pub(crate) const NOBODY_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 0, 8));

/// An address that is nobody's: in the discard-only block of RFC 6666.
pub(crate) const NOBODY_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 1));

/// How many addresses of one proxy are dialled: enough for every proxy seen in the field, and a
/// bound for a policy that lists thousands.
pub(crate) const ADDRESSES_A_PROXY: usize = 64;

/// A dial of a proxy.
pub(crate) fn dial(namespace: &str, address: IpAddr, port: u16, proxy: &Proxy) -> Dial {
    let speech = if proxy.tls {
        Speech::Tls(proxy.server_name().map(Into::into))
    } else {
        Speech::Connect
    };
    Dial {
        namespace: namespace.into(),
        labels: None,
        address,
        port,
        speech,
    }
}

/// The addresses at which a claimed proxy is dialled: its own single IPs, for its ranges those
/// that the entry names, else the first; for one known by host alone the entry's.
pub(crate) fn addresses_of(proxy: &Proxy, entry: &ServiceEntry) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = proxy.single_addresses().take(ADDRESSES_A_PROXY).collect();
    for net in &proxy.addresses {
        if net.prefix_len() == net.max_prefix_len() {
            continue;
        }
        let named: Vec<IpAddr> = entry
            .usable_addresses()
            .filter(|ip| net.contains(ip))
            .collect();
        match named.is_empty() {
            true => addresses.extend(net.hosts().next()),
            false => addresses.extend(named),
        }
    }
    if addresses.is_empty() {
        addresses.extend(entry.usable_addresses().take(ADDRESSES_A_PROXY));
    }
    if addresses.is_empty() {
        addresses.push(NOBODY_V4);
    }
    addresses
}

/// Addresses that are not a claimed proxy's and that the entry may take all the same.
pub(crate) fn others(entry: &ServiceEntry) -> Vec<IpAddr> {
    let only_v6 = !entry.addresses.is_empty() && entry.usable_addresses().all(|ip| ip.is_ipv6());
    let mut others = vec![if only_v6 { NOBODY_V6 } else { NOBODY_V4 }];
    for written in entry.addresses.iter().take(ADDRESSES_A_PROXY) {
        match written.address {
            Address::Range(net) => others.extend(net.hosts().next()),
            other => others.extend(other.usable()),
        }
    }
    others
}

/// The namespaces to dial from: the entry's own, an unrelated one if it is exported to all, else the
/// first few that it is exported to.
pub(crate) fn namespaces(entry: &ServiceEntry) -> Vec<&str> {
    let mut namespaces: Vec<&str> = Vec::new();
    if entry.is_visible_from(&entry.namespace) {
        namespaces.push(&entry.namespace);
    }
    if entry.is_public() {
        namespaces.push(ELSEWHERE);
        return namespaces;
    }
    let named = entry.export_to.iter().map(|to| &**to);
    // Either each of them is shown the entry, or `~` hides it from all.
    let hidden = named.clone().any(|to| to == "~");
    let visible = named.filter(|to| *to != "." && !hidden);
    namespaces.extend(visible.take(8));
    namespaces
}
