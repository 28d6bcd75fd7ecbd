//! The entries of `spec.addresses`, as Istio reads them.
//!
//! Source: `convertServices` in `pilot/pkg/serviceregistry/serviceentry/conversion.go`: a valid IP
//! is kept, a prefix of full length becomes its IP, any other prefix stays a range, and what is
//! neither is dropped without a word.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

/// One value of `spec.addresses`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// A single IP, written bare or with a prefix of full length: a listener of its own.
    Single(IpAddr),
    /// A range, masked: a filter chain on the wildcard listener.
    Range(IpNet),
    /// Neither: istiod rejects it, and ignores it where it gets in.
    Invalid,
}

impl Address {
    /// Reads one value.
    pub fn parse(text: &str) -> Self {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Self::Single(ip);
        }
        match text.parse::<IpNet>() {
            Ok(net) if net.prefix_len() == net.max_prefix_len() => Self::Single(net.addr()),
            Ok(net) => Self::Range(net.trunc()),
            Err(_) => Self::Invalid,
        }
    }

    /// A single IP that a client can dial: not `0.0.0.0` or `::`, which Istio takes for "no
    /// address", and not an IPv4-mapped IPv6 address, which matches no dial (measured with
    /// istiod of 2024-02 and 2026-08).
    pub fn usable(self) -> Option<IpAddr> {
        match self {
            Self::Single(ip) if !ip.is_unspecified() && !is_ipv4_mapped(ip) => Some(ip),
            _ => None,
        }
    }

    /// Whether a dial of `ip` falls under it.
    pub fn contains(self, ip: IpAddr) -> bool {
        match self {
            Self::Single(own) => own == ip,
            Self::Range(net) => net.contains(&ip),
            Self::Invalid => false,
        }
    }
}

/// The single IP that the author of an address that istiod rejects must have meant: brackets,
/// zero-padded octets and a needless full-length prefix taken away.
pub fn intended_ip(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let text = text.strip_prefix('[').unwrap_or(text);
    let text = text.strip_suffix(']').unwrap_or(text);
    if let Address::Single(ip) = Address::parse(text) {
        return Some(ip);
    }
    let bare = text.strip_suffix("/32").unwrap_or(text);
    let octets: Vec<u8> = bare
        .split('.')
        .map(|octet| match octet.trim_start_matches('0') {
            "" if !octet.is_empty() => Some(0),
            digits => digits.parse().ok(),
        })
        .collect::<Option<_>>()?;
    let octets: [u8; 4] = octets.try_into().ok()?;
    Some(Ipv4Addr::from(octets).into())
}

/// `::ffff:a.b.c.d` (RFC 4291, section 2.5.5.2).
pub fn is_ipv4_mapped(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
}

#[cfg(test)]
mod tests {
    use super::{Address, intended_ip};

    #[test]
    fn reads_what_istiod_reads() {
        let single = |ip: &str| Address::Single(ip.parse().unwrap());
        let range = |net: &str| Address::Range(net.parse().unwrap());
        let table = [
            ("10.20.0.5", single("10.20.0.5")),
            ("10.20.0.5/32", single("10.20.0.5")),
            ("10.20.0.5/24", range("10.20.0.0/24")),
            ("0.0.0.0/0", range("0.0.0.0/0")),
            ("2001:db8::7/128", single("2001:db8::7")),
            ("2001:db8::7/32", range("2001:db8::/32")),
            ("[2001:db8::7]", Address::Invalid),
            ("010.20.0.5", Address::Invalid),
            ("proxy.corp", Address::Invalid),
            ("proxy.corp/32", Address::Invalid),
            ("", Address::Invalid),
        ];
        for (text, expected) in table {
            assert_eq!(Address::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn usable_is_what_a_client_can_dial() {
        for (text, usable) in [
            ("10.20.0.5", true),
            ("10.20.0.5/32", true),
            ("0.0.0.0", false),
            ("::", false),
            ("::ffff:10.20.0.5", false),
            ("10.20.0.0/24", false),
        ] {
            assert_eq!(Address::parse(text).usable().is_some(), usable, "{text}");
        }
    }

    #[test]
    fn guesses_only_what_is_plain() {
        for (text, meant) in [
            ("[fd00::5]", Some("fd00::5")),
            ("010.020.000.005", Some("10.20.0.5")),
            ("10.20.0.5/32", Some("10.20.0.5")),
            (" 10.20.0.5", Some("10.20.0.5")),
            ("proxy.corp", None),
            ("10.20.0", None),
            ("10.20.0.0/24", None),
            ("", None),
        ] {
            let meant = meant.map(|ip| ip.parse().unwrap());
            assert_eq!(intended_ip(text), meant, "{text}");
        }
    }
}
