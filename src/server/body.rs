//! A review's body: read whole, within limits of size, time and memory.

use std::{future::poll_fn, pin::Pin, time::Duration};

use axum::{
    body::{Body, HttpBody},
    http::StatusCode,
};
use tokio::time::timeout;

use super::capacity::Room;

/// The largest review that is read.
///
/// The object and the old object are at most 3 MiB each (`MaxRequestBodyBytes`,
/// k8s.io/apiserver/pkg/server/config.go), the rest of the review below 1 MiB: 7 MiB, which is
/// where controller-runtime puts its limit. One more is kept free. axum's own default is 2 MB,
/// which legal reviews exceed.
pub(super) const LIMIT: usize = 8 * 1024 * 1024;

/// How much of a body above the limit is read and thrown away. A connection closed with bytes
/// unread is reset, and the reset may overtake the answer that explains it (RFC 9112 §9.6).
const DISCARD_LIMIT: usize = 8 * 1024 * 1024;

/// How long a body may take where the client does not say how long it waits. A webhook's
/// `timeoutSeconds` is 30 at most (k8s.io/api/admissionregistration/v1), so after that no API
/// server waits for the answer.
const LONGEST: Duration = Duration::from_secs(30);

/// Why a body was not read to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    #[error("the review is larger than {} MiB, the most that is read", LIMIT >> 20)]
    TooLarge,
    #[error("the review did not arrive within {:.1} s", .0.as_secs_f32())]
    Slow(Duration),
    #[error("the review ended early: {0}")]
    Broken(axum::Error),
    #[error("other reviews hold all the memory set aside for them")]
    NoMemory,
}

impl Unread {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Broken(_) => StatusCode::BAD_REQUEST,
            Self::NoMemory => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// How long the body of a request with this query may take.
///
/// The API server says how long it waits for the answer: `?timeout=5s`, in whole seconds
/// (k8s.io/apiserver/pkg/admission/plugin/webhook). A tenth of it is kept for deciding, which takes
/// well under a millisecond, and for the way back.
pub(super) fn time_limit(query: Option<&str>) -> Duration {
    let pairs = query.unwrap_or_default().split('&');
    let seconds = pairs
        .filter_map(|pair| pair.strip_prefix("timeout=")?.strip_suffix('s'))
        .find_map(|seconds| seconds.parse::<u16>().ok());
    match seconds {
        Some(seconds) if seconds > 0 => LONGEST.min(Duration::from_secs(seconds.into())) * 9 / 10,
        _ => LONGEST,
    }
}

/// Reads the whole body into `room`.
pub(super) async fn read(body: Body, limit: Duration, room: &mut Room) -> Result<Vec<u8>, Unread> {
    let read = timeout(limit, receive(body, Some(room))).await;
    read.unwrap_or(Err(Unread::Slow(limit)))
}

/// Throws the whole body away, so that the answer reaches a client that is still writing.
pub(super) async fn discard(body: Body, limit: Duration) {
    // Whether it ended well does not matter: the answer stands already.
    let _ = timeout(limit, receive(body, None)).await;
}

/// Reads to the end. Without room, or once there is none, the rest is thrown away.
async fn receive(mut body: Body, mut room: Option<&mut Room>) -> Result<Vec<u8>, Unread> {
    // A declared length is a promise only: nothing is set aside for it.
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if declared > LIMIT + DISCARD_LIMIT {
        return Err(Unread::TooLarge);
    }
    let mut bytes = Vec::new();
    let mut length = 0;
    let mut unread = None;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        // What is not data is trailers, and a review has none.
        let Ok(data) = frame.map_err(Unread::Broken)?.into_data() else {
            continue;
        };
        length += data.len();
        if length > LIMIT + DISCARD_LIMIT {
            return Err(Unread::TooLarge);
        }
        if length > LIMIT {
            unread = Some(Unread::TooLarge);
        }
        let Some(room) = room.as_deref_mut().filter(|_| unread.is_none()) else {
            bytes = Vec::new();
            continue;
        };
        if !make_room(&mut bytes, length, declared, room) {
            unread = Some(Unread::NoMemory);
            continue;
        }
        bytes.extend_from_slice(&data);
    }
    match unread {
        Some(unread) => Err(unread),
        None => Ok(bytes),
    }
}

