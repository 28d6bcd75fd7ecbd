//! Where the value of a proxy variable leads.
//!
//! The value is a URL, or what curl, Go and Python make one of: `http://user:secret@proxy.corp:3128/`,
//! `proxy.corp:3128`, `https://[2001:db8::7]`. Who signs in there is nobody's business: what stands before
//! the `@` is not kept.

use std::net::{IpAddr, Ipv6Addr};

use crate::policy::proxy::{LONGEST_NAME, normal_host};

/// Stands in a value for what cannot be read: a Secret, a field of the Pod. No value has one: they hold
/// no control characters that anyone could use.
pub(super) const UNREAD: char = '\u{1}';

/// Where a proxy is, as a workload was told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Its host.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// Whether the proxy itself expects TLS (`https://`).
    pub tls: bool,
}

/// The host of a [`Place`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// In lower case, without a trailing dot; of a Service in full, whatever the Pod calls it.
    Name(Box<str>),
    /// An IP.
    Address(IpAddr),
}

/// What a value comes to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Conclusion {
    /// There is a proxy.
    Proxy(Place),
    /// There may be one, which cannot be told: a Secret has it.
    Unknown,
    /// It leads to no CONNECT proxy: it is none of the forms, or SOCKS.
    Unusable,
}

/// What the value of a proxy variable says to a Pod of `namespace`. Nothing where it is empty, and where
/// it leads into the Pod itself, whose listeners no sidecar stands before.
pub(super) fn read(value: &str, namespace: &str) -> Option<Conclusion> {
    let value = value.trim();
    if value.is_empty() {
        return None;
    }
    let (scheme, rest) = match value.split_once("://") {
        Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
        None => ("http".to_owned(), value),
    };
    if scheme.contains(UNREAD) {
        return Some(Conclusion::Unknown);
    }
    // Where neither says which port, Go and Python dial 80, and curl 1080, which is that of SOCKS.
    let (tls, default_port) = match &*scheme {
        "http" => (false, 80),
        "https" => (true, 443),
        _ => return Some(Conclusion::Unusable),
    };
    let (authority, behind) = match rest.find(['/', '?', '#']) {
        Some(end) => rest.split_at(end),
        None => (rest, ""),
    };
    // A password with a slash in it: what looks like the host is a part of it.
    if behind.contains('@') {
        return Some(Conclusion::Unusable);
    }
    let place = authority.rsplit_once('@').map_or(authority, |(_, at)| at);
    if place.contains(UNREAD) {
        return Some(Conclusion::Unknown);
    }
    let Some((host, port)) = host_and_port(place, default_port) else {
        return Some(Conclusion::Unusable);
    };
    let host = match read_host(host, namespace) {
        Ok(host) => host?,
        Err(NoHost) => return Some(Conclusion::Unusable),
    };
    Some(Conclusion::Proxy(Place { host, port, tls }))
}

fn host_and_port(place: &str, default_port: u16) -> Option<(&str, u16)> {
    let (host, port) = match place.strip_prefix('[') {
        Some(_) => {
            let end = place.find(']')?;
            let (host, rest) = place.split_at(end + 1);
            match rest {
                "" => (host, ""),
                rest => (host, rest.strip_prefix(':')?),
            }
        }
        None => place.split_once(':').unwrap_or((place, "")),
    };
    let port = match port {
        "" => default_port,
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok()?,
        _ => return None,
    };
    (port > 0).then_some((host, port))
}

/// A host that is none.
struct NoHost;

/// Nothing where it is the Pod itself.
fn read_host(host: &str, namespace: &str) -> Result<Option<Host>, NoHost> {
    if let Some(v6) = host.strip_prefix('[') {
        let v6: Ipv6Addr = v6.trim_end_matches(']').parse().map_err(|_| NoHost)?;
        return address(IpAddr::V6(v6).to_canonical());
    }
    if let Ok(v4) = host.parse::<std::net::Ipv4Addr>() {
        return address(IpAddr::V4(v4));
    }
    let name = normal_host(host);
    if &*name == "localhost" || name.ends_with(".localhost") {
        return Ok(None);
    }
    // `127.1`, `0x7f.1` and the like are addresses to some clients and names to others.
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.starts_with(|first: char| first.is_ascii_digit()) || !is_name(&name) {
        return Err(NoHost);
    }
    Ok(Some(Host::Name(in_full(&name, namespace))))
}

/// Nobody dials all hosts of a group, nor all of a link; the others are the Pod's own.
fn address(ip: IpAddr) -> Result<Option<Host>, NoHost> {
    let is_broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    if ip.is_multicast() || is_broadcast {
        return Err(NoHost);
    }
    let is_own = ip.is_loopback() || ip.is_unspecified();
    Ok((!is_own).then_some(Host::Address(ip)))
}

/// Whether it can be the name of a host (RFC 1123; underscores occur in the field).
fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label =
        |label: &str| !label.is_empty() && label.len() <= 63 && label.bytes().all(is_letter);
    name.len() <= LONGEST_NAME && name.split('.').all(is_label)
}

