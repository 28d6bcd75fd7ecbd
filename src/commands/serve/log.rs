//! What `serve` says on stderr while it runs.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::thread;
use std::time::Duration;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::admission::Record;
use crate::server::ReviewPath;

/// How many lines may wait to be written: a second's worth at a few thousand reviews a second, of
/// 300 bytes each.
const WAITING_LINES: usize = 4096;

/// How long lines come together before they are written.
///
/// The thread that writes would otherwise be woken for each, and write each by itself, which takes
/// longer than the review that it tells of. Until the next look, a queue of [`WAITING_LINES`] has
/// room for 400,000 lines a second.
const PAUSE: Duration = Duration::from_millis(10);

/// What is told unless somebody asks for something else. Of each request to the cluster that fails,
/// kube would tell, every few seconds; what it means is told by who asked.
const ORDINARY: &str = "info,rustls=warn,hyper=warn,h2=warn,kube_client=off,kube_runtime=off";

/// For people on a terminal, JSON otherwise; `TUNNELGUARD_LOG` filters as `RUST_LOG` does elsewhere.
///
/// Lines are written by a thread of their own, and dropped where they do not fit its queue: whoever
/// reads stderr must not be able to hold up reviews. Dropping what is returned writes what waits.
pub(super) fn start() -> WorkerGuard {
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(WAITING_LINES)
        .lossy(true)
        .finish(Unhurried(BufWriter::new(io::stderr())));
    // Set but empty asks for nothing in particular, not for silence.
    let asked = std::env::var("TUNNELGUARD_LOG").ok();
    let asked = asked.filter(|asked| !asked.trim().is_empty());
    let asked = asked.and_then(|asked| EnvFilter::try_new(asked.trim()).ok());
    let filter = asked.unwrap_or_else(|| EnvFilter::new(ORDINARY));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // It would tell of a line that cannot be written by writing another, and panic.
        .log_internal_errors(false)
        .with_writer(writer);
    match io::stderr().is_terminal() {
        true => builder.with_target(false).init(),
        false => builder.json().flatten_event(true).init(),
    }
    // A panic is a line like any other, for whoever reads the log by machine.
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(
            place = panic.location().map(tracing::field::display),
            thread = std::thread::current().name(),
            "a bug: a panic"
        );
    }));
    guard
}

/// Rests after it has written what there was, while more comes together.
struct Unhurried<W: Write>(BufWriter<W>);

impl<W: Write> Write for Unhurried<W> {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.0.write(lines)
    }

    fn flush(&mut self) -> io::Result<()> {
        let written = self.0.flush();
        thread::sleep(PAUSE);
        written
    }
}

/// One line a review. Of the object only its namespace and name: the rest is the user's.
pub(super) fn reviewed(path: ReviewPath, record: &Record) {
    tracing::info!(
        webhook = path.name(),
        decision = record.decision.name(),
        object = %record.object,
        operation = record.operation.name(),
        checks = %record.checks.join(","),
        dry_run = record.dry_run,
        uid = %record.uid,
        "reviewed",
    );
    if let Some(failure) = &record.failure {
        tracing::error!(
            uid = %record.uid, object = %record.object, failure,
            "a bug: the review was not judged"
        );
    }
}
