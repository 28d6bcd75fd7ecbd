//! Strangers in numbers.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::stranger::{Stranger, review};
use crate::harness::one_thread;

/// Begins so many reviews, and does not go on with them.
pub(super) fn begin_reviews(
    runtime: &Runtime,
    stranger: &Stranger,
    guard: SocketAddr,
    count: usize,
) {
    for _ in 0..count {
        let stranger = stranger.clone();
        runtime.spawn(async move {
            let mut stream = stranger.dial(guard).await.expect("a handshake");
            let begun = b"POST /validate HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf";
            stream.write_all(begun).await.expect("room");
            // Until it has to make room for others; how it is told does not matter.
            drop(stream.read(&mut [0]).await);
        });
    }
}

/// Strangers who dial, ask and hang up without pause.
pub(super) struct Flood {
    runtime: Runtime,
    over: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
    answers: Arc<Answers>,
}

/// What they got.
#[derive(Default)]
pub(super) struct Answers {
    answered: AtomicUsize,
    /// 503, or made room for another: nobody promised a stranger anything.
    sent_away: AtomicUsize,
}

impl Flood {
    /// So many strangers, with a review of at least so many bytes each.
    pub(super) fn begin(
        stranger: &Stranger,
        guard: SocketAddr,
        count: usize,
        bytes: usize,
    ) -> Self {
        let mut flood = Self {
            runtime: one_thread(),
            over: Arc::default(),
            tasks: Vec::new(),
            answers: Arc::default(),
        };
        for _ in 0..count {
            let (stranger, review) = (stranger.clone(), review(bytes));
            let (over, answers) = (Arc::clone(&flood.over), Arc::clone(&flood.answers));
            let task = async move {
                while !over.load(Ordering::Relaxed) {
                    let count = match stranger.ask(guard, &review).await {
                        Ok(StatusCode::OK) => &answers.answered,
                        _ => &answers.sent_away,
                    };
                    count.fetch_add(1, Ordering::Relaxed);
                }
            };
            flood.tasks.push(flood.runtime.spawn(task));
        }
        flood
    }

    /// Lets them finish what they are at.
    pub(super) fn end(self) -> Arc<Answers> {
        self.over.store(true, Ordering::Relaxed);
        for task in self.tasks {
            self.runtime.block_on(task).expect("no panic");
        }
        let answered = self.answers.answered.load(Ordering::Relaxed);
        assert!(answered > 0, "a flood that reaches nobody");
        self.answers
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answered = self.answered.load(Ordering::Relaxed);
        let sent_away = self.sent_away.load(Ordering::Relaxed);
        write!(f, "{answered} answered, {sent_away} sent away")
    }
}
