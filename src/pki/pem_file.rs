//! What the PEM sections of a certificate file and of a key file hold.
//!
//! Problems are told in words of our own, never in the parser's: of a key whose line breaks were
//! lost, its error quotes the whole key, which would then stand in the log.

use std::path::{Path, PathBuf};

use rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{Error, PemObject, SectionKind},
};

/// A certificate or key file that cannot be served with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct CertificateFileError {
    /// The file to mend.
    pub path: PathBuf,
    /// What is wrong with it, and the way out.
    pub problem: String,
}

/// A file's content, with the path that its problems are told of.
#[derive(Clone, Copy)]
pub(super) struct PemFile<'a> {
    pub(super) path: &'a Path,
    pub(super) content: &'a [u8],
}

/// What belongs into a file, and the OpenSSL command that converts it from DER.
struct Wanted {
    content: &'static str,
    command: &'static str,
}

const CHAIN: Wanted = Wanted {
    content: "the PEM certificate chain, leaf first,",
    command: "x509",
};
const AUTHORITIES: Wanted = Wanted {
    content: "the PEM certificates of authorities",
    command: "x509",
};
const KEY: Wanted = Wanted {
    content: "the leaf's PEM private key",
    command: "pkey",
};

/// How an encrypted key is marked: in PKCS#8 (RFC 7468 §11), and by OpenSSL before that, within
/// the section (RFC 1421 §4.6.1.1).
const ENCRYPTED: [&[u8]; 2] = [
    b"-----BEGIN ENCRYPTED PRIVATE KEY-----",
    b"Proc-Type: 4,ENCRYPTED",
];

impl PemFile<'_> {
    /// The certificates, in the order of the file. A key beside them is passed over, as Go's
    /// `tls.LoadX509KeyPair` does.
    pub(super) fn chain(self) -> Result<Vec<CertificateDer<'static>>, CertificateFileError> {
        let Sections { chain, keys } = self.sections(&CHAIN)?;
        match (chain.is_empty(), keys.is_empty()) {
            (false, _) => Ok(chain),
            (true, true) => Err(self.lacks("CERTIFICATE", &CHAIN)),
            (true, false) => Err(self.error(
                "holds a private key and no certificate; exchange the two paths, or write the \
                 PEM certificate chain, leaf first, into it",
            )),
        }
    }

    /// The certificates of authorities.
    pub(super) fn authorities(self) -> Result<Vec<CertificateDer<'static>>, CertificateFileError> {
        match self.sections(&AUTHORITIES)?.chain {
            none if none.is_empty() => Err(self.lacks("CERTIFICATE", &AUTHORITIES)),
            found => Ok(found),
        }
    }

    /// The one private key. Certificates beside it are passed over.
    pub(super) fn private_key(self) -> Result<PrivateKeyDer<'static>, CertificateFileError> {
        if ENCRYPTED.iter().any(|mark| contains(self.content, mark)) {
            return Err(self.error(
                "holds an encrypted private key, and a server has nobody to ask for its \
                 passphrase; decrypt it with `openssl pkey -in FILE -out FILE.plain`, and let \
                 the file's mode protect it",
            ));
        }
        let Sections { chain, mut keys } = self.sections(&KEY)?;
        match (keys.len(), keys.pop()) {
            (1, Some(key)) => Ok(key),
            (0, _) if chain.is_empty() => Err(self.lacks("PRIVATE KEY", &KEY)),
            (0, _) => Err(self.error(
                "holds a certificate and no private key; exchange the two paths, or write the \
                 leaf's PEM private key into it",
            )),
            (count, _) => Err(self.error(format!(
                "holds {count} private keys; leave only the leaf's in it"
            ))),
        }
    }

    pub(super) fn error(self, problem: impl Into<String>) -> CertificateFileError {
        CertificateFileError {
            path: self.path.to_owned(),
            problem: problem.into(),
        }
    }

    fn lacks(self, label: &str, wanted: &Wanted) -> CertificateFileError {
        let content = wanted.content;
        self.error(format!(
            "has no line `-----BEGIN {label}-----`; write {content} into it"
        ))
    }

    fn sections(self, wanted: &Wanted) -> Result<Sections, CertificateFileError> {
        let Wanted { content, command } = wanted;
        if self.content.trim_ascii().is_empty() {
            return Err(self.error(format!("is empty; write {content} into it")));
        }
        // Text may stand around the sections, in any encoding.
        if !contains(self.content, b"-----BEGIN ") && str::from_utf8(self.content).is_err() {
            return Err(self.error(format!(
                "is binary, not PEM; write {content} into it (from DER: \
                 `openssl {command} -inform der -in FILE`)"
            )));
        }
        let mut sections = Sections::default();
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(self.content) {
            let (kind, der) = section.map_err(|error| {
                let damage = damage(&error);
                self.error(format!(
                    "is damaged: {damage}; copy {content} into it again, line breaks included"
                ))
            })?;
            match kind {
                SectionKind::Certificate => sections.chain.push(der.into()),
                _ => sections.keys.extend(PrivateKeyDer::from_pem(kind, der)),
            }
        }
        Ok(sections)
    }
}

/// The sections that matter; others (`EC PARAMETERS`, say) stand in many files and do no harm.
#[derive(Default)]
struct Sections {
    chain: Vec<CertificateDer<'static>>,
    keys: Vec<PrivateKeyDer<'static>>,
}

fn damage(error: &Error) -> &'static str {
    match error {
        Error::MissingSectionEnd { .. } => "a section has no END line",
        Error::IllegalSectionStart { .. } => "a BEGIN line does not end in five dashes",
        Error::Base64Decode(_) => "a section is not base64",
        _ => "its sections cannot be read",
    }
}

fn contains(content: &[u8], part: &[u8]) -> bool {
    content.windows(part.len()).any(|window| window == part)
}
