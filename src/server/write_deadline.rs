//! How long a peer may take to accept what was written to it.
//!
//! An answer is about 1 KiB and the system's send buffer holds far more, so a write waits only
//! where the peer sends request after request and reads no answer. Nothing in hyper ends that.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// From the first byte that the peer's window has no room for until everything is taken: the
/// longest `timeoutSeconds` is 30 (k8s.io/api/admissionregistration/v1), but a client that waits
/// for an answer reads it at once; 10 s survive five lost packets in a row, as for a header.
const WRITE_LIMIT: Duration = Duration::from_secs(10);

/// A stream whose writes fail with [`io::ErrorKind::TimedOut`] when the peer takes nothing.
#[derive(Debug)]
pub(super) struct WriteDeadline<S> {
    stream: S,
    /// Set while something waits to be taken.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteDeadline<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            timer: None,
        }
    }

    /// Starts the clock at the first write that waits, and fails when it has run out.
    fn poll_deadline<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep(WRITE_LIMIT)));
        ready!(timer.as_mut().poll(context));
        let message = "the client did not take its answer within 10 s";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, message)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteDeadline<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteDeadline<S> {
    /// A write that goes through does not stop the clock: a peer that takes a byte a second would
    /// hold its connection for hours.
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_write(context, buffer) {
            Poll::Pending => this.poll_deadline(context),
            written => written,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_flush(context) {
            Poll::Pending => this.poll_deadline(context),
            flushed => {
                this.timer = None;
                flushed
            }
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_shutdown(context) {
            Poll::Pending => this.poll_deadline(context),
            closed => closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, BufWriter, duplex},
        time::Instant,
    };

    use super::*;

    /// How long it takes until a write of twice what the peer's window holds fails.
    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_left() {
        let (_client, server) = duplex(1024);
        let mut server = WriteDeadline::new(server);
        let begin = Instant::now();
        let error = server.write_all(&[0; 2048]).await.expect_err("a deadline");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begin.elapsed(), WRITE_LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn taking_a_little_now_and_then_does_not_extend_it() {
        let (mut client, server) = duplex(64);
        // As TLS does, what does not fit is kept and goes out with the flush.
        let mut server = WriteDeadline::new(BufWriter::with_capacity(64 * 1024, server));
        let begin = Instant::now();
        let dribble = async {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                client.read_exact(&mut [0; 32]).await.expect("a little");
            }
        };
        let written = async {
            server.write_all(&[0; 4096]).await.expect("buffered");
            server.flush().await
        };
        let error = tokio::select! {
            never = dribble => never,
            written = written => written.expect_err("a deadline"),
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begin.elapsed(), WRITE_LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn every_answer_has_a_limit_of_its_own() {
        let (mut client, server) = duplex(1024);
        let mut server = WriteDeadline::new(server);
        for _ in 0..3 {
            let (taken, read) = tokio::join!(
                async {
                    server.write_all(&[0; 2048]).await?;
                    server.flush().await
                },
                async {
                    tokio::time::sleep(Duration::from_secs(9)).await;
                    client.read_exact(&mut [0; 2048]).await
                },
            );
            taken.expect("taken in time");
            read.expect("read");
        }
    }
}
