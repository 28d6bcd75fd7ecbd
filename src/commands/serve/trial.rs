//! What `serve` prints at the start, and the files that the printed lines name.

use std::io::Write;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::policy::proxy::Evidence;
use crate::server::Addresses;
use crate::state::Snapshot;

use super::certificate::Source;
use super::samples::{self, Sample};

/// The files that the printed curl lines name, removed at the end.
pub(super) struct Trial {
    directory: PathBuf,
    samples: Vec<Sample>,
}

impl Trial {
    /// Writes the authority's certificate, as PEM, and a review for each verdict.
    pub(super) fn write(authority: &str, snapshot: &Snapshot) -> anyhow::Result<Self> {
        // New, under a name that nobody can foresee, and for its owner alone: the printed lines
        // trust the certificate in it.
        let nanoseconds = jiff::Timestamp::now().subsec_nanosecond();
        let name = format!("tunnelguard-{}-{nanoseconds}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let place = || format!("cannot write to {}", directory.display());
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&directory)
            .with_context(place)?;
        let trial = Self {
            directory: directory.clone(),
            samples: samples::samples(snapshot),
        };
        std::fs::write(directory.join("ca.pem"), authority).with_context(place)?;
        for sample in &trial.samples {
            std::fs::write(directory.join(sample.file), &sample.review).with_context(place)?;
        }
        Ok(trial)
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Says what is served, and how to see it at work.
pub(super) fn introduce(
    out: &mut dyn Write,
    addresses: Addresses,
    certificate: &Source,
    snapshot: &Snapshot,
    trial: Option<&Trial>,
) -> std::io::Result<()> {
    let Addresses { webhook, health } = addresses;
    writeln!(
        out,
        "tunnelguard serves https://{webhook} with {certificate} ({})",
        policies(snapshot)
    )?;
    writeln!(
        out,
        "probes on http://{health}/livez and /readyz, metrics on /metrics"
    )?;
    if let Some(Trial { directory, samples }) = trial {
        let directory = directory.display();
        for sample in samples {
            writeln!(out, "\n# {}", sample.title)?;
            writeln!(
                out,
                "curl -s --cacert {directory}/ca.pem -H 'Content-Type: application/json' -d @{directory}/{} https://{webhook}/{}",
                sample.file, sample.path
            )?;
        }
    }
    writeln!(out, "\nCtrl-C ends it.")?;
    out.flush()
}

/// The policies in force, and how many proxies they declare.
pub(super) fn policies(snapshot: &Snapshot) -> String {
    let policies = &snapshot.policies.policies;
    // What the flags declare has no name.
    let names = policies.iter().map(|policy| &*policy.name);
    let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
    let names = match names.is_empty() {
        true => "the built-in policy".to_owned(),
        false => names.join(", "),
    };
    let proxies = snapshot.policies.proxies.all().iter();
    let declared = proxies.filter(|proxy| proxy.evidence == Evidence::Declared);
    match declared.count() {
        0 => format!("{names}: no declared proxies, names are the only evidence"),
        1 => format!("{names}: 1 declared proxy"),
        proxies => format!("{names}: {proxies} declared proxies"),
    }
}