/// The search list of a Pod's `resolv.conf` completes the name of a Service: `squid` is one of the Pod's
/// own namespace, and `squid.tools.svc` lacks the cluster's domain. `squid.tools` may be anything.
fn in_full(name: &str, namespace: &str) -> Box<str> {
    if !name.contains('.') && !namespace.is_empty() {
        return format!("{name}.{namespace}.svc.cluster.local").into();
    }
    match name.ends_with(".svc") {
        true => format!("{name}.cluster.local").into(),
        false => name.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Conclusion, Host, read};

    fn told(value: &str) -> String {
        let place = match read(value, "tools") {
            None => return "none".to_owned(),
            Some(Conclusion::Unknown) => return "unknown".to_owned(),
            Some(Conclusion::Unusable) => return "unusable".to_owned(),
            Some(Conclusion::Proxy(place)) => place,
        };
        let host = match &place.host {
            Host::Name(name) => name.to_string(),
            Host::Address(ip) => ip.to_string(),
        };
        let tls = if place.tls { " tls" } else { "" };
        format!("{host} {}{tls}", place.port)
    }

    #[test]
    fn reads_every_form() {
        let long = format!("http://{}.corp:3128", "x".repeat(64));
        for (value, expected) in [
            ("http://proxy.corp:3128", "proxy.corp 3128"),
            ("HTTP://Proxy.Corp.:3128/", "proxy.corp 3128"),
            ("proxy.corp:3128", "proxy.corp 3128"),
            (" proxy.corp:3128\n", "proxy.corp 3128"),
            ("proxy.corp", "proxy.corp 80"),
            ("http://proxy.corp", "proxy.corp 80"),
            ("http://proxy.corp:", "proxy.corp 80"),
            ("https://proxy.corp", "proxy.corp 443 tls"),
            ("https://proxy.corp:8443/?x", "proxy.corp 8443 tls"),
            ("http://user:secret@proxy.corp:3128/", "proxy.corp 3128"),
            ("user:s@cret@proxy.corp:3128", "proxy.corp 3128"),
            ("http://10.20.0.5:3128", "10.20.0.5 3128"),
            ("http://[2001:DB8::7]:3128/", "2001:db8::7 3128"),
            ("https://[2001:db8::7]", "2001:db8::7 443 tls"),
            ("http://[::ffff:10.20.0.5]:3128", "10.20.0.5 3128"),
            ("http://squid:3128", "squid.tools.svc.cluster.local 3128"),
            ("squid.prod.svc:3128", "squid.prod.svc.cluster.local 3128"),
            ("squid.prod:3128", "squid.prod 3128"),
            ("http://my_proxy.corp:8080", "my_proxy.corp 8080"),
            // Inside the Pod.
            ("http://localhost:3128", "none"),
            ("http://sidecar.localhost:3128", "none"),
            ("127.0.0.1:3128", "none"),
            ("http://127.9.9.9:3128", "none"),
            ("http://[::1]:3128", "none"),
            ("http://0.0.0.0:3128", "none"),
            ("http://[::]:3128", "none"),
            ("", "none"),
            ("  ", "none"),
            // No CONNECT proxy.
            ("socks5://proxy.corp:1080", "unusable"),
            ("socks5h://proxy.corp", "unusable"),
            ("ftp://proxy.corp", "unusable"),
            // Nothing that anybody could dial, or not what it seems.
            ("http://", "unusable"),
            ("http://:3128", "unusable"),
            ("http://proxy.corp:0", "unusable"),
            ("http://proxy.corp:70000", "unusable"),
            ("http://proxy.corp:+80", "unusable"),
            ("http://proxy.corp:31 28", "unusable"),
            ("\"http://proxy.corp:3128\"", "unusable"),
            ("http://user:pa/ss@proxy.corp:3128", "unusable"),
            ("http://user:12/3@proxy.corp:3128", "unusable"),
            ("http://2001:db8::7:3128", "unusable"),
            ("http://[2001:db8::7", "unusable"),
            ("http://[fe80::1%25eth0]:3128", "unusable"),
            ("http://[2001:db8::7]3128", "unusable"),
            ("http://127.1:3128", "unusable"),
            ("http://0x7f.0.0.1:3128", "unusable"),
            ("http://10.20.0.0/24:3128", "10.20.0.0 80"),
            ("http://224.0.0.1:3128", "unusable"),
            ("http://255.255.255.255:3128", "unusable"),
            ("*", "unusable"),
            ("http://*.corp:3128", "unusable"),
            ("http://proxy..corp:3128", "unusable"),
            ("http://$(PROXY):3128", "unusable"),
            ("http://próxy.corp:3128", "unusable"),
            ("true", "true.tools.svc.cluster.local 80"),
            (&long, "unusable"),
            // What a Secret has.
            ("\u{1}", "unknown"),
            ("http://\u{1}:3128", "unknown"),
            ("http://proxy.corp:\u{1}", "unknown"),
            ("\u{1}://proxy.corp:3128", "unknown"),
            ("http://\u{1}:\u{1}@proxy.corp:3128", "proxy.corp 3128"),
        ] {
            assert_eq!(told(value), expected, "{value}");
        }
    }
}
