//! A `tunnelguard serve` that runs as a child, and a client that trusts its authority alone.

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::client::{Client, Sample};
use crate::support::{CORPORATE, LIMIT, repository, tunnelguard};

/// A server that runs until it is dropped, whatever happens before.
pub(super) struct Serving {
    child: Child,
    /// Disconnected once the process has closed its stdout.
    lines: mpsc::Receiver<String>,
    webhook: SocketAddr,
    pub(super) health: SocketAddr,
    authority: PathBuf,
    /// What it logs, line by line.
    log: Arc<Mutex<Vec<String>>>,
    logging: Option<JoinHandle<()>>,
    samples: Vec<Sample>,
    /// Stands in for the machine's directory of temporary files.
    temporary: TempDir,
}

/// What it takes to dial a server: a webhook configuration's `clientConfig`.
#[derive(Clone, Debug)]
pub(super) struct Address {
    pub(super) webhook: SocketAddr,
    /// A file with the authority that is trusted, alone.
    pub(super) authority: PathBuf,
}

impl Serving {
    /// Starts a server with the examples' policy, and waits until it has said where it serves.
    pub(super) fn start() -> Self {
        let policy = repository(CORPORATE);
        Self::start_with(&["--policy", policy.to_str().expect("UTF-8")])
    }

    /// Starts a server with these flags, besides those that keep tests apart and quick.
    pub(super) fn start_with(flags: &[&str]) -> Self {
        let mut serving = Self::spawn(flags);
        let log = Arc::clone(&serving.log);
        serving.logging = Some(keep_log(&mut serving.child, log));
        serving.read_introduction();
        serving
    }

    /// Starts a server whose log nobody reads.
    pub(super) fn start_unread() -> Self {
        let mut serving = Self::spawn(&[]);
        serving.read_introduction();
        serving
    }

    fn spawn(flags: &[&str]) -> Self {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let mut command = tunnelguard();
        command.env("TMPDIR", temporary.path());
        command.args(["serve", "--offline"]);
        command.args(["--listen", "127.0.0.1:0", "--health-listen", "127.0.0.1:0"]);
        if !flags.contains(&"--drain-seconds") {
            command.args(["--drain-seconds", "0"]);
        }
        command.args(flags);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let lines = lines(&mut child);
        Self {
            child,
            lines,
            webhook: ([0, 0, 0, 0], 0).into(),
            health: ([0, 0, 0, 0], 0).into(),
            authority: PathBuf::new(),
            log: Arc::default(),
            logging: None,
            samples: Vec::new(),
            temporary,
        }
    }

    /// What is printed is what a person copies: addresses, and a curl line that names the CA.
    fn read_introduction(&mut self) {
        loop {
            let line = self.lines.recv_timeout(LIMIT).unwrap_or_else(|_| {
                panic!("no introduction: {:?}", self.log.lock().expect("a log"))
            });
            let mut words = line.split_whitespace();
            if let Some(url) = words.clone().find_map(|word| word.strip_prefix("https://"))
                && line.contains("serves")
            {
                self.webhook = url.parse().expect("an address");
            } else if let Some(url) = words.clone().find_map(|word| word.strip_prefix("http://")) {
                let address = url.split('/').next().unwrap_or_default();
                self.health = address.parse().expect("an address");
            } else if words.by_ref().any(|word| word == "--cacert") {
                self.authority = words.next().expect("a file").into();
                self.samples.push(Sample { command: line });
            } else if line.starts_with("Ctrl-C") {
                return;
            }
        }
    }

    /// A connection to the webhook.
    pub(super) async fn client(&self) -> Client {
        let stream = self.address().tls(b"http/1.1").await.expect("TLS");
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
        tokio::spawn(connection);
        Client(sender)
    }

    /// How to dial it.
    pub(super) fn address(&self) -> Address {
        Address {
            webhook: self.webhook,
            authority: self.authority.clone(),
        }
    }

    /// A connection to the probes.
    pub(super) async fn probe(&self) -> Client {
        let stream = TcpStream::connect(self.health).await.expect("TCP");
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
        tokio::spawn(connection);
        Client(sender)
    }

    /// The commands that it printed.
    pub(super) fn samples(&self) -> Vec<Sample> {
        self.samples.clone()
    }

    /// The value of a series, as it stands in the scrape.
    pub(super) async fn metric(&self, series: &str) -> String {
        let text = self.probe().await.get("/metrics").await;
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value
            .unwrap_or_else(|| panic!("no {series} in\n{text}"))
            .to_owned()
    }

    /// The directory that it writes to.
    pub(super) fn temporary(&self) -> &Path {
        self.temporary.path()
    }

    /// What is logged, once it holds a line with all of these words.
    pub(super) fn logged(&self, words: &[&str]) -> String {
        let begin = Instant::now();
        while begin.elapsed() < LIMIT {
            let log = self.log.lock().expect("a log");
            let has = |line: &&String| words.iter().all(|word| line.contains(word));
            if let Some(line) = log.iter().find(has) {
                return line.clone();
            }
            drop(log);
            thread::yield_now();
        }
        panic!(
            "no line with {words:?} in {:?}",
            self.log.lock().expect("a log")
        );
    }

    /// Sends SIGTERM.
    pub(super) fn signal(&self) {
        let id = self.child.id().to_string();
        let sent = Command::new("/bin/sh")
            .args(["-c", "kill -TERM \"$0\"", &id])
            .status();
        assert!(sent.expect("a shell").success(), "no signal could be sent");
    }

    /// Sends SIGTERM, and waits for the end; what is left is its status and all that it logged.
    pub(super) fn terminate(&mut self) -> (ExitStatus, Vec<String>) {
        self.signal();
        self.ended()
    }

    /// Waits for the end of a server that was told.
    pub(super) fn ended(&mut self) -> (ExitStatus, Vec<String>) {
        loop {
            match self.lines.recv_timeout(LIMIT) {
                Ok(_) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("SIGTERM does not end it"),
            }
        }
        let status = self.child.wait().expect("its status");
        let logging = self.logging.take().expect("ended once");
        logging.join().expect("no panic");
        (status, self.log.lock().expect("a log").clone())
    }
}

impl Address {
    /// A connection over which an HTTP is to be spoken.
    pub(super) async fn tls(&self, protocol: &[u8]) -> io::Result<TlsStream<TcpStream>> {
        let pem = std::fs::read(&self.authority).expect("a file");
        let mut trust = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(&pem).expect("PEM");
        trust.add(root).expect("a root");
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(trust)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        let name = ServerName::from(self.webhook.ip());
        let stream = TcpStream::connect(self.webhook).await?;
        connector.connect(name, stream).await
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The lines of its stdout, as they come.
fn lines(child: &mut Child) -> mpsc::Receiver<String> {
    let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in stdout.lines() {
            if sender.send(line.expect("UTF-8")).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Keeps the lines of its stderr, as they come.
fn keep_log(child: &mut Child, log: Arc<Mutex<Vec<String>>>) -> JoinHandle<()> {
    let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    thread::spawn(move || {
        for line in stderr.lines() {
            log.lock().expect("a log").push(line.expect("UTF-8"));
        }
    })
}
