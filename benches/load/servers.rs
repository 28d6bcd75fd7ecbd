//! The two servers, each in a process of its own.

use std::fs;
use std::future::pending;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::http::StatusCode;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tempfile::TempDir;
use time::OffsetDateTime;
use tunnelguard::pki::{Authority, CertificateFiles};
use tunnelguard::server::metrics::Metrics;
use tunnelguard::server::tls::ServingCertificate;
use tunnelguard::server::{Options, Reply, Review, Server};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The uid of every review.
pub(crate) const UID: &str = "3f1c1f6e-6f0c-4c0a-9d43-2a3b7a5d9a01";

/// What a good entry is answered, byte for byte: the empty server says the same to everybody.
pub(crate) const ALLOWED: &str = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"allowed":true,"uid":"3f1c1f6e-6f0c-4c0a-9d43-2a3b7a5d9a01"}}"#;

/// A certificate for loopback in files, and who trusts it.
pub(crate) struct Certificate {
    directory: TempDir,
    authority: String,
}

impl Certificate {
    pub(crate) fn make() -> anyhow::Result<Self> {
        let now = OffsetDateTime::now_utc();
        let authority = Authority::mint(now, time::Duration::DAY)?;
        let leaf = authority.sign_leaf(&[], &[LOCALHOST], now, time::Duration::DAY)?;
        let directory = tempfile::tempdir()?;
        fs::write(directory.path().join("tls.crt"), leaf.certificate_pem())?;
        fs::write(directory.path().join("tls.key"), leaf.key_pem())?;
        let authority = authority.certificate_pem();
        Ok(Self {
            directory,
            authority,
        })
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("tls.crt")
    }

    fn key(&self) -> PathBuf {
        self.directory.path().join("tls.key")
    }

    fn trust(&self) -> anyhow::Result<RootCertStore> {
        let mut trust = RootCertStore::empty();
        trust.add(CertificateDer::from_pem_slice(self.authority.as_bytes())?)?;
        Ok(trust)
    }
}

/// A server that runs until it is dropped.
pub(crate) struct Serving {
    child: Child,
    /// Kept open: a server that cannot print ends.
    _stdout: BufReader<ChildStdout>,
    pub(crate) webhook: SocketAddr,
    health: SocketAddr,
    pub(crate) trust: RootCertStore,
}

impl Serving {
    /// The binary, with the policy of the examples.
    pub(crate) fn ours(certificate: &Certificate) -> anyhow::Result<Self> {
        let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/policies/corporate.yaml");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tunnelguard"));
        command.args([
            "serve",
            "--offline",
            "--listen",
            "127.0.0.1:0",
            "--health-listen",
            "127.0.0.1:0",
        ]);
        command.arg("--policy").arg(policy);
        command.arg("--tls-cert").arg(certificate.file());
        command.arg("--tls-key").arg(certificate.key());
        Self::start(command, certificate)
    }

    /// This program as [`serve_empty`].
    pub(crate) fn empty(certificate: &Certificate) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--serve-empty");
        command.args([certificate.file(), certificate.key()]);
        Self::start(command, certificate)
    }

    fn start(mut command: Command, certificate: &Certificate) -> anyhow::Result<Self> {
        command.env_clear();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().context("cannot start a server")?;
        let mut stdout = BufReader::new(child.stdout.take().context("no stdout")?);
        let [webhook, health] = ["https://", "http://"].map(|scheme| address(&mut stdout, scheme));
        Ok(Self {
            child,
            _stdout: stdout,
            webhook: webhook?,
            health: health?,
            trust: certificate.trust()?,
        })
    }

    /// Its number.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// A series of its metrics.
    pub(crate) fn metric(&self, series: &str) -> anyhow::Result<f64> {
        let mut stream = TcpStream::connect(self.health)?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        Ok(value.with_context(|| format!("no {series}"))?.parse()?)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The address in the next line that holds an URL of this scheme.
fn address(stdout: &mut impl BufRead, scheme: &str) -> anyhow::Result<SocketAddr> {
    let mut line = String::new();
    while stdout.read_line(&mut line)? > 0 {
        let url = line
            .split_whitespace()
            .find_map(|word| word.strip_prefix(scheme));
        if let Some(address) = url.and_then(|url| url.split('/').next()) {
            return Ok(address.parse()?);
        }
        line.clear();
    }
    bail!("a server ended before it served")
}

/// Serves as `tunnelguard serve` does, except that there is nothing to read, decide, log or count.
pub(crate) async fn serve_empty(certificate: &Path, key: &Path) -> anyhow::Result<()> {
    let mut files = CertificateFiles::new(certificate.into(), key.into());
    let pair = files.load(OffsetDateTime::now_utc())?;
    let certificate = Arc::new(ServingCertificate::new(pair));
    let review: Review = Arc::new(|_, _| Reply {
        status: StatusCode::OK,
        content_type: "application/json",
        body: ALLOWED.as_bytes().to_vec(),
    });
    let options = Options {
        listen: (LOCALHOST, 0).into(),
        health_listen: (LOCALHOST, 0).into(),
        connections: 2048,
        reviews: 2048,
        patience: Duration::from_secs(1),
    };
    let server = Server::bind(options, certificate, review, Arc::new(Metrics::default())).await?;
    let addresses = server.addresses();
    println!("https://{}\nhttp://{}", addresses.webhook, addresses.health);
    server.run(pending()).await;
    Ok(())
}