/// Sees to it that `bytes` can hold `length`: four times as much as before each time, and never
/// more than was declared, so that a long body is copied a few times only.
fn make_room(bytes: &mut Vec<u8>, length: usize, declared: usize, room: &mut Room) -> bool {
    if length > room.bytes() {
        let ample = (room.bytes() * 4).min(LIMIT).min(declared.max(length));
        if !room.grow(ample.max(length)) && !room.grow(length) {
            return false;
        }
    }
    if length > bytes.capacity() {
        let target = room.bytes().min(declared.max(length)).max(length);
        bytes.reserve_exact(target - bytes.len());
    }
    true
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        task::{Context, Poll},
    };

    use axum::body::Bytes;
    use hyper::body::{Frame, SizeHint};
    use tokio::time::Instant;

    use super::*;
    use crate::server::capacity::{Capacity, OWN_BYTES};

    /// A body that declares a length, brings some chunks, and then ends or stalls.
    struct Chunks {
        declared: usize,
        chunks: VecDeque<usize>,
        stalls: bool,
    }

    impl HttpBody for Chunks {
        type Data = Bytes;
        type Error = axum::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
            match self.chunks.pop_front() {
                Some(length) => Poll::Ready(Some(Ok(Frame::data(vec![7; length].into())))),
                None if self.stalls => Poll::Pending,
                None => Poll::Ready(None),
            }
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.declared as u64)
        }
    }

    fn chunks(declared: usize, chunks: &[usize], stalls: bool) -> Body {
        let chunks = chunks.iter().copied().collect();
        Body::new(Chunks {
            declared,
            chunks,
            stalls,
        })
    }

    /// The length read or the status, and after how long.
    async fn received(body: Body, capacity: &Capacity) -> (Result<usize, StatusCode>, Duration) {
        let mut room = capacity.admit().expect("room");
        let begin = Instant::now();
        let read = read(body, LONGEST, &mut room).await;
        let read = read.map(|bytes| {
            assert!(bytes.capacity() <= room.bytes(), "no more than it may hold");
            bytes.len()
        });
        (read.map_err(|unread| unread.status()), begin.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn reads_within_its_limits() {
        let mib = 1024 * 1024;
        let large = Err(StatusCode::PAYLOAD_TOO_LARGE);
        let slow = Err(StatusCode::REQUEST_TIMEOUT);
        for (name, body, expected, seconds) in [
            ("nothing", chunks(0, &[], false), Ok(0), 0),
            ("small", chunks(9, &[4, 5], false), Ok(9), 0),
            (
                "undeclared",
                chunks(0, &[OWN_BYTES, 1], false),
                Ok(OWN_BYTES + 1),
                0,
            ),
            (
                "at the limit",
                chunks(LIMIT, &[mib; 8], false),
                Ok(LIMIT),
                0,
            ),
            ("above", chunks(0, &[LIMIT, 1], false), large, 0),
            (
                "far above",
                chunks(LIMIT + DISCARD_LIMIT + 1, &[], true),
                large,
                0,
            ),
            ("beyond numbers", chunks(usize::MAX, &[], true), large, 0),
            (
                "far above, undeclared",
                chunks(0, &[mib; 17], true),
                large,
                0,
            ),
            ("promised", chunks(1000, &[], true), slow, 30),
            ("stalled", chunks(1000, &[999], true), slow, 30),
        ] {
            let read = received(body, &Capacity::new(1)).await;
            assert_eq!(read, (expected, Duration::from_secs(seconds)), "{name}");
        }
    }

    #[tokio::test]
    async fn large_bodies_share_memory_and_small_ones_need_none() {
        let capacity = Capacity::new(2);
        let mut hog = capacity.admit().expect("room");
        assert!(hog.grow(64 * 1024 * 1024));
        let large = chunks(100_000, &[50_000, 50_000], false);
        let refused = Err(StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(received(large, &capacity).await.0, refused);
        let small = chunks(OWN_BYTES, &[OWN_BYTES], false);
        assert_eq!(received(small, &capacity).await.0, Ok(OWN_BYTES));
        drop(hog);
        let large = chunks(100_000, &[50_000, 50_000], false);
        assert_eq!(received(large, &capacity).await.0, Ok(100_000));
    }

    #[test]
    fn a_body_may_take_most_of_what_the_client_waits() {
        for (query, milliseconds) in [
            (Some("timeout=10s"), 9_000),
            (Some("timeout=1s"), 900),
            (Some("a=b&timeout=5s"), 4_500),
            (Some("timeout=30s"), 27_000),
            (Some("timeout=3600s"), 27_000),
            (Some("timeout=0s"), 30_000),
            (Some("timeout=-1s"), 30_000),
            (Some("timeout=soon"), 30_000),
            (Some("timeout="), 30_000),
            (Some(""), 30_000),
            (None, 30_000),
        ] {
            let limit = Duration::from_millis(milliseconds);
            assert_eq!(time_limit(query), limit, "{query:?}");
        }
    }
}
