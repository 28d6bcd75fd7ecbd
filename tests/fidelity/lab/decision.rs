//! What Envoy itself says of a connection: which filter chain took it.
//!
//! Every TCP proxy and every HTTP connection manager counts the connections that it is given, under the
//! name of its cluster or listener: what moved during a dial took it. That is as exact as the access log,
//! says more of a 404, and is there at once.

use std::collections::BTreeMap;
use std::fmt;

use super::envoy::counters;

/// Of outbound listeners only: the administration's own is an HTTP connection manager as well.
const COUNTERS: &str = "^(tcp%5C.|http%5C.outbound_).%2Bdownstream_cx_total$";

/// The filter chain that took the connections of a dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// A TCP proxy to this cluster.
    Cluster(String),
    /// The HTTP connection manager of this listener.
    Http(String),
    /// More than one, each with some of the connections.
    Several(Vec<Decision>),
    /// None: the listener has no chain for it.
    Nobody,
}

/// How many connections each filter chain has taken so far.
#[derive(Debug)]
pub(crate) struct Counters(BTreeMap<String, u64>);

impl Counters {
    /// Reads them.
    pub(crate) fn read() -> Self {
        let text = counters(COUNTERS);
        let lines = text.lines().filter_map(|line| line.rsplit_once(": "));
        let counters = lines.map(|(name, count)| {
            let count = count.parse().expect("a count");
            (name.to_owned(), count)
        });
        Self(counters.collect())
    }

    /// What has been decided since.
    pub(crate) fn decided(&self) -> Decision {
        let now = Self::read().0.into_iter();
        let moved = now.filter(|(name, count)| self.0.get(name) != Some(count));
        let mut decisions: Vec<Decision> = moved.map(|(name, _)| Decision::of(&name)).collect();
        match decisions.len() {
            0 => Decision::Nobody,
            1 => decisions.remove(0),
            _ => Decision::Several(decisions),
        }
    }
}

impl Decision {
    fn of(counter: &str) -> Self {
        let name = counter.strip_suffix(".downstream_cx_total");
        let name = name.expect("as asked for");
        if let Some(cluster) = name.strip_prefix("tcp.") {
            return Self::Cluster(cluster.to_owned());
        }
        let listener = name.strip_prefix("http.outbound_").expect("as asked for");
        // Newer istiods end the name with a semicolon.
        Self::Http(listener.trim_end_matches(';').to_owned())
    }
}

impl Decision {
    /// Whether a listener parses it as HTTP.
    pub(crate) fn is_http(&self) -> bool {
        matches!(self, Self::Http(_))
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster(cluster) => write!(f, "TCP proxy to {cluster}"),
            Self::Http(listener) => write!(f, "HTTP on listener {listener}"),
            Self::Several(all) => {
                let all: Vec<String> = all.iter().map(ToString::to_string).collect();
                f.write_str(&all.join(" and "))
            }
            Self::Nobody => f.write_str("no filter chain"),
        }
    }
}
