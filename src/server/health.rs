//! Liveness, readiness and metrics, over plain HTTP on an address of their own.
//!
//! The kubelet's probes do not verify certificates, and must be answered while the webhook's own
//! listener drains: hence not a path beside `/validate`.

use std::borrow::Cow;
use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use time::OffsetDateTime;

use super::{
    metrics::{self, Metrics},
    phase::{Phase, PhaseView},
    review::{Reply, line},
    tls::ServingCertificate,
};
use crate::pki::rfc3339;

/// The routes of the probes.
pub(super) fn routes(
    phase: PhaseView,
    certificate: Arc<ServingCertificate>,
    metrics: Arc<Metrics>,
) -> Router {
    let readyz = async move |State(phase): State<PhaseView>| {
        let now = OffsetDateTime::now_utc();
        match unready(phase.current(), &certificate, now) {
            None => line(StatusCode::OK, "ok"),
            Some(why) => line(StatusCode::SERVICE_UNAVAILABLE, &why),
        }
    };
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

/// Why this process wants no reviews, if it does not, in a few words.
///
/// Calls to one whose certificate has ended fail in the handshake, and another replica may have one that has not.
fn unready(
    phase: Phase,
    certificate: &ServingCertificate,
    now: OffsetDateTime,
) -> Option<Cow<'static, str>> {
    match phase {
        Phase::Starting => Some("starting".into()),
        Phase::Serving => {
            let ended = rfc3339(certificate.ended(now)?);
            Some(format!("the certificate ended at {ended}").into())
        }
        Phase::Leaving | Phase::Refusing | Phase::Closing => Some("draining".into()),
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

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;
    use crate::pki::Authority;

    #[test]
    fn who_has_no_valid_certificate_wants_no_reviews() {
        // A certificate's times are whole seconds.
        let now = OffsetDateTime::from_unix_timestamp(1_800_000_000).expect("a date in 2027");
        let authority = Authority::mint(now, Duration::DAY).expect("an authority");
        let certificate = ServingCertificate::default();
        let sign = |life| {
            let leaf = authority.sign_leaf(&["localhost".to_owned()], &[], now, life);
            let pair = leaf.expect("a leaf").serving_pair();
            certificate.replace(pair.expect("a pair"));
        };
        let said = |phase, seconds| {
            let why = unready(phase, &certificate, now + Duration::seconds(seconds));
            why.map(Cow::into_owned)
        };
        sign(Duration::MINUTE);
        let ended = Some("the certificate ended at 2027-01-15T08:01:00Z");
        for (phase, seconds, expected) in [
            (Phase::Starting, 0, Some("starting")),
            (Phase::Serving, 0, None),
            (Phase::Serving, 60, None),
            (Phase::Serving, 61, ended),
            (Phase::Leaving, 61, Some("draining")),
        ] {
            assert_eq!(
                said(phase, seconds).as_deref(),
                expected,
                "{phase:?} {seconds}"
            );
        }
        sign(Duration::HOUR);
        assert_eq!(said(Phase::Serving, 61), None, "by itself");
    }
}
