//! Liveness and readiness, over plain HTTP on an address of their own.
//!
//! The kubelet's probes do not verify certificates, and must be answered while the webhook's own
//! listener drains: hence not a path beside `/validate`.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use axum::{Router, extract::State, http::StatusCode, response::Response, routing::get};

use super::routes::line;

const STARTING: u8 = 0;
const READY: u8 = 1;
const DRAINING: u8 = 2;

/// Whether this process wants reviews. It goes one way only: starting, ready, draining.
#[derive(Clone, Debug, Default)]
pub(super) struct Readiness(Arc<AtomicU8>);

impl Readiness {
    /// Reviews are welcome; without effect while draining.
    pub(super) fn ready(&self) {
        self.0.fetch_max(READY, Ordering::Relaxed);
    }

    /// No new reviews, please; those in flight are answered.
    pub(super) fn draining(&self) {
        self.0.fetch_max(DRAINING, Ordering::Relaxed);
    }

    /// Why not ready, in a word.
    fn withheld(&self) -> Option<&'static str> {
        match self.0.load(Ordering::Relaxed) {
            STARTING => Some("starting"),
            READY => None,
            _ => Some("draining"),
        }
    }
}

/// The routes of the probes.
pub(super) fn routes(readiness: Readiness) -> Router {
    Router::new()
        .route("/livez", get(async || line(StatusCode::OK, "ok")))
        .route("/readyz", get(readyz))
        .method_not_allowed_fallback(async || {
            let text = "probes are sent with GET";
            line(StatusCode::METHOD_NOT_ALLOWED, text)
        })
        .fallback(async || {
            let text = "nothing here: probes go to /livez and /readyz";
            line(StatusCode::NOT_FOUND, text)
        })
        .with_state(readiness)
}

async fn readyz(State(readiness): State<Readiness>) -> Response {
    match readiness.withheld() {
        None => line(StatusCode::OK, "ok"),
        Some(why) => line(StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

#[cfg(test)]
mod tests {
    use super::Readiness;

    #[test]
    fn readiness_never_goes_back() {
        let readiness = Readiness::default();
        assert_eq!(readiness.withheld(), Some("starting"));
        readiness.ready();
        assert_eq!(readiness.withheld(), None);
        readiness.draining();
        readiness.ready();
        assert_eq!(readiness.withheld(), Some("draining"));
    }
}
