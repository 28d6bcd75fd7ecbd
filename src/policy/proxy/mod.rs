//! The proxies we know of, and which of them a ServiceEntry claims.

mod index;

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::mesh::line::{NAME_CHARACTERS, shown};

pub use index::ProxyIndex;

/// Why we believe that a port is a proxy's, strongest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Evidence {
    /// Its names say so.
    Suspected,
    /// A workload's `HTTPS_PROXY` points there.
    Observed,
    /// A policy says so.
    Declared,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Suspected => "suspected",
            Self::Observed => "observed",
            Self::Declared => "declared",
        })
    }
}

/// A host or address range, with ports, that speaks HTTP CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// What to call it.
    pub name: Box<str>,
    /// The policy that declares it; empty for one given on the command line, or suspected.
    pub policy: Box<str>,
    /// Why we believe in it.
    pub evidence: Evidence,
    /// Host names in lower case, without a trailing dot; `*.x` stands for any host below x.
    pub hosts: Vec<Box<str>>,
    /// Single IPs and ranges.
    pub addresses: Vec<IpNet>,
    /// Its ports.
    pub ports: Vec<u16>,
    /// Whether the proxy itself expects TLS.
    pub tls: bool,
    /// Whether sidecars make the CONNECT (a DestinationRule `tunnel`), so that HTTP is right.
    pub tunnel: bool,
    /// Who uses it, as far as that was seen.
    pub users: Users,
}

/// Which workloads are told of a proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    /// How many.
    pub workloads: usize,
    /// The first by namespace and name: `payments/api`.
    pub first: Box<str>,
    /// Whether it is the one that OpenShift tells everybody.
    pub cluster: bool,
}

impl Users {
    /// `used by 214 workloads, e.g. payments/api`; nothing where nobody was seen.
    pub fn told(&self) -> Option<String> {
        let first = shown(&self.first, NAME_CHARACTERS);
        match (self.workloads, self.cluster) {
            (0, false) => None,
            (0, true) => Some("set in the cluster's Proxy".to_owned()),
            (1, _) => Some(format!("used by {first}")),
            (workloads, _) => Some(format!("used by {workloads} workloads, e.g. {first}")),
        }
    }
}

impl Proxy {
    /// The single IPs among its addresses.
    pub fn single_addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let singles = self.addresses.iter();
        singles
            .filter(|net| net.prefix_len() == net.max_prefix_len())
            .map(IpNet::addr)
    }

    /// Whether it may be reached at `ip`.
    pub fn is_at(&self, ip: IpAddr) -> bool {
        self.addresses.iter().any(|net| net.contains(&ip))
    }

    /// The server name that a client sends to it, if it expects TLS.
    pub fn server_name(&self) -> Option<&str> {
        let mut hosts = self.hosts.iter().map(|host| &**host);
        hosts.find(|host| !host.starts_with('*'))
    }

    /// Where it is: its first address, else its first host, with `port`.
    pub fn location(&self, port: u16) -> String {
        if let Some(first) = self.addresses.first() {
            let shown = match (first.prefix_len() == first.max_prefix_len(), first.addr()) {
                (true, IpAddr::V4(v4)) => v4.to_string(),
                (true, IpAddr::V6(v6)) => format!("[{v6}]"),
                (false, _) => first.to_string(),
            };
            let more = more(self.addresses.len(), "address", "addresses");
            return format!("{shown}:{port}{more}");
        }
        match self.hosts.first() {
            Some(host) => {
                let host = shown(host, NAME_CHARACTERS);
                format!("{host}:{port}{}", more(self.hosts.len(), "host", "hosts"))
            }
            None => format!("port {port}"),
        }
    }

    /// Its name in a message: that of a suspected proxy is a host that anyone may have written.
    pub fn called(&self, longest: usize) -> String {
        shown(&self.name, longest)
    }

    /// The proxy in a message: name, place, evidence.
    pub fn mention(&self, port: u16) -> String {
        let (name, place) = (self.called(NAME_CHARACTERS), self.location(port));
        let used = self.users.told();
        let source = match (self.evidence, &*self.policy) {
            (Evidence::Declared, "") => "declared with --proxy".to_owned(),
            (Evidence::Declared, policy) => {
                format!("declared by policy {}", shown(policy, NAME_CHARACTERS))
            }
            (Evidence::Observed, _) => used.clone().unwrap_or_else(|| "observed".to_owned()),
            (Evidence::Suspected, _) => "suspected by its name".to_owned(),
        };
        let source = match used.filter(|_| self.evidence != Evidence::Observed) {
            Some(used) => format!("{source}, {used}"),
            None => source,
        };
        if place.starts_with(&name) {
            return format!("{place} ({source})");
        }
        format!("{name} ({place}, {source})")
    }
}

