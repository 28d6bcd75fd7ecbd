//! File descriptors: each connection takes one, and the usual limit of 1024 is soon reached.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is open besides the connections for reviews: those for probes, two listeners, the
/// runtime's own, a file or two.
const OTHERS: u64 = 96;

/// Raises the soft limit as far as `connections` need, and says how many there can be.
///
/// The soft limit is 1024 for the sake of programs that use select(2)
/// (<https://0pointer.net/blog/file-descriptor-limits.html>); this one does not.
pub(super) fn allow(connections: usize) -> usize {
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX);
    let needed = wanted.saturating_add(OTHERS);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return connections;
    }
    let target = maximum.map_or(needed, |maximum| maximum.min(needed));
    let raised = Rlimit {
        current: Some(target),
        maximum,
    };
    let have = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => target,
        Err(_) => current.unwrap_or(target),
    };
    if have >= needed {
        return connections;
    }
    let possible = usize::try_from(have.saturating_sub(OTHERS)).unwrap_or(connections);
    let possible = possible.max(1);
    tracing::warn!(
        "{connections} connections need {needed} file descriptors and the system allows {have}: \
         serving {possible} at once; raise the hard limit (ulimit -Hn) or lower --max-connections"
    );
    possible
}
