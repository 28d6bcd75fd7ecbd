//! When files are read again, and which are not read at all.

use std::{fs, os::unix::fs::symlink, path::PathBuf, process::Command};

use tempfile::TempDir;

use super::material::{Material, now};
use crate::pki::{CertificateFileError, CertificateFiles, ServingPair};

/// A directory with `tls.crt` and `tls.key`.
struct Mounted(TempDir);

impl Mounted {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn files(&self) -> CertificateFiles {
        CertificateFiles::new(self.path("tls.crt"), self.path("tls.key"))
    }

    /// Writes the file; `None` removes it.
    fn put(&self, name: &str, content: Option<&str>) {
        let path = self.path(name);
        match content {
            Some(content) => fs::write(path, content).expect("written"),
            None => drop(fs::remove_file(path)),
        }
    }
}

/// What a poll came to: nothing, the name of the pair, or what is wrong.
fn told(
    polled: Option<Result<ServingPair, CertificateFileError>>,
    pairs: &[(&str, Material)],
) -> String {
    match polled {
        None => String::new(),
        Some(Err(error)) => error.problem,
        Some(Ok(pair)) => {
            let is_it = |material: &Material| pair.certified_key.cert == material.chain();
            let known = pairs.iter().find(|(_, material)| is_it(material));
            known.expect("a known pair").0.to_owned()
        }
    }
}

/// Stories, a poll between two bars: the pairs that the certificate and the key are of by then
/// (`x`: rubbish, `-`: no file), and what the poll says. At the beginning `a a` is in use.
const STORIES: [(&str, &str); 12] = [
    ("nothing changes", "a a | a a | a a"),
    ("a new pair", "b b | b b: b | b b | b b"),
    ("between two copies", "b a | b b | b b: b | b b"),
    ("every poll another", "b b | c c | b b | b b: b"),
    ("back before it counts", "b b | a a | b b | a a"),
    ("rubbish", "x a | x a: has no line | x a | x a"),
    (
        "rubbish, then half a pair",
        "x a | x a: has no line | b a | b a: its certificate does not",
    ),
    (
        "half a pair, then the other half",
        "b a | b a: its certificate does not | b b | b b: b",
    ),
    ("gone for a moment", "- - | a a | a a"),
    (
        "gone for long, and the same again",
        "- - | - -: cannot be read | - - | a a | a a: a | a a",
    ),
    (
        "the key gone for long, and another pair",
        "a - | a -: cannot be read | c c | c c: c | c c",
    ),
    (
        "rolled back after it was told",
        "x x | x x: has no line | a a | a a: a | a a",
    ),
];

#[test]
fn changes_are_told_once_when_they_stand_still() {
    let pairs = ["a", "b", "c"].map(|name| (name, Material::new()));
    for (story, polls) in STORIES {
        let mounted = Mounted::new();
        put_pairs(&mounted, "a a", &pairs);
        let mut files = mounted.files();
        assert_eq!(told(Some(files.load(now())), &pairs), "a", "{story}");
        for (number, poll) in polls.split(" | ").enumerate() {
            let (state, expected) = poll.split_once(": ").unwrap_or((poll, ""));
            put_pairs(&mounted, state, &pairs);
            let told = told(files.changed(now()), &pairs);
            let place = format!("{story}, poll {number}: {told:?}");
            assert!(told.starts_with(expected), "{place}");
            assert_eq!(told.is_empty(), expected.is_empty(), "{place}");
        }
    }
}

/// Writes or removes both files, as a poll of a story has it.
fn put_pairs(mounted: &Mounted, state: &str, pairs: &[(&str, Material)]) {
    let (certificate, key) = state.split_once(' ').expect("two words");
    let content = |word: &str, part: fn(&Material) -> &str| match word {
        "-" => None,
        "x" => Some("rubbish".to_owned()),
        word => {
            let known = pairs.iter().find(|(name, _)| *name == word);
            Some(part(&known.expect("a known pair").1).to_owned())
        }
    };
    let certificate = content(certificate, |material| &material.certificate);
    let key = content(key, |material| &material.key);
    mounted.put("tls.crt", certificate.as_deref());
    mounted.put("tls.key", key.as_deref());
}

#[test]
fn a_link_swapped_as_the_kubelet_does_is_a_change() {
    let mounted = Mounted::new();
    let [old, new] = [(); 2].map(|()| Material::new());
    for (version, material) in [("..1", &old), ("..2", &new)] {
        fs::create_dir(mounted.path(version)).expect("a directory");
        mounted.put(&format!("{version}/tls.crt"), Some(&material.certificate));
        mounted.put(&format!("{version}/tls.key"), Some(&material.key));
    }
    symlink("..1", mounted.path("..data")).expect("a link");
    for name in ["tls.crt", "tls.key"] {
        symlink(format!("..data/{name}"), mounted.path(name)).expect("a link");
    }
    let pairs = [("old", old), ("new", new)];
    let mut files = mounted.files();
    assert_eq!(told(Some(files.load(now())), &pairs), "old");

    symlink("..2", mounted.path("..data_tmp")).expect("a link");
    fs::rename(mounted.path("..data_tmp"), mounted.path("..data")).expect("swapped");
    assert_eq!(told(files.changed(now()), &pairs), "");
    assert_eq!(told(files.changed(now()), &pairs), "new");
}

#[test]
fn what_is_no_file_is_refused_and_never_waited_for() {
    let mounted = Mounted::new();
    let fifo = mounted.path("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.expect("mkfifo").success());
    symlink("fifo", mounted.path("link")).expect("a link");
    let not_a_file = "is a directory, pipe or device; ";
    for (path, expected) in [
        (fifo, not_a_file),
        (mounted.path("link"), not_a_file),
        ("/dev/zero".into(), not_a_file),
        (mounted.path("."), not_a_file),
        (mounted.path("missing"), "cannot be read (No such file"),
    ] {
        let error = CertificateFiles::new(path.clone(), path.clone()).load(now());
        let error = error.expect_err("no file");
        assert_eq!(error.path, path);
        assert!(error.problem.starts_with(expected), "{error}");
        assert!(error.problem.contains("; "), "no way out: {error}");
    }
}

#[test]
fn a_file_is_read_up_to_the_limit() {
    let mounted = Mounted::new();
    let material = Material::new();
    mounted.put("tls.key", Some(&material.key));
    for (size, is_good) in [(1 << 20, true), ((1 << 20) + 1, false)] {
        let mut certificate = material.certificate.clone();
        certificate += &" ".repeat(size - certificate.len());
        mounted.put("tls.crt", Some(&certificate));
        let loaded = mounted.files().load(now());
        assert_eq!(loaded.is_ok(), is_good, "{size}: {loaded:?}");
    }
}

#[test]
fn debug_shows_no_key() {
    let mounted = Mounted::new();
    let material = Material::new();
    mounted.put("tls.crt", Some(&material.certificate));
    mounted.put("tls.key", Some(&material.key));
    let mut files = mounted.files();
    let pair = files.load(now()).expect("a pair");
    let shown = format!("{files:?} {pair:?}");
    let length = format!("key: Ok({})", material.key.len());
    assert!(shown.contains(&length), "{shown}");
    assert!(!shown.contains("PRIVATE"), "{shown}");
    // As the bytes of a list would be shown.
    assert!(!shown.contains("45, 45, 45"), "{shown}");
}
