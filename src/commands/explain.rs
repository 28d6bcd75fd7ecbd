//! `tunnelguard explain`: the page of a check, as in `docs/checks`.

use std::io::Write;

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};

use crate::policy::Check;
use crate::policy::checks;

use super::{Exit, Format};

/// The flags of `explain`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A check's id, such as TG001.
    #[arg(value_name = "CHECK")]
    check: Option<String>,
}

/// Prints a page, or the list.
pub(super) fn run(
    arguments: &Arguments,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<Exit> {
    let chosen: Vec<&Check> = match &arguments.check {
        None => checks::ALL.to_vec(),
        Some(name) => match checks::by_name(name) {
            Some(check) => vec![check],
            None => bail!("there is no check {name:?}; `tunnelguard explain` lists them"),
        },
    };
    match (format, &arguments.check) {
        (Format::Json, _) => {
            let rows: Vec<Value> = chosen.iter().map(|check| row(check)).collect();
            serde_json::to_writer_pretty(&mut *out, &rows)?;
            writeln!(out)?;
        }
        (Format::Human, Some(_)) => {
            for check in chosen {
                write!(out, "{}", check.page)?;
            }
        }
        (Format::Human, None) => {
            for check in chosen {
                writeln!(out, "{}  {}", check.id, check.title)?;
            }
        }
    }
    Ok(Exit::Clean)
}

fn row(check: &Check) -> Value {
    json!({"check": check.id.to_string(), "title": check.title, "page": check.page})
}
