//! Where the names of hosts lead, by DNS: asked beforehand and again when an answer ends, never while a review
//! waits.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;

/// How long an answer is believed, whatever it says of itself: neither is a server asked all the time, nor is
/// what it says never asked again.
const SHORTEST: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(3600);

/// How many are asked for at once.
const AT_ONCE: usize = 8;

/// The answers of a DNS server.
pub struct Names {
    resolver: TokioResolver,
    answers: BTreeMap<Box<str>, Answer>,
}

struct Answer {
    addresses: Vec<IpAddr>,
    until: Instant,
}

impl Names {
    /// Asks these servers, or where none are given those of `/etc/resolv.conf`.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn asking(servers: &[SocketAddr]) -> Result<Self, NetError> {
        let mut builder = match servers {
            [] => TokioResolver::builder_tokio()?,
            servers => {
                let servers = servers.iter().copied().map(name_server);
                let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let options = builder.options_mut();
        options.timeout = Duration::from_secs(2);
        options.attempts = 2;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        // What is kept is kept here.
        options.cache_size = 0;
        Ok(Self {
            resolver: builder.build()?,
            answers: BTreeMap::new(),
        })
    }

    /// Asks for what is not known at `now`, and forgets what is not among these names; says whether anything is
    /// another. What cannot be told any more stays as it was; a host that has no address any more has none.
    pub async fn refresh(&mut self, names: &BTreeSet<Box<str>>, now: Instant) -> bool {
        let before = self.answers.len();
        self.answers.retain(|name, _| names.contains(name));
        let mut is_other = self.answers.len() < before;
        let answers = &self.answers;
        let is_current = |name: &str| answers.get(name).is_some_and(|known| known.until > now);
        let due = names.iter().filter(|name| !is_current(name));
        let due: Vec<Box<str>> = due.cloned().collect();
        let resolver = &self.resolver;
        let asked = stream::iter(due).map(|name| async move {
            // With its dot: the search list of this Pod is not that of the workload.
            let found = resolver.lookup_ip(format!("{name}.")).await;
            (name, found)
        });
        let answers: Vec<_> = asked.buffer_unordered(AT_ONCE).collect().await;
        for (name, found) in answers {
            let known = self.answers.remove(&name).map(|answer| answer.addresses);
            let known = known.unwrap_or_default();
            let (addresses, until) = match found {
                Ok(found) => {
                    let left = found.valid_until().saturating_duration_since(now);
                    let mut addresses: Vec<IpAddr> = found.iter().collect();
                    addresses.sort();
                    (addresses, now + left.clamp(SHORTEST, LONGEST))
                }
                Err(error) => {
                    tracing::debug!(%error, host = &*name, "a proxy's host has no address now");
                    let is_gone = has_no_address(&self.resolver, &name, &error).await;
                    let left = if is_gone { Vec::new() } else { known.clone() };
                    (left, now + SHORTEST)
                }
            };
            is_other |= addresses != known;
            self.answers.insert(name, Answer { addresses, until });
        }
        is_other
    }

    /// What is known: every name with its addresses.
    pub fn known(&self) -> BTreeMap<Box<str>, Vec<IpAddr>> {
        let answers = self.answers.iter();
        answers
            .map(|(name, answer)| (name.clone(), answer.addresses.clone()))
            .collect()
    }
}

/// Whether that is the answer, and not that there is none. Of its two questions hickory tells the error of the
/// first, for IPv4, which says nothing of IPv6 but where there is no such name.
async fn has_no_address(resolver: &TokioResolver, name: &str, error: &NetError) -> bool {
    if error.is_nx_domain() || !error.is_no_records_found() {
        return error.is_nx_domain();
    }
    let of_ipv6 = resolver.ipv6_lookup(format!("{name}.")).await;
    of_ipv6.is_err_and(|error| error.is_no_records_found())
}

/// By UDP, and by TCP where an answer is too long for that.
fn name_server(address: SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut server.connections {
        connection.port = address.port();
    }
    server
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU8, Ordering};
    use std::time::{Duration, Instant};

    use super::Names;

    /// That there is no such name, or no address of it, as `serve` is told to answer.
    const NO_NAME: u8 = 255;
    const NO_ADDRESS: u8 = 254;

    /// Answers questions about `proxy.corp` with 192.0.2.N, for an hour, and others with NXDOMAIN; where N is
    /// 0, that it fails.
    fn serve(last: Arc<AtomicU8>) -> SocketAddr {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut question = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut question) {
                let question = &question[..length];
                let name_end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap();
                let asked = &question[12..name_end + 5];
                let is_known = asked.starts_with(b"\x05proxy\x04corp\0");
                let is_v4 = asked[asked.len() - 3] == 1;
                let last = last.load(Ordering::SeqCst);
                let (code, count) = match (last, is_known) {
                    (0, _) => (2, 0),
                    (NO_NAME, _) | (_, false) => (3, 0),
                    (NO_ADDRESS, true) => (0, 0),
                    (_, true) => (0, u8::from(is_v4)),
                };
                let mut answer = question[..2].to_vec();
                answer.extend([0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
                answer.extend(asked);
                if count > 0 {
                    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 192, 0, 2, last]);
                }
                socket.send_to(&answer, client).unwrap();
            }
        });
        address
    }

    /// At which hour, what the server says, which name is asked for, whether that is news, and what is known.
    #[tokio::test]
    async fn answers_hold_as_long_as_they_say_and_failures_change_nothing() {
        let last = Arc::new(AtomicU8::new(0));
        let mut names = Names::asking(&[serve(Arc::clone(&last))]).unwrap();
        let begin = Instant::now();
        for (minute, says, name, is_news, known) in [
            (0, 0, "proxy.corp", false, ""),
            (1, 1, "proxy.corp", true, "192.0.2.1"),
            (2, 2, "proxy.corp", false, "192.0.2.1"),
            (62, 2, "proxy.corp", true, "192.0.2.2"),
            (200, 0, "proxy.corp", false, "192.0.2.2"),
            (201, 3, "proxy.corp", true, "192.0.2.3"),
            (270, NO_NAME, "proxy.corp", true, ""),
            (271, 4, "proxy.corp", true, "192.0.2.4"),
            (340, NO_ADDRESS, "proxy.corp", true, ""),
            (341, 0, "proxy.corp", false, ""),
            (342, 4, "other.corp", true, ""),
        ] {
            last.store(says, Ordering::SeqCst);
            let asked = BTreeSet::from([Box::from(name)]);
            let now = begin + Duration::from_secs(minute * 60);
            let is_other = names.refresh(&asked, now).await;
            assert_eq!(is_other, is_news, "minute {minute}");
            let all = names.known();
            assert_eq!(all.keys().map(|name| &**name).collect::<Vec<_>>(), [name]);
            let known: Vec<IpAddr> = known.parse().into_iter().collect();
            assert_eq!(all[name], known, "minute {minute}");
        }
    }
}
