//! A certificate and its key from files that are replaced while the server runs.
//!
//! The files are read again and again rather than watched: the kubelet swaps a symbolic link that
//! they lead through (`..data`, k8s.io/kubernetes/pkg/volume/util/atomic_writer.go), and NFS and
//! some FUSE file systems send no events at all. Both files are a few KiB.

use std::{
    fmt,
    fs::{self, File},
    io::{self, ErrorKind, Read as _},
    path::{Path, PathBuf},
};

use rustls::pki_types::ServerName;
use time::OffsetDateTime;

use super::{
    ServingPair,
    expected::Expected,
    pem_file::{CertificateFileError, PemFile},
};

/// The most that is read of a file: no Secret holds more (`MaxSecretSize`,
/// k8s.io/kubernetes/pkg/apis/core/types.go).
const SIZE_LIMIT: u64 = 1 << 20;

/// A certificate file and a key file, what they are held to, and what was last seen in them.
///
/// Reading blocks, on a network file system for as long as that does.
#[derive(Debug)]
pub struct CertificateFiles {
    certificate: PathBuf,
    key: PathBuf,
    /// Who may have signed the certificate.
    authorities: Option<PathBuf>,
    /// The name or address that is dialled.
    name: Option<ServerName<'static>>,
    /// What was last accepted or reported.
    tried: Option<Seen>,
    /// What the last poll saw, if that differs from `tried`.
    unsettled: Option<Seen>,
}

impl CertificateFiles {
    /// Names the files: the chain in PEM, leaf first, and the leaf's private key in PEM. Nothing
    /// is read yet.
    pub fn new(certificate: PathBuf, key: PathBuf) -> Self {
        Self {
            certificate,
            key,
            authorities: None,
            name: None,
            tried: None,
            unsettled: None,
        }
    }

    /// Takes a certificate only if it is for this name or address, and only if it leads to an authority of this
    /// file, in PEM, which is read together with the others.
    #[must_use]
    pub fn expecting(
        mut self,
        name: Option<ServerName<'static>>,
        authorities: Option<PathBuf>,
    ) -> Self {
        self.name = name;
        self.authorities = authorities;
        self
    }

    /// Reads the pair as it is.
    ///
    /// # Errors
    /// If a file cannot be read, or a client would refuse the pair at `now`, or one that dials the name or trusts
    /// the authorities, where these are given.
    pub fn load(&mut self, now: OffsetDateTime) -> Result<ServingPair, CertificateFileError> {
        let seen = self.look();
        self.settle(seen, now)
    }

    /// Looks whether the files changed; to be called about once a second.
    ///
    /// A change counts when two calls in succession saw the same: between `cp tls.crt` and
    /// `cp tls.key` the two do not fit, and a file that is being written is cut short. It is
    /// returned once, a failure as well as a success; what a failed one replaced is still good to
    /// serve. Files that go back from a reported failure to what is in use are returned too, so
    /// that the end of the failure can be told; without one in between they never changed.
    ///
    /// # Errors
    /// As [`CertificateFiles::load`].
    pub fn changed(
        &mut self,
        now: OffsetDateTime,
    ) -> Option<Result<ServingPair, CertificateFileError>> {
        let seen = self.look();
        if self.tried.as_ref() == Some(&seen) {
            self.unsettled = None;
            return None;
        }
        if self.unsettled.as_ref() != Some(&seen) {
            self.unsettled = Some(seen);
            return None;
        }
        Some(self.settle(seen, now))
    }

    fn look(&self) -> Seen {
        Seen {
            certificate: read(&self.certificate),
            key: read(&self.key),
            authorities: self.authorities.as_deref().map(read),
        }
    }

    fn settle(
        &mut self,
        seen: Seen,
        now: OffsetDateTime,
    ) -> Result<ServingPair, CertificateFileError> {
        self.unsettled = None;
        let seen = self.tried.insert(seen);
        let certificate = pem_file(&self.certificate, &seen.certificate)?;
        let key = pem_file(&self.key, &seen.key)?;
        let authorities = self.authorities.as_deref().zip(seen.authorities.as_ref());
        let authorities = authorities.map(|(path, read)| pem_file(path, read));
        let expected = Expected {
            name: self.name.as_ref(),
            authorities: authorities.transpose()?,
        };
        ServingPair::from_pem(certificate, key, expected, now)
    }
}

/// What a look found in a file: the bytes, or why there are none.
type Content = Result<Vec<u8>, CertificateFileError>;

/// The files as one look found them.
#[derive(PartialEq, Eq)]
struct Seen {
    certificate: Content,
    key: Content,
    authorities: Option<Content>,
}

fn pem_file<'a>(path: &'a Path, content: &'a Content) -> Result<PemFile<'a>, CertificateFileError> {
    let content = content.as_ref().map_err(Clone::clone)?;
    Ok(PemFile { path, content })
}

/// Without the content: one of the files is a secret.
impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut seen = f.debug_struct("Seen");
        seen.field("certificate", &self.certificate.as_ref().map(Vec::len));
        seen.field("key", &self.key.as_ref().map(Vec::len));
        seen.finish_non_exhaustive()
    }
}

fn read(path: &Path) -> Content {
    let problem = |problem: &str| CertificateFileError {
        path: path.to_owned(),
        problem: problem.to_owned(),
    };
    let cannot = |error: io::Error| problem(&unreadable(&error));

    // Asked before opening, which waits for a writer if the path is a FIFO.
    if !fs::metadata(path).map_err(cannot)?.is_file() {
        return Err(problem("is a directory, pipe or device; name a file"));
    }
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that is too large from one that just fits.
    let file = File::open(path).map_err(cannot)?;
    let length = file.take(SIZE_LIMIT + 1).read_to_end(&mut bytes);
    if length.map_err(cannot)? as u64 > SIZE_LIMIT {
        return Err(problem(
            "is larger than 1 MiB, more than any Secret holds; leave only the leaf with its \
             intermediates, or the leaf's key, in it",
        ));
    }
    Ok(bytes)
}

fn unreadable(error: &io::Error) -> String {
    let way_out = match error.kind() {
        ErrorKind::NotFound => "check the path, and in a pod the volume mounted there",
        ErrorKind::PermissionDenied => {
            "let this process's user read it, in a pod through securityContext.fsGroup"
        }
        _ => "check the volume that it is on",
    };
    format!("cannot be read ({error}); {way_out}")
}
