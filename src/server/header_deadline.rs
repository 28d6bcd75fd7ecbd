//! How long a peer may take to begin, and then to finish, a request header.
//!
//! hyper knows one time limit for reading a header, and that limit also runs while a kept-alive
//! connection rests between two requests (hyper 1.6, hyperium/hyper#3828). One figure cannot
//! serve both. A resting connection must outlive the API server's pool, which keeps it for 90 s
//! (`IdleConnTimeout` of Go's `net/http.DefaultTransport`, taken over by
//! k8s.io/apimachinery/pkg/util/net/http.go): a POST that meets our close on the wire is not
//! retried and fails the user's request. A header that arrives a byte a minute is an attack, and
//! must end in seconds. So hyper gets the long limit, and the stream under it, here, the short
//! ones.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::activity::{Activity, Stage};

/// From an opened HTTP/2 connection to the end of the client's preface, which is sent at once.
/// A packet may be lost five times in a row within 10 s: Linux sends it again after 0.2, 0.4, 0.8,
/// 1.6 and 3.2 s, 6.2 s together.
///
/// HTTP/1 has no such limit: where several requests dial at once, Go's client keeps a connection
/// that came too late for its own in the pool, unused (`dialConnFor`, net/http/transport.go), and a
/// request that meets our close is lost. It counts as resting.
const OPENING_LIMIT: Duration = Duration::from_secs(10);

/// From the first byte of a request header to its last. The API server's is below 1 KiB: one
/// packet, so the same allowance for losses holds.
const HEADER_LIMIT: Duration = Duration::from_secs(10);

/// `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`, what every HTTP/2 client sends first (RFC 9113 §3.4).
const PREFACE_LENGTH: usize = 24;

/// What a connection speaks, settled before its first byte by ALPN or by being plain text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// One request at a time: the limits hold for each.
    Http1,
    /// Many at once: the limit holds for the preface; after it hyper's own pings find peers that
    /// stall, and a ping's answer is no header that has begun.
    Http2,
}

/// A stream whose reads fail with [`io::ErrorKind::TimedOut`] past a header's deadline.
#[derive(Debug)]
pub(super) struct HeaderDeadline<S> {
    stream: S,
    activity: Activity,
    /// HTTP/2: bytes that its preface lacks.
    preface: usize,
    deadline: Instant,
    /// Set to `deadline` only when a read has to wait: a header that comes in one piece, as the
    /// API server's does, never touches the timer.
    timer: Pin<Box<Sleep>>,
}

impl<S> HeaderDeadline<S> {
    /// Wraps a connection at the moment it is open.
    pub(super) fn new(stream: S, protocol: Protocol, activity: Activity) -> Self {
        activity.enter(match protocol {
            Protocol::Http1 => Stage::Opening,
            Protocol::Http2 => Stage::Preface,
        });
        let deadline = Instant::now() + OPENING_LIMIT;
        Self {
            stream,
            activity,
            preface: PREFACE_LENGTH,
            deadline,
            timer: Box::pin(sleep_until(deadline)),
        }
    }

    fn received(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        match self.activity.stage() {
            Stage::Preface if self.preface > count => self.preface -= count,
            Stage::Preface => self.activity.enter(Stage::Multiplexed),
            Stage::Opening | Stage::Resting => {
                self.deadline = Instant::now() + HEADER_LIMIT;
                self.activity.enter(Stage::Header);
            }
            _ => {}
        }
    }

    /// Waits for the deadline of this stage, if it has one.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let missing = match self.activity.stage() {
            Stage::Preface => "no HTTP/2 preface was sent within 10 s",
            Stage::Header => "a request header was not finished within 10 s",
            _ => return Poll::Pending,
        };
        if self.timer.deadline() != self.deadline {
            self.timer.as_mut().reset(self.deadline);
        }
        ready!(self.timer.as_mut().poll(context));
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, missing))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HeaderDeadline<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Ready(result) => {
                this.received(buffer.filled().len() - before);
                Poll::Ready(result)
            }
            Poll::Pending => this.poll_deadline(context).map(Err),
        }
    }
}

// Without vectored writes hyper puts a response's head and body into one buffer: one write, one
// TLS record and, as a reply is about 1 KiB, one packet.
impl<S: AsyncWrite + Unpin> AsyncWrite for HeaderDeadline<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, buffer)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    fn connect(protocol: Protocol) -> (DuplexStream, HeaderDeadline<DuplexStream>, Activity) {
        let (client, server) = duplex(1024);
        let activity = Activity::begin();
        let server = HeaderDeadline::new(server, protocol, activity.clone());
        (client, server, activity)
    }

    async fn read(server: &mut HeaderDeadline<DuplexStream>) -> io::Result<usize> {
        server.read(&mut [0; 64]).await
    }

    async fn assert_times_out(server: &mut HeaderDeadline<DuplexStream>, after: u64) {
        let begin = Instant::now();
        let error = read(server).await.expect_err("a deadline");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begin.elapsed(), Duration::from_secs(after));
    }

    /// Waits for something to read in vain for longer than any limit.
    async fn assert_patient(server: &mut HeaderDeadline<DuplexStream>) {
        let waited = tokio::time::timeout(Duration::from_secs(3600), read(server)).await;
        waited.expect_err("no deadline");
    }

    #[tokio::test(start_paused = true)]
    async fn only_http2_must_speak_at_once() {
        let (_client, mut server, _) = connect(Protocol::Http2);
        assert_times_out(&mut server, 10).await;
        // One that came too late for its own request waits in the client's pool.
        let (_client, mut server, _) = connect(Protocol::Http1);
        assert_patient(&mut server).await;
    }

    #[tokio::test(start_paused = true)]
    async fn dribbling_does_not_extend_a_header() -> io::Result<()> {
        let (mut client, mut server, _) = connect(Protocol::Http1);
        for _ in 0..3 {
            tokio::time::advance(Duration::from_secs(3)).await;
            client.write_all(b"P").await?;
            read(&mut server).await?;
        }
        // The first byte came 3 s after the opening, the third 6 s later.
        assert_times_out(&mut server, 4).await;
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn only_headers_have_a_deadline_and_each_its_own() -> io::Result<()> {
        let (mut client, mut server, activity) = connect(Protocol::Http1);
        for _ in 0..2 {
            client.write_all(b"POST").await?;
            read(&mut server).await?;
            activity.request_began();
            assert_patient(&mut server).await;
            client.write_all(b"body").await?;
            read(&mut server).await?;
            assert_patient(&mut server).await;
            activity.request_answered();
            assert_patient(&mut server).await;
        }
        client.write_all(b"P").await?;
        read(&mut server).await?;
        assert_times_out(&mut server, 10).await;
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn http2_has_a_deadline_for_its_preface_only() -> io::Result<()> {
        let (mut client, mut server, activity) = connect(Protocol::Http2);
        client.write_all(&[0; PREFACE_LENGTH - 1]).await?;
        read(&mut server).await?;
        tokio::time::advance(Duration::from_secs(9)).await;
        client.write_all(&[0]).await?;
        read(&mut server).await?;
        assert_patient(&mut server).await;
        activity.request_began();
        activity.request_answered();
        client.write_all(&[0]).await?;
        read(&mut server).await?;
        assert_patient(&mut server).await;

        let (mut client, mut server, _) = connect(Protocol::Http2);
        client.write_all(&[0; PREFACE_LENGTH - 1]).await?;
        read(&mut server).await?;
        assert_times_out(&mut server, 10).await;
        Ok(())
    }
}
