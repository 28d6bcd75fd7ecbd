//! The authorities that replicas share, and how a Secret keeps them.
//!
//! `ca.crt` and `ca.key` sign. While the authority is being replaced, `next.crt` and `next.key` are to
//! sign later, and `previous.crt` signed before: all of them are trusted.

use std::collections::BTreeMap;
use std::sync::Arc;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Authority, Root, rfc3339};

/// The key of the certificate of the authority that signs.
pub const CERTIFICATE: &str = "ca.crt";
const KEY: &str = "ca.key";
const NEXT_CERTIFICATE: &str = "next.crt";
const NEXT_KEY: &str = "next.key";
const PREVIOUS: &str = "previous.crt";

/// The label that says whose the Secret is, and what it says.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "tunnelguard");

/// How often the authority that signs has been replaced, and one more.
const GENERATION: &str = "tunnelguard.dev/authority-generation";

/// Until when the previous authorities are trusted.
const PREVIOUS_UNTIL: &str = "tunnelguard.dev/previous-trusted-until";

/// Whoever sets it, to whatever, asks for another authority now.
const ROTATE: &str = "tunnelguard.dev/rotate";

/// What a Secret keeps its content in.
pub type Contents = BTreeMap<String, Vec<u8>>;

/// Labels or annotations.
pub type Texts = BTreeMap<String, String>;

/// Whom to trust, and who signs.
#[derive(Clone, Debug)]
pub struct Authorities {
    /// Signs the replicas' certificates.
    pub signing: Arc<Authority>,
    /// Is to sign once everybody trusts it.
    pub next: Option<Arc<Authority>>,
    /// Signed before: certificates of theirs may be served still.
    pub previous: Vec<Root>,
    /// When no certificate of theirs is valid any more.
    pub previous_until: OffsetDateTime,
    /// The number of the one that signs, counted from 1.
    pub generation: u64,
    /// Somebody asked for another authority.
    pub rotation_asked: bool,
}

/// What a Secret was found to keep.
#[derive(Clone, Debug)]
pub enum Kept {
    /// There is no Secret, or nothing in it.
    Nothing,
    /// What belongs there.
    Authorities(Authorities),
    /// What belonged there once, and why it cannot be used.
    Damaged {
        /// What is wrong, and with what.
        why: String,
        /// The authorities that can still be told.
        roots: Vec<Root>,
        /// See [`Authorities::generation`]; 0 if it cannot be told.
        generation: u64,
    },
    /// Somebody else's.
    Foreign,
}

impl Kept {
    /// Reads a Secret.
    pub fn read(labels: &Texts, annotations: &Texts, contents: &Contents) -> Self {
        if contents.is_empty() {
            return Self::Nothing;
        }
        let (label, ours) = MANAGED_BY;
        if labels.get(label).is_none_or(|value| value != ours) {
            return Self::Foreign;
        }
        let generation = annotations.get(GENERATION);
        let generation = generation.and_then(|text| text.parse().ok()).unwrap_or(0);
        let signing = match authority(contents, CERTIFICATE, KEY) {
            Ok(signing) => Arc::new(signing),
            Err(why) => {
                let texts =
                    [CERTIFICATE, NEXT_CERTIFICATE, PREVIOUS].map(|key| text(contents, key));
                return Self::Damaged {
                    why,
                    roots: texts.into_iter().flat_map(Root::all_of).collect(),
                    generation,
                };
            }
        };
        let previous = Root::all_of(text(contents, PREVIOUS));
        let until = annotations.get(PREVIOUS_UNTIL);
        let until = until.and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
        // As long as they are valid, where it is not told: no certificate of theirs is for longer.
        let ends = || previous.iter().map(Root::not_after).max();
        Self::Authorities(Authorities {
            signing,
            // One that cannot sign is made again.
            next: authority(contents, NEXT_CERTIFICATE, NEXT_KEY)
                .ok()
                .map(Arc::new),
            previous_until: until.or_else(ends).unwrap_or(OffsetDateTime::UNIX_EPOCH),
            previous,
            generation,
            rotation_asked: annotations.contains_key(ROTATE),
        })
    }
}

impl Authorities {
    /// All that are to be trusted, each once, in the order in which they sign: letting the next one sign
    /// does not change what is trusted.
    pub fn roots(&self) -> Vec<&Root> {
        let next = self.next.iter().map(|next| next.root());
        let signing = [self.signing.root()];
        let all = self.previous.iter().chain(signing).chain(next);
        let mut roots = Vec::new();
        for root in all {
            if !roots.contains(&root) {
                roots.push(root);
            }
        }
        roots
    }

    /// What the webhook configurations are to have as `caBundle`, before base64.
    pub fn bundle(&self) -> String {
        self.roots().into_iter().map(Root::pem).collect()
    }

    /// What a Secret keeps.
    pub fn contents(&self) -> Contents {
        let mut contents = Contents::new();
        let mut keep = |key: &str, text: String| contents.insert(key.to_owned(), text.into_bytes());
        keep(CERTIFICATE, self.signing.certificate_pem());
        keep(KEY, self.signing.key_pem());
        if let Some(next) = &self.next {
            keep(NEXT_CERTIFICATE, next.certificate_pem());
            keep(NEXT_KEY, next.key_pem());
        }
        if !self.previous.is_empty() {
            keep(PREVIOUS, self.previous.iter().map(Root::pem).collect());
        }
        contents
    }

    /// Says in the annotations of a Secret what its contents do not.
    pub fn annotate(&self, annotations: &mut Texts) {
        annotations.insert(GENERATION.to_owned(), self.generation.to_string());
        annotations.remove(ROTATE);
        annotations.remove(PREVIOUS_UNTIL);
        if !self.previous.is_empty() {
            annotations.insert(PREVIOUS_UNTIL.to_owned(), rfc3339(self.previous_until));
        }
    }
}

fn text<'a>(contents: &'a Contents, key: &str) -> &'a [u8] {
    contents.get(key).map(Vec::as_slice).unwrap_or_default()
}

fn authority(contents: &Contents, certificate: &str, key: &str) -> Result<Authority, String> {
    for wanted in [certificate, key] {
        if text(contents, wanted).is_empty() {
            return Err(format!("{wanted} is missing"));
        }
    }
    let read = Authority::from_pem(text(contents, certificate), text(contents, key));
    read.map_err(|why| format!("{certificate} and {key} are damaged: {why}"))
}
