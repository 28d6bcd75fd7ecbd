//! Hosts, and the patterns that cover them.

/// Whether a pattern covers a host: `a.b` itself, `*.b` whatever ends in `.b`, `*.b` itself included, `*`
/// everything (`SubsetOf` in `pkg/config/host/name.go` of Istio).
pub(crate) fn covers(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(suffix) => host.strip_prefix('*').unwrap_or(host).ends_with(suffix),
        None => *pattern == *host,
    }
}
