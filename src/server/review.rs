//! What the server asks, and what it is answered: bytes, whatever they mean.

use std::sync::Arc;

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

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

impl ReviewPath {
    /// As it stands in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mutate => "mutate",
            Self::Validate => "validate",
        }
    }
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

const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

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
