//! Name evidence: what an entry's names say about its ports.
//!
//! The weakest evidence there is. It asks for a telling name *and* a number that forward proxies
//! use, because a number alone is never evidence: most entries on 8080 are ordinary APIs. The
//! tokens come from reports of users (istio/istio#7302, #14386, #31557, #35526) and the defaults
//! of squid, tinyproxy and privoxy.

use crate::mesh::ServiceEntry;
use crate::mesh::service_entry::Port;

use super::proxy::{Evidence, LONGEST_NAME, Proxy, Users, normal_host};

/// Names of forward proxies.
const TOKENS: [&str; 12] = [
    "squid",
    "tinyproxy",
    "privoxy",
    "webproxy",
    "web-proxy",
    "forward-proxy",
    "http-proxy",
    "https-proxy",
    "egress-proxy",
    "corp-proxy",
    "corporate-proxy",
    "company-proxy",
];

/// Names of proxies that do not take a CONNECT, or not from applications.
const COUNTER_TOKENS: [&str; 16] = [
    "kube-proxy",
    "oauth2-proxy",
    "oauth-proxy",
    "cloudsql-proxy",
    "cloud-sql-proxy",
    "sql-proxy",
    "nexus",
    "artifactory",
    "registry",
    "goproxy",
    "npm-proxy",
    "istio-proxy",
    "reverse-proxy",
    "haproxy",
    "nginx",
    "service-proxy",
];

/// Ports that forward proxies listen on by default or by habit.
const PORTS: [u16; 8] = [3128, 3129, 8080, 8088, 8118, 8123, 8888, 1080];

/// The proxy that the names of `entry` make of `port`, if they do.
pub fn suspect(entry: &ServiceEntry, port: &Port) -> Option<Proxy> {
    // Of two ports with one number Istio takes the first.
    let first = || entry.port(port.number).map(|first| first.index);
    if !PORTS.contains(&port.number) || first() != Some(port.index) {
        return None;
    }
    let names = || {
        let hosts = entry.hosts.iter().map(|host| &**host);
        let names = hosts.chain([&*entry.name, &*port.name]);
        names.filter(|name| name.len() <= LONGEST_NAME)
    };
    if names().any(|name| mentions(name, &COUNTER_TOKENS))
        || !names().any(|name| mentions(name, &TOKENS))
    {
        return None;
    }
    let host = entry.hosts.first().map_or(&*entry.name, |host| &**host);
    Some(Proxy {
        name: normal_host(host),
        policy: "".into(),
        evidence: Evidence::Suspected,
        hosts: entry.hosts.iter().map(|host| normal_host(host)).collect(),
        addresses: entry.usable_addresses().map(Into::into).collect(),
        ports: vec![port.number],
        tls: port.protocol.is_tls(),
        tunnel: false,
        users: Users::default(),
    })
}

/// Whether a name holds one of the tokens as whole words: `corp-squid-1`, not `squidward`.
fn mentions(name: &str, tokens: &[&str]) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    tokens.iter().any(|token| {
        name.match_indices(token).any(|(start, _)| {
            let before = name[..start].chars().next_back();
            let after = name[start + token.len()..].chars().next();
            let boundary = |c: Option<char>| c.is_none_or(|c| !c.is_ascii_alphabetic());
            boundary(before) && boundary(after)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::{COUNTER_TOKENS, TOKENS, mentions};

    #[test]
    fn whole_words_only() {
        for (name, suspicious, excused) in [
            ("squid", true, false),
            ("corp-squid-2.example.com", true, false),
            ("my-company-proxy.com", true, false),
            ("http_proxy", true, false),
            ("squidward.example.com", false, false),
            ("proxy.example.com", false, false),
            ("oauth2-proxy", false, true),
            ("haproxy-web-proxy", true, true),
            ("nexus.example.com", false, true),
        ] {
            assert_eq!(mentions(name, &TOKENS), suspicious, "{name}");
            assert_eq!(mentions(name, &COUNTER_TOKENS), excused, "{name}");
        }
    }
}
