//! `tunnelguard lint`: the verdict of the webhook, for files.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use crate::mesh::{FieldPath, ServiceEntry};
use crate::policy::checks::unreadable;
use crate::policy::evaluator::{evaluate_mesh, in_force};
use crate::policy::verdict;
use crate::policy::{Context, Finding, Severity, evaluate};
use crate::report::{ObjectName, Reported, Summary, write_human, write_json};
use crate::state::Snapshot;

use super::arguments::PolicyArguments;
use super::workspace::{Placed, Workspace};
use super::{Exit, Format, is_styled};

/// The flags of `lint`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Files, directories, or - for stdin.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    policy: PolicyArguments,
    /// The least severity that makes the exit status 1.
    #[arg(long, value_enum, default_value_t = FailOn::Error, value_name = "SEVERITY")]
    fail_on: FailOn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// Errors only.
    Error,
    /// Warnings too.
    Warning,
    /// Nothing.
    Never,
}

/// Lints, reports, and says whether it found anything.
pub(super) fn run(
    arguments: &Arguments,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<Exit> {
    let mut snapshot = arguments.policy.snapshot()?;
    let mut workspace = Workspace::read(&arguments.paths)?;
    snapshot.mesh = Arc::new(std::mem::take(&mut workspace.mesh));
    snapshot.sees_mesh = true;
    let reported = judge(&workspace, &snapshot);
    match format {
        Format::Json => write_json(&reported, &workspace.files, out)?,
        Format::Human => {
            let summary = Summary {
                files: workspace.files.len(),
                entries: workspace.entries.len(),
                services: workspace.services.len(),
                proxies: snapshot.policies.proxies.all().len(),
                skipped: workspace.skipped.clone(),
            };
            write_human(&reported, &workspace.files, &summary, is_styled(), out)?;
        }
    }
    if format == Format::Json {
        for skipped in &workspace.skipped {
            writeln!(
                std::io::stderr(),
                "skipped {}: {}",
                skipped.name,
                skipped.reason
            )?;
        }
    }
    Ok(exit(&reported, arguments.fail_on))
}

fn exit(reported: &[Reported], fail_on: FailOn) -> Exit {
    let least = match fail_on {
        FailOn::Error => Severity::Error,
        FailOn::Warning => Severity::Warning,
        FailOn::Never => return Exit::Clean,
    };
    let fails = reported.iter().any(|one| one.finding.severity >= least);
    if fails { Exit::Findings } else { Exit::Clean }
}

/// Every finding, by file, line and check.
fn judge(workspace: &Workspace, snapshot: &Snapshot) -> Vec<Reported> {
    let context = snapshot.context();
    let today = super::today();
    let mut reported: Vec<Reported> = workspace
        .problems
        .iter()
        .map(|(file, problem)| Reported {
            finding: unreadable::unreadable(FieldPath::root(), &problem.message),
            file: Some(*file),
            location: Some(problem.location.clone()),
            object: None,
            expired: Vec::new(),
        })
        .collect();
    let mut all = Vec::new();
    for placed in workspace.entries.iter().chain(&workspace.services) {
        let findings = evaluate(&placed.entry, context);
        all.extend(findings.iter().cloned());
        let findings = in_force(findings, Some(&placed.entry), &context, today);
        reported.extend(findings.into_iter().map(|finding| {
            let expired = expired(&finding, &placed.entry, &context, today);
            place(finding, placed, expired)
        }));
    }
    reported.extend(of_mesh(context, &all, today));
    reported.sort_by_key(|one| {
        let line = one.location.as_ref().map_or(0, |location| location.line);
        (
            one.file.is_none(),
            one.file,
            line,
            one.finding.check,
            one.finding.path.clone(),
        )
    });
    reported
}

fn of_mesh(context: Context<'_>, findings: &[Finding], today: jiff::civil::Date) -> Vec<Reported> {
    let findings = in_force(evaluate_mesh(context, findings), None, &context, today);
    let reported = findings.into_iter().map(|finding| Reported {
        finding,
        file: None,
        location: None,
        object: None,
        expired: Vec::new(),
    });
    reported.collect()
}

/// What would have kept it from being told until some day, as the webhook says it.
fn expired(
    finding: &Finding,
    entry: &ServiceEntry,
    context: &Context<'_>,
    today: jiff::civil::Date,
) -> Vec<String> {
    let expired = verdict::in_force(finding, entry, context, today).expired;
    let mut notes: Vec<String> = Vec::new();
    for note in expired.into_iter().map(|expired| expired.note) {
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    notes
}

fn place(finding: Finding, placed: &Placed, expired: Vec<String>) -> Reported {
    let location = placed.document.locate(&finding.path);
    Reported {
        finding,
        file: Some(placed.file),
        location: Some(location),
        object: Some(ObjectName::of(&placed.document.value)),
        expired,
    }
}
