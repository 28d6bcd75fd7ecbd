//! Liveness, readiness and metrics, over plain HTTP on an address of their own.
//!
//! The kubelet's probes do not verify certificates, and must be answered while the webhook's own
//! listener drains: hence not a path beside `/validate`.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};

use super::{
    metrics::{self, Metrics},
    phase::{Phase, PhaseView},
    review::{Reply, line},
};

/// The routes of the probes.
pub(super) fn routes(phase: PhaseView, metrics: Arc<Metrics>) -> Router {
    let readyz = async |State(phase): State<PhaseView>| readyz(phase.current());
    let scrape = async move || scrape(&metrics);
    Router::new()
        .route("/livez", get(async || line(StatusCode::OK, "ok")))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
        .method_not_allowed_fallback(async || {
            let text = "probes are sent with GET";
            line(StatusCode::METHOD_NOT_ALLOWED, text)
        })
        .fallback(async || {
            let text = "nothing here: probes go to /livez and /readyz, scrapes to /metrics";
            line(StatusCode::NOT_FOUND, text)
        })
        .with_state(phase)
}

/// Whether this process wants reviews; if not, why, in a word.
fn readyz(phase: Phase) -> Response {
    match phase {
        Phase::Starting => line(StatusCode::SERVICE_UNAVAILABLE, "starting"),
        Phase::Serving => line(StatusCode::OK, "ok"),
        _ => line(StatusCode::SERVICE_UNAVAILABLE, "draining"),
    }
}

fn scrape(metrics: &Metrics) -> Response {
    let Ok(text) = metrics.encode() else {
        return line(
            StatusCode::INTERNAL_SERVER_ERROR,
            "cannot write the metrics",
        );
    };
    let reply = Reply {
        status: StatusCode::OK,
        content_type: metrics::CONTENT_TYPE,
        body: text.into_bytes(),
    };
    reply.into_response()
}
