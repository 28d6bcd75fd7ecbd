//! Somebody who calls the webhook with a new handshake each time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::http::StatusCode;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::stranger::{Stranger, review};

/// Calls until it is ended.
pub(super) struct Caller {
    runtime: Runtime,
    calls: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Caller {
    /// Begins to call, each time as whom `stranger` gives.
    pub(super) fn begin<S>(
        runtime: Runtime,
        address: SocketAddr,
        stranger: impl Fn() -> S + Send + 'static,
    ) -> Self
    where
        S: Future<Output = Stranger> + Send,
    {
        let calls = Arc::new(AtomicUsize::new(0));
        let over = Arc::new(AtomicBool::new(false));
        let (count, ended) = (Arc::clone(&calls), Arc::clone(&over));
        let task = runtime.spawn(async move {
            let review = review(0);
            while !ended.load(Ordering::Relaxed) {
                let answer = stranger().await.ask(address, &review).await;
                assert_eq!(answer.expect("an answer"), StatusCode::OK);
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self {
            runtime,
            calls,
            over,
            task,
        }
    }

    /// How many calls there were, all of them answered.
    pub(super) fn end(self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        let ended = self.runtime.block_on(self.task);
        ended.expect("every call is answered");
        self.calls.load(Ordering::Relaxed)
    }
}