/// What follows the first of `count`.
fn more(count: usize, one: &str, many: &str) -> String {
    match count {
        0 | 1 => String::new(),
        2 => format!(" and 1 more {one}"),
        count => format!(" and {} more {many}", count - 1),
    }
}

/// No DNS name has more bytes (RFC 1035, section 2.3.4). What is longer is refused by istiod, and is
/// not looked into: its every suffix would be.
pub(crate) const LONGEST_NAME: usize = 255;

/// Why a name with other letters is no host here: it is compared with those of ServiceEntries, and Istio
/// takes only what DNS has (`ValidateFQDN`, pkg/config/validation/agent).
pub(crate) const NOT_ASCII: &str =
    "hosts are compared as DNS has them: write it in its ASCII form, with xn-- for other letters";

/// Whether proxies can be recognised by a host: a name, or `*.` and a domain.
///
/// # Errors
/// What is wrong with it, and what belongs there.
pub fn check_host(host: &str) -> Result<(), String> {
    let rest = host.strip_prefix("*.").unwrap_or(host);
    if rest.is_empty() || rest.contains(['*', '/', ':', ' ']) {
        return Err(format!("expected a host name or *.domain, found {host:?}"));
    }
    if !host.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Err(format!("{NOT_ASCII}; found {host:?}"));
    }
    Ok(())
}

/// Lower case, without a trailing dot: how host names are compared.
pub fn normal_host(host: &str) -> Box<str> {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.to_ascii_lowercase().into()
}

#[cfg(test)]
mod tests {
    use super::{Evidence, Proxy, Users};

    fn proxy(name: &str, hosts: &[&str], addresses: &[&str]) -> Proxy {
        Proxy {
            name: name.into(),
            policy: "corporate".into(),
            evidence: Evidence::Declared,
            hosts: hosts.iter().map(|host| (*host).into()).collect(),
            addresses: addresses.iter().map(|net| net.parse().unwrap()).collect(),
            ports: vec![3128],
            tls: false,
            tunnel: false,
            users: Users::default(),
        }
    }

    #[test]
    fn a_mention_says_where_it_is_and_who_says_so() {
        let long = "h".repeat(99);
        for (name, hosts, addresses, said) in [
            (
                "corp",
                &["a.b"][..],
                &["10.0.0.5/32"][..],
                "corp (10.0.0.5:3128, declared by policy corporate)".to_owned(),
            ),
            (
                "corp",
                &[],
                &["10.0.0.5/32", "10.0.0.6/32"],
                "corp (10.0.0.5:3128 and 1 more address, declared by policy corporate)".to_owned(),
            ),
            (
                "corp",
                &[],
                &["10.0.0.0/24", "2001:db8::7/128", "10.0.0.6/32"],
                "corp (10.0.0.0/24:3128 and 2 more addresses, declared by policy corporate)"
                    .to_owned(),
            ),
            (
                "corp",
                &["a.b", "c.d", "e.f"],
                &[],
                "corp (a.b:3128 and 2 more hosts, declared by policy corporate)".to_owned(),
            ),
            (
                "a.b",
                &["a.b"],
                &[],
                "a.b:3128 (declared by policy corporate)".to_owned(),
            ),
            (
                "a\n\u{1b}[2J",
                &[&*long],
                &[],
                format!(
                    r#""a\n\u{{1b}}[2J" ({}…:3128, declared by policy corporate)"#,
                    "h".repeat(62)
                ),
            ),
        ] {
            assert_eq!(proxy(name, hosts, addresses).mention(3128), said);
        }
    }

    #[test]
    fn a_mention_says_who_uses_it() {
        for (evidence, workloads, cluster, said) in [
            (
                Evidence::Declared,
                0,
                false,
                "corp (a.b:3128, declared by policy corporate)",
            ),
            (
                Evidence::Declared,
                1,
                false,
                "corp (a.b:3128, declared by policy corporate, used by payments/api)",
            ),
            (
                Evidence::Declared,
                0,
                true,
                "corp (a.b:3128, declared by policy corporate, set in the cluster's Proxy)",
            ),
            (
                Evidence::Observed,
                214,
                true,
                "corp (a.b:3128, used by 214 workloads, e.g. payments/api)",
            ),
            (
                Evidence::Observed,
                0,
                true,
                "corp (a.b:3128, set in the cluster's Proxy)",
            ),
            (Evidence::Observed, 0, false, "corp (a.b:3128, observed)"),
        ] {
            let users = Users {
                workloads,
                first: "payments/api".into(),
                cluster,
            };
            let proxy = Proxy {
                evidence,
                users,
                ..proxy("corp", &["a.b"], &[])
            };
            assert_eq!(proxy.mention(3128), said);
        }
    }
}
