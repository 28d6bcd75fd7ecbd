//! The webhook's two paths: a bounded body in, one reply out.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::block_in_place,
};

use super::{
    body::{self, Unread},
    capacity::{Capacity, OWN_BYTES, Room},
    guarded::Guarded,
    metrics::{Metrics, Shed},
    phase::{Phase, PhaseView},
    review::{Review, ReviewPath, line},
};

/// What every request needs.
#[derive(Clone)]
pub(super) struct Webhook {
    pub(super) review: Review,
    pub(super) capacity: Capacity,
    pub(super) phase: PhaseView,
    pub(super) metrics: Arc<Metrics>,
}

/// The routes of the webhook.
pub(super) fn routes(webhook: Webhook) -> Router {
    let mutate = async |State(webhook): State<Webhook>, RawQuery(query): RawQuery, body: Body| {
        webhook.answer(ReviewPath::Mutate, query, body).await
    };
    let validate = async |State(webhook): State<Webhook>, RawQuery(query): RawQuery, body: Body| {
        webhook.answer(ReviewPath::Validate, query, body).await
    };
    Router::new()
        .route("/mutate", post(mutate))
        .route("/validate", post(validate))
        .method_not_allowed_fallback(async |State(webhook): State<Webhook>| {
            let text = "reviews are sent with POST";
            webhook.refuse(StatusCode::METHOD_NOT_ALLOWED, text)
        })
        .fallback(async |State(webhook): State<Webhook>| {
            let text = "nothing here: reviews go to /mutate and /validate";
            webhook.refuse(StatusCode::NOT_FOUND, text)
        })
        .with_state(webhook)
}

impl Webhook {
    async fn answer(&self, path: ReviewPath, query: Option<String>, body: Body) -> Response {
        let begin = Instant::now();
        let _in_flight = self.metrics.review_begins();
        let limit = body::time_limit(query.as_deref());
        if self.phase.current() >= Phase::Refusing {
            return self.turn_away(Shed::Draining, body, limit).await;
        }
        let Some(mut room) = self.capacity.admit() else {
            return self.turn_away(Shed::Reviews, body, limit).await;
        };
        let body = match body::read(body, limit, &mut room).await {
            Ok(body) => body,
            Err(Unread::NoMemory) => return self.shed(Shed::Memory),
            Err(unread) => return self.refuse(unread.status(), &unread.to_string()),
        };
        let response = self.decide(path, &body);
        self.metrics.review_took(path, begin.elapsed());
        held_until_sent(response, room)
    }

    /// Sheds a request whose body is not wanted.
    async fn turn_away(&self, why: Shed, body: Body, limit: Duration) -> Response {
        body::discard(body, limit).await;
        self.shed(why)
    }

    fn decide(&self, path: ReviewPath, body: &[u8]) -> Response {
        let review = || (self.review)(path, body);
        let review = || match body.len() > OWN_BYTES {
            true => beside_others(review),
            false => review(),
        };
        // Nothing half-changed is looked at after a panic: the review has only borrowed the body.
        match catch_unwind(AssertUnwindSafe(review)) {
            Ok(reply) => {
                if reply.status != StatusCode::OK {
                    self.metrics.refused(reply.status);
                }
                reply.into_response()
            }
            Err(panic) => {
                tracing::error!(?path, panic = panic_message(&*panic), "the review panicked");
                let text = "tunnelguard failed on this review; its log says where";
                self.refuse(StatusCode::INTERNAL_SERVER_ERROR, text)
            }
        }
    }

    /// A request that got no decision, and will get none if it comes again.
    fn refuse(&self, status: StatusCode, text: &str) -> Response {
        self.metrics.refused(status);
        tracing::warn!(status = status.as_u16(), "refused a request: {text}");
        line(status, text)
    }

    /// A request that should come again: the API server does so up to ten times within its
    /// timeout, after as many seconds as it is told (k8s.io/client-go/rest/with_retry.go).
    fn shed(&self, why: Shed) -> Response {
        self.metrics.shed(why);
        let (seconds, text) = match why {
            Shed::Draining => (0, "this replica is ending: dial again"),
            Shed::Reviews => (1, "too many reviews at once: come again in a second"),
            Shed::Memory => (1, "too many large reviews at once: come again in a second"),
        };
        let mut response = line(StatusCode::SERVICE_UNAVAILABLE, text);
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        response
    }
}

/// Lets a review's room be taken by another only once its answer is in the client's hands.
fn held_until_sent(response: Response, room: Room) -> Response {
    response.map(|body| Body::new(Guarded::new(body, room)))
}

/// Hands the other connections of this thread to another one while it decides: what is large may
/// take milliseconds, and an ordinary review takes a fraction of one.
fn beside_others<T>(decide: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => block_in_place(decide),
        // A runtime of one thread, as in tests, has nobody to hand them to.
        _ => decide(),
    }
}

/// What a panic said, if it said it with words.
fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
