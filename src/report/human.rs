//! Findings for people: the source line, what is wrong with it, the edit to make, and a total.

use std::io::{self, Write};

use crate::policy::Severity;
use crate::policy::fix::{Fix, Operation, Safety};
use crate::source::{Skipped, SourceFile};

use super::snippet::{self, Snippet};
use super::{Reported, counted};

/// What a lint run went through.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// How many files were read.
    pub files: usize,
    /// How many ServiceEntries they hold.
    pub entries: usize,
    /// How many Services, which are told where there are any.
    pub services: usize,
    /// How many proxies are declared.
    pub proxies: usize,
    /// Files that were not judged.
    pub skipped: Vec<Skipped>,
}

/// Writes every finding and the total.
pub fn write_human(
    reported: &[Reported],
    files: &[SourceFile],
    summary: &Summary,
    styled: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    for one in reported {
        writeln!(out, "{}", draw(one, files, styled))?;
    }
    for skipped in &summary.skipped {
        writeln!(out, "skipped {}: {}", skipped.name, skipped.reason)?;
    }
    write_total(reported, summary, out)
}

fn draw(reported: &Reported, files: &[SourceFile], styled: bool) -> String {
    let finding = &reported.finding;
    let severity = match finding.severity {
        Severity::Error => snippet::Severity::Error,
        Severity::Warning => snippet::Severity::Warning,
    };
    let (Some(file), Some(location)) = (reported.file, &reported.location) else {
        let id = finding.check;
        return format!("{}[{id}]: {}\n", finding.severity, finding.message());
    };
    let file = &files[file];
    let what = finding
        .what
        .replace(crate::policy::finding::PROXY, &finding.proxies_in_full());
    let snippet = Snippet {
        source_name: &file.name,
        source_text: file.text.as_deref().unwrap_or_default(),
        location,
        severity,
        id: &finding.check.to_string(),
        title: &what,
        label: "",
        help: &help(reported),
    };
    snippet.draw(styled)
}

fn help(reported: &Reported) -> Vec<String> {
    let finding = &reported.finding;
    let mut help = Vec::new();
    if !finding.edit.is_empty() {
        help.push(finding.edit.clone());
    }
    help.extend(finding.fix.as_ref().map(fix_in_words));
    help.extend(reported.expired.iter().cloned());
    help
}

fn fix_in_words(fix: &Fix) -> String {
    let edits: Vec<String> = fix
        .edits
        .iter()
        .map(|edit| match &edit.operation {
            Operation::Add(value) | Operation::Replace(value) => format!("{} = {value}", edit.path),
            Operation::Remove => format!("remove {}", edit.path),
        })
        .collect();
    let edits = edits.join(", ");
    match &fix.safety {
        Safety::Safe => format!("safe fix: {edits}"),
        Safety::Unsafe { proof: None } => format!("fix, if you agree: {edits}"),
        Safety::Unsafe { proof: Some(proof) } => format!("fix, if you agree: {edits} ({proof})"),
    }
}

fn write_total(reported: &[Reported], summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
    let count = |severity| {
        reported
            .iter()
            .filter(|one| one.finding.severity == severity)
            .count()
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let safe = reported
        .iter()
        .filter(|one| one.finding.has_safe_fix())
        .count();
    let looked = format!(
        "{}{} in {}, against {}",
        counted(summary.entries, "ServiceEntry", "ServiceEntries"),
        match summary.services {
            0 => String::new(),
            services => format!(" and {}", counted(services, "Service", "Services")),
        },
        counted(summary.files, "file", "files"),
        counted(summary.proxies, "declared proxy", "declared proxies"),
    );
    if reported.is_empty() {
        return writeln!(out, "no findings: {looked}");
    }
    writeln!(
        out,
        "{} and {}, {safe} with a safe fix: {looked}",
        counted(errors, "error", "errors"),
        counted(warnings, "warning", "warnings"),
    )
}
