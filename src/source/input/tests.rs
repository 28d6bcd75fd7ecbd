use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::{InputError, Reach, SourceFile, collect, collect_within};
use crate::source::read;

type TestResult = Result<(), Box<dyn std::error::Error>>;

fn write(root: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap_or(root))?;
    fs::write(path, bytes)
}

fn names(root: &Path, sources: &[SourceFile]) -> Vec<String> {
    let root = format!("{}/", root.display());
    sources
        .iter()
        .map(|it| it.name.replace(&root, ""))
        .collect()
}

#[test]
fn directories_give_their_manifests_in_order() -> TestResult {
    let root = tempfile::tempdir()?;
    let files = [
        "b.yaml",
        "a/z.yml",
        "a/c.JSON",
        "a/notes.txt",
        ".hidden.yaml",
        "ignored/x.yaml",
        "x.yaml",
    ];
    for name in files {
        write(root.path(), name, b"a: 1")?;
    }
    write(root.path(), ".gitignore", b"ignored/\n")?;
    let notes = root.path().join("a/notes.txt");
    let paths = [notes.as_path(), Path::new("-"), root.path(), Path::new("-")];
    let sources = collect(&paths, &b"b: 2"[..])?;
    let expected = [
        "a/notes.txt",
        "<stdin>",
        "a/c.JSON",
        "a/z.yml",
        "b.yaml",
        "x.yaml",
    ];
    assert_eq!(names(root.path(), &sources), expected);
    assert_eq!(sources[1].text.as_deref(), Ok("b: 2"));
    Ok(())
}

#[test]
fn links_to_files_are_followed_and_nothing_is_read_twice() -> TestResult {
    let root = tempfile::tempdir()?;
    write(root.path(), "..data/a.yaml", b"a: 1")?;
    symlink("..data/a.yaml", root.path().join("a.yaml"))?;
    symlink("..data", root.path().join("again"))?;
    let file = root.path().join("a.yaml");
    let sources = collect(&[root.path(), &file], &b""[..])?;
    assert_eq!(names(root.path(), &sources), ["a.yaml"]);
    Ok(())
}

#[test]
fn a_missing_path_is_an_error_that_names_it() {
    for path in ["no/such/file.yaml", "Cargo.toml/x"] {
        let error = collect(&[path], &b""[..]).expect_err("there is no such file");
        assert_eq!(error, InputError::Missing(path.into()));
        assert_eq!(
            error.to_string(),
            format!("{path}: no such file or directory")
        );
    }
}

#[test]
fn templates_of_a_chart_are_skipped() -> TestResult {
    let root = tempfile::tempdir()?;
    write(root.path(), "chart/Chart.yaml", b"name: x")?;
    write(
        root.path(),
        "chart/templates/sub/se.yaml",
        b"a: \"{{ .Values.a }}\"",
    )?;
    write(root.path(), "chart/templates/static.yaml", b"a: 1")?;
    write(root.path(), "other/templates/se.yaml", b"a: \"{{ x }}\"")?;
    let sources = collect(&[root.path()], &b""[..])?;
    let skipped: Vec<bool> = sources
        .iter()
        .map(|it| read(it).skipped.is_some())
        .collect();
    assert_eq!(
        names(root.path(), &sources),
        [
            "chart/Chart.yaml",
            "chart/templates/static.yaml",
            "chart/templates/sub/se.yaml",
            "other/templates/se.yaml"
        ]
    );
    assert_eq!(skipped, [false, false, true, false]);
    Ok(())
}

/// What lies below links to directories is read where that is asked for: once, whatever circles
/// the links make.
#[test]
fn links_to_directories_are_followed_on_request() -> TestResult {
    let root = tempfile::tempdir()?;
    write(root.path(), "real/sub/a.yaml", b"a: 1")?;
    write(root.path(), "given/..hidden/b.yaml", b"b: 1")?;
    write(root.path(), "given/c.yaml", b"c: 1")?;
    let given = root.path().join("given");
    symlink("../real/sub", given.join("link"))?;
    symlink("../real/sub", given.join("other-link"))?;
    symlink("..hidden", given.join("..data"))?;
    symlink(".", given.join("self"))?;
    symlink("nowhere", given.join("dangling"))?;
    symlink("given", root.path().join("given-link"))?;
    for (name, linked_directories, expected) in [
        ("given", false, &["c.yaml"][..]),
        ("given", true, &["c.yaml", "link/a.yaml"]),
        ("given-link", true, &["c.yaml", "link/a.yaml"]),
    ] {
        let reach = Reach {
            linked_directories,
            ..Reach::default()
        };
        let path = root.path().join(name);
        let collected = collect_within(&[&path], &b""[..], reach)?;
        let found = names(&path, &collected.files);
        assert_eq!(found, expected, "{name} {linked_directories}");
    }
    Ok(())
}

#[test]
fn each_path_knows_what_it_names() -> TestResult {
    let root = tempfile::tempdir()?;
    write(root.path(), "d/a.yaml", b"a: 1")?;
    write(root.path(), "d/b.yaml", b"b: 1")?;
    let (directory, file) = (root.path().join("d"), root.path().join("d/../d/b.yaml"));
    let paths = [directory.as_path(), file.as_path(), Path::new("-")];
    let collected = collect_within(&paths, &b""[..], Reach::default())?;
    assert_eq!(collected.files.len(), 3);
    assert_eq!(collected.named_by, [vec![0, 1], vec![1], vec![2]]);
    Ok(())
}

#[test]
fn no_more_is_read_than_asked_for() -> TestResult {
    let root = tempfile::tempdir()?;
    for name in ["a.yaml", "b.yaml"] {
        write(root.path(), name, &[b' '; 10])?;
    }
    // The directory itself is an entry.
    for (entries, bytes, stdin, expected) in [
        (3, 20, "", None),
        (2, 20, "", Some("more than 2 files and directories")),
        (3, 19, "", Some("b.yaml: more than 0 MiB to read")),
        (3, 20, "x", Some("-: more than 0 MiB to read")),
        (3, 21, "x", None),
    ] {
        let reach = Reach {
            entries,
            bytes,
            ..Reach::default()
        };
        let paths = [root.path(), Path::new("-")];
        let error = collect_within(&paths, stdin.as_bytes(), reach).err();
        let said = error.map(|error| error.to_string()).unwrap_or_default();
        match expected {
            None => assert_eq!(said, "", "{entries} {bytes}"),
            Some(words) => assert!(said.contains(words), "{entries} {bytes}: {said}"),
        }
    }
    Ok(())
}
