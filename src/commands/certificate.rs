//! `tunnelguard certificate`: an authority and a serving certificate as files.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use clap::Args;
use serde_json::json;
use time::{Duration, OffsetDateTime};

use crate::pki::{Authority, rfc3339};

use super::{Exit, Format};

/// The flags of `certificate`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A DNS name that the server is dialled by, such as tunnelguard.tunnelguard-system.svc;
    /// repeatable [default without --name and --address: localhost, 127.0.0.1 and ::1].
    #[arg(long = "name", value_name = "NAME", value_parser = parse_name)]
    names: Vec<String>,
    /// An IP address that the server is dialled by; repeatable.
    #[arg(long = "address", value_name = "IP")]
    addresses: Vec<IpAddr>,
    /// How long authority and certificate are valid.
    #[arg(long, value_name = "DAYS", default_value_t = 365,
          value_parser = clap::value_parser!(u16).range(1..))]
    days: u16,
    /// Replace the files if they exist.
    #[arg(long)]
    force: bool,
    /// Where ca.crt, tls.crt and tls.key are written; made if missing.
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
}

/// A file to write, named as in a Secret of type kubernetes.io/tls.
struct Target {
    path: PathBuf,
    content: String,
    mode: u32,
}

/// Makes an authority and a certificate, writes them, and says what to do with them. The
/// authority's key is never written: to renew is to make both anew.
pub(super) fn run(
    arguments: &Arguments,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<Exit> {
    let Arguments {
        days, directory, ..
    } = arguments;
    let now = OffsetDateTime::now_utc();
    let life = Duration::days((*days).into());
    let (names, addresses) = dialled(arguments);
    let authority = Authority::mint(now, life)?;
    let leaf = authority.sign_leaf(&names, &addresses, now, life)?;

    let target = |name, content: String, mode| Target {
        path: directory.join(name),
        content,
        mode,
    };
    let targets = [
        target("ca.crt", authority.certificate_pem(), 0o644),
        target("tls.crt", leaf.certificate_pem(), 0o644),
        target("tls.key", leaf.key_pem(), 0o600),
    ];
    fs::create_dir_all(directory).with_context(|| {
        let directory = directory.display();
        format!("cannot make the directory {directory}; name one that you may write to")
    })?;
    match arguments.force {
        true => replace(&targets)?,
        false => create(&targets)?,
    }

    let names: Vec<String> = names
        .into_iter()
        .chain(addresses.iter().map(IpAddr::to_string))
        .collect();
    let written = Written {
        targets: &targets,
        names: &names,
        not_after: rfc3339(leaf.not_after()),
        ca_bundle: BASE64_STANDARD.encode(authority.certificate_pem()),
    };
    match format {
        Format::Human => written.tell(out)?,
        Format::Json => written.tell_json(out)?,
    }
    Ok(Exit::Clean)
}

/// By what the server is dialled: without flags, by what works on the machine itself.
fn dialled(arguments: &Arguments) -> (Vec<String>, Vec<IpAddr>) {
    let Arguments {
        names, addresses, ..
    } = arguments;
    if names.is_empty() && addresses.is_empty() {
        let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        return (vec!["localhost".to_owned()], loopback.into());
    }
    (names.clone(), addresses.clone())
}

/// A client compares an address with the certificate's addresses only (RFC 6125 §1.7.2).
fn parse_name(text: &str) -> anyhow::Result<String> {
    if text.parse::<IpAddr>().is_ok() {
        bail!("{text} is an address, not a DNS name; give it as --address {text}");
    }
    Ok(text.to_owned())
}

/// Writes files that do not exist; all or, if one does, none.
fn create(targets: &[Target]) -> anyhow::Result<()> {
    for Target { path, .. } in targets {
        // The link itself, wherever it leads.
        if path.symlink_metadata().is_ok() {
            bail!(
                "{} exists; name another directory, or replace the files in this one with --force",
                path.display()
            );
        }
    }
    for target in targets {
        write_new(&target.path, target).with_context(|| cannot_write(target))?;
    }
    Ok(())
}

/// Writes files whether or not they exist. Each appears whole: a server that reads them sees the
/// old content or the new.
fn replace(targets: &[Target]) -> anyhow::Result<()> {
    let nanoseconds = jiff::Timestamp::now().subsec_nanosecond();
    let suffix = format!("{}-{nanoseconds}.new", std::process::id());
    // Beside its target: a rename is atomic within one file system only.
    let temporary = |target: &Target| target.path.with_added_extension(&suffix);

    let written = targets.iter().try_for_each(|target| {
        write_new(&temporary(target), target).with_context(|| cannot_write(target))
    });
    let replaced = written.and_then(|()| {
        targets.iter().try_for_each(|target| {
            fs::rename(temporary(target), &target.path).with_context(|| cannot_write(target))
        })
    });
    if replaced.is_err() {
        for target in targets {
            // Those that were renamed, or never written, are not there.
            let _ = fs::remove_file(temporary(target));
        }
    }
    replaced
}

fn write_new(path: &Path, target: &Target) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(target.mode)
        .open(path)?;
    file.write_all(target.content.as_bytes())
}

fn cannot_write(target: &Target) -> String {
    format!("cannot write {}", target.path.display())
}

/// What was written, to be told.
struct Written<'a> {
    targets: &'a [Target; 3],
    names: &'a [String],
    not_after: String,
    ca_bundle: String,
}

impl Written<'_> {
    fn paths(&self) -> [&Path; 3] {
        self.targets.each_ref().map(|target| &*target.path)
    }

    fn tell(&self, out: &mut dyn Write) -> io::Result<()> {
        let [authority, certificate, key] = self.paths().map(Path::display);
        let Self {
            names,
            not_after,
            ca_bundle,
            ..
        } = self;
        writeln!(out, "{authority}: the authority that clients trust")?;
        let names = names.join(", ");
        writeln!(out, "{certificate}: the certificate for {names}")?;
        writeln!(out, "{key}: its private key; keep it out of Git")?;
        writeln!(out, "valid until {not_after}")?;

        let [_, certificate, key] = self.paths().map(quoted);
        writeln!(out, "\n# Serve with it")?;
        writeln!(
            out,
            "tunnelguard serve --tls-cert {certificate} --tls-key {key}"
        )?;
        writeln!(out, "\n# In the webhook configuration, under clientConfig")?;
        writeln!(out, "caBundle: {ca_bundle}")
    }

    fn tell_json(&self, out: &mut dyn Write) -> io::Result<()> {
        let [authority, certificate, key] = self.paths().map(|path| path.display().to_string());
        let object = json!({
            "certificate": certificate,
            "key": key,
            "authority": authority,
            "names": self.names,
            "notAfter": self.not_after,
            "caBundle": self.ca_bundle,
        });
        serde_json::to_writer_pretty(&mut *out, &object)?;
        writeln!(out)
    }
}

/// A path as one word of a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    if text.chars().all(is_plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_one_word() {
        for (path, expected) in [
            ("certs/local-1/tls.crt", "certs/local-1/tls.crt"),
            ("my certs/tls.crt", "'my certs/tls.crt'"),
            ("it's/tls.crt", r"'it'\''s/tls.crt'"),
            ("$HOME/tls.crt", "'$HOME/tls.crt'"),
            ("~/tls.crt", "'~/tls.crt'"),
        ] {
            assert_eq!(quoted(Path::new(path)), expected);
        }
    }
}
