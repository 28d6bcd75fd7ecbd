//! The command line, and the composition roots behind it: the only place that sees everything.

mod arguments;
mod certificate;
mod crd;
mod doctor;
mod explain;
mod lint;
mod serve;
mod services;
mod trace;
mod workspace;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

use crate::mesh::MeshView;
use crate::source::SourceFile;
use workspace::Workspace;

/// Keeps Istio from breaking HTTP CONNECT proxies.
#[derive(Debug, Parser)]
#[command(name = "tunnelguard", version, about, max_term_width = 100)]
struct Cli {
    /// How results are written to stdout.
    #[arg(long, global = true, value_enum, default_value_t = Format::Human)]
    format: Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the admission webhook.
    // Boxed: it has many times the flags of the others.
    Serve(Box<serve::Arguments>),
    /// Judge ServiceEntries, and Services in front of proxies, in files.
    Lint(lint::Arguments),
    /// Predict what a sidecar does with one connection, and because of whom.
    Trace(trace::Arguments),
    /// Say what a check means; without an id, list them.
    Explain(explain::Arguments),
    /// Look at a cluster: is the guard there, asked, believed and right?
    Doctor(doctor::Arguments),
    /// Make an authority and a serving certificate, as files.
    Certificate(certificate::Arguments),
    /// Print the CustomResourceDefinition of a policy, for `kubectl apply --server-side -f -`.
    Crd,
    /// Print a completion script for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Human,
    /// For programs: JSON on stdout and nothing else there.
    Json,
}

/// What a command came to, in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// Nothing to complain about.
    Clean = 0,
    /// Findings at or above `--fail-on`; of `doctor`, something that is not as it should be.
    Findings = 1,
    /// Bad flags, policy or path (clap's own number for a usage error); of `doctor`, a cluster that cannot be
    /// asked.
    Usage = 2,
}

/// Reads the command line and runs the command.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut out = anstream::AutoStream::auto(io::stdout().lock());
    let result = run(cli, &mut out).and_then(|exit| {
        out.flush()?;
        Ok(exit)
    });
    match result {
        Ok(exit) => ExitCode::from(exit as u8),
        // `tunnelguard lint | head` is no failure.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "tunnelguard: {error:#}");
            ExitCode::from(Exit::Usage as u8)
        }
    }
}

/// The mesh that `trace` sees in one text of YAML or JSON documents. Those that cannot be read are not in
/// it.
pub fn mesh_of(text: &str) -> MeshView {
    let file = SourceFile::from_text("<objects>", text);
    Workspace::of(vec![file]).mesh
}

fn run(cli: Cli, out: &mut dyn Write) -> anyhow::Result<Exit> {
    match cli.command {
        Command::Serve(arguments) => serve::run(*arguments, out),
        Command::Lint(arguments) => lint::run(&arguments, cli.format, out),
        Command::Trace(arguments) => trace::run(&arguments, cli.format, out),
        Command::Explain(arguments) => explain::run(&arguments, cli.format, out),
        Command::Doctor(arguments) => doctor::run(&arguments, cli.format, out),
        Command::Certificate(arguments) => certificate::run(&arguments, cli.format, out),
        Command::Crd => crd::run(cli.format, out),
        Command::Completions { shell } => {
            // Through a buffer: clap panics where its output cannot be written.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "tunnelguard", &mut script);
            out.write_all(&script)?;
            Ok(Exit::Clean)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let mut io_errors = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>());
    io_errors.any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// The day by which exemptions expire: UTC.
fn today() -> jiff::civil::Date {
    jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date()
}

/// Whether stdout shows colours.
fn is_styled() -> bool {
    io::stdout().is_terminal()
        && anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
}
