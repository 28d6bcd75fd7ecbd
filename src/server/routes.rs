//! The webhook's two paths: a bounded body in, one reply out.

use std::{
    any::Any,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::{Body, HttpBody},
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use tokio::time::timeout;

/// The largest review that is read.
///
/// The object and the old object are at most 3 MiB each (`MaxRequestBodyBytes`,
/// k8s.io/apiserver/pkg/server/config.go), the rest of the review below 1 MiB: 7 MiB, which is
/// where controller-runtime puts its limit. One more is kept free. axum's own default is 2 MB,
/// which legal reviews exceed.
pub(super) const BODY_LIMIT: usize = 8 * 1024 * 1024;

/// How much of a body above the limit is read and thrown away. A connection closed with bytes
/// unread is reset, and the reset may overtake the 413 that explains it (RFC 9112 §9.6).
const DISCARD_LIMIT: usize = 8 * 1024 * 1024;

/// How long a body may take. A webhook's `timeoutSeconds` is 30 at most
/// (k8s.io/api/admissionregistration/v1), so after that no API server waits for the answer.
const BODY_TIME: Duration = Duration::from_secs(30);

/// What is set aside for a body before it has come, whatever its declared length: a promise of
/// 8 MiB should not cost 8 MiB.
const FIRST_CAPACITY: usize = 64 * 1024;

const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// Answers one review. It runs on the thread that serves the connection, so it must not block.
pub type Review = Arc<dyn Fn(ReviewPath, &[u8]) -> Reply + Send + Sync>;

/// Which of the two webhooks was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReviewPath {
    /// `/mutate`: may patch, never denies.
    Mutate,
    /// `/validate`: may deny, never patches.
    Validate,
}

/// The HTTP response to a review.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 200 for a decision, whatever was decided: any status outside 200 to 206 is a failed call
    /// to the API server (k8s.io/client-go/rest/request.go).
    pub status: StatusCode,
    /// The media type of `body`.
    pub content_type: &'static str,
    /// The whole body.
    pub body: Vec<u8>,
}

/// The routes of the webhook.
pub(super) fn routes(review: Review) -> Router {
    let mutate = async |State(review): State<Review>, body: Body| {
        answer(&review, ReviewPath::Mutate, body).await
    };
    let validate = async |State(review): State<Review>, body: Body| {
        answer(&review, ReviewPath::Validate, body).await
    };
    Router::new()
        .route("/mutate", post(mutate))
        .route("/validate", post(validate))
        .method_not_allowed_fallback(async || {
            let text = "reviews are sent with POST";
            line(StatusCode::METHOD_NOT_ALLOWED, text)
        })
        .fallback(async || {
            let text = "nothing here: reviews go to /mutate and /validate";
            line(StatusCode::NOT_FOUND, text)
        })
        .with_state(review)
}

async fn answer(review: &Review, path: ReviewPath, body: Body) -> Response {
    let read = timeout(BODY_TIME, read(body)).await;
    let body = match read.unwrap_or(Err(Unread::Slow)) {
        Ok(body) => body,
        Err(unread) => return line(unread.status(), &unread.to_string()),
    };
    // Nothing half-changed is looked at after a panic: the review has only borrowed the body.
    match catch_unwind(AssertUnwindSafe(|| review(path, &body))) {
        Ok(reply) => reply.into_response(),
        Err(panic) => {
            tracing::error!(?path, panic = panic_message(&*panic), "the review panicked");
            let text = "tunnelguard failed on this review; its log says where";
            line(StatusCode::INTERNAL_SERVER_ERROR, text)
        }
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let content_type = [(header::CONTENT_TYPE, self.content_type)];
        (self.status, content_type, self.body).into_response()
    }
}

/// A response for whoever reads the API server's error: it quotes up to 2048 bytes of a text
/// body (`maxUnstructuredResponseTextBytes`, k8s.io/client-go/rest/request.go).
pub(super) fn line(status: StatusCode, text: &str) -> Response {
    let reply = Reply {
        status,
        content_type: PLAIN_TEXT,
        body: format!("{text}\n").into_bytes(),
    };
    reply.into_response()
}

/// Why a body was not read to its end.
#[derive(Debug, thiserror::Error)]
enum Unread {
    #[error("the review is larger than {} MiB, the most that is read", BODY_LIMIT >> 20)]
    TooLarge,
    #[error("the review did not arrive within {} s", BODY_TIME.as_secs())]
    Slow,
    #[error("the review ended early: {0}")]
    Broken(axum::Error),
}

impl Unread {
    fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken(_) => StatusCode::BAD_REQUEST,
        }
    }
}

/// Reads the whole body, or finds it too large.
async fn read(mut body: Body) -> Result<Vec<u8>, Unread> {
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if declared > BODY_LIMIT + DISCARD_LIMIT {
        return Err(Unread::TooLarge);
    }
    let mut bytes = Vec::with_capacity(declared.min(FIRST_CAPACITY));
    let mut length = 0;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        // What is not data is trailers, and a review has none.
        let Ok(data) = frame.map_err(Unread::Broken)?.into_data() else {
            continue;
        };
        length += data.len();
        if length > BODY_LIMIT + DISCARD_LIMIT {
            return Err(Unread::TooLarge);
        }
        if length > BODY_LIMIT {
            bytes = Vec::new();
            continue;
        }
        bytes.extend_from_slice(&data);
    }
    if length > BODY_LIMIT {
        return Err(Unread::TooLarge);
    }
    Ok(bytes)
}

/// What a panic said, if it said it with words.
fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll};

    use axum::body::Bytes;
    use hyper::body::{Frame, SizeHint};
    use tokio::time::Instant;

    use super::*;

    /// A body of which only the length ever arrives.
    struct Promised(usize);

    impl HttpBody for Promised {
        type Data = Bytes;
        type Error = axum::Error;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
            Poll::Pending
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.0 as u64)
        }
    }

    /// The status a promise is answered with, and after how long.
    async fn answered(length: usize) -> (StatusCode, Duration) {
        let review: Review = Arc::new(|_, _| unreachable!("no body, no review"));
        let begin = Instant::now();
        let body = Body::new(Promised(length));
        let response = answer(&review, ReviewPath::Validate, body).await;
        (response.status(), begin.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_is_given_up() {
        let slow = (StatusCode::REQUEST_TIMEOUT, Duration::from_secs(30));
        assert_eq!(answered(1000).await, slow);
        assert_eq!(answered(BODY_LIMIT + DISCARD_LIMIT).await, slow);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_far_above_the_limit_is_not_waited_for() {
        let refused = (StatusCode::PAYLOAD_TOO_LARGE, Duration::ZERO);
        assert_eq!(answered(BODY_LIMIT + DISCARD_LIMIT + 1).await, refused);
        assert_eq!(answered(usize::MAX).await, refused);
    }
}
