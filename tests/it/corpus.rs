//! Bad input as data: whatever a file holds, `lint` neither panics nor hangs, says on which line
//! what is wrong, and still judges the neighbours.
//!
//! The files are in `tests/fixtures/corpus`, beside the table of what is found in them. What Git
//! or an editor would spoil, and what is too large to keep, is made here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::support::{CORPORATE, Files, repository, run, text_of};

const CORPUS: &str = "tests/fixtures/corpus";

/// An error on its third and last line.
const BAD: &str = "json.yaml";

#[test]
fn every_file_is_found_as_the_table_says() {
    let table = table();
    let names: BTreeSet<String> = std::fs::read_dir(repository(CORPUS))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    let listed: BTreeSet<String> = table.keys().cloned().collect();
    assert_eq!(names, listed, "each file of the corpus has a row");
    for (name, expected) in &table {
        let found = lint(&repository(CORPUS), name);
        assert_eq!(&found[..], &expected[..], "{name}");
    }
}

#[test]
fn together_each_file_keeps_its_findings() {
    let table = table();
    let expected: Vec<&String> = table.values().flatten().collect();
    let found = lint(&repository(CORPUS), ".");
    assert_eq!(found.iter().collect::<Vec<_>>(), expected);
}

#[test]
fn bytes_that_are_no_text() {
    let bad = std::fs::read(repository(CORPUS).join(BAD)).unwrap();
    let behind = |begin: &[u8]| [begin, &bad].concat();
    let utf16: Vec<u8> = String::from_utf8(bad.clone())
        .unwrap()
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for (name, bytes, expected) in [
        (
            "invalid UTF-8",
            behind(b"# 1\n# \xFF\xFE\n"),
            vec!["2 TG000"],
        ),
        (
            "cut UTF-8",
            [&bad, &b"# \xE2\x82"[..]].concat(),
            vec!["4 TG000"],
        ),
        ("overlong UTF-8", behind(b"# \xC0\xAF\n"), vec!["1 TG000"]),
        ("a surrogate", behind(b"# \xED\xA0\x80\n"), vec!["1 TG000"]),
        (
            "UTF-16",
            [b"\xFF\xFE", &utf16[..]].concat(),
            vec!["1 TG000"],
        ),
        ("gzip", b"\x1F\x8B\x08\0\0\0\0\0".to_vec(), vec!["1 TG000"]),
        ("NUL", b"a: b\0c\n".to_vec(), vec!["1 TG000"]),
        (
            "a mark in the middle",
            behind(b"---\n\xEF\xBB\xBF---\n"),
            vec!["5 TG001"],
        ),
        (
            "other line ends",
            behind("# \u{2028}\u{85}\u{2029}\r\r\n".as_bytes()),
            vec!["4 TG001"],
        ),
    ] {
        let files = Files::new(&[("a.yaml", bytes), ("b.yaml", bad.clone())]);
        let mut expected: Vec<&str> = expected;
        // The neighbour is judged whatever this file holds.
        expected.push("3 TG001");
        assert_eq!(lint(files.path(), "a.yaml b.yaml"), expected, "{name}");
    }
}

#[test]
fn ten_megabytes() {
    const SIZE: usize = 10 << 20;
    let bad = text_of(&format!("{CORPUS}/{BAD}"));
    let repeated = |unit: &str| unit.repeat(SIZE / unit.len());
    for (name, text, expected) in [
        (
            "comments",
            format!(
                "{}{bad}",
                repeated("# nothing to see here, on any of these lines\n")
            ),
            "TG001",
        ),
        (
            "one scalar",
            format!("a: {}\n---\n{bad}", repeated("x")),
            "TG001",
        ),
        ("open brackets", repeated("["), "TG000"),
        ("open braces", repeated("{a: "), "TG000"),
        ("open quote", format!("a: \"{}", repeated("x ")), "TG000"),
        (
            "one list",
            format!("a: [{}1]\n---\n{bad}", repeated("1234567890,")),
            "TG001",
        ),
        (
            "markers",
            format!(
                "{}{bad}",
                repeated("---\n# A document of its own, with nothing in it.\n")
            ),
            "TG001",
        ),
    ] {
        let files = Files::new(&[("a.yaml", text)]);
        let found = lint(files.path(), "a.yaml");
        let checks: Vec<&str> = found
            .iter()
            .filter_map(|one| one.split(' ').nth(1))
            .collect();
        assert_eq!(checks, [expected], "{name}");
    }
}

/// Each finding as `line check`; the run ends by itself, with 0 or 1.
fn lint(directory: &Path, paths: &str) -> Vec<String> {
    let policy = repository(CORPORATE);
    let policy = policy.to_str().expect("a path without odd characters");
    let line = format!("lint --format json --policy {policy} {paths}");
    let ended = run(directory, &line, b"");
    assert!(matches!(ended.status, Some(0 | 1)), "{paths}: {ended}");
    assert_eq!(ended.stderr, "", "{paths}");
    let rows = ended.rows().into_iter();
    let found = rows.map(|row| format!("{} {}", row["line"], row["check"].as_str().unwrap()));
    found.collect()
}

/// What is found in each file.
fn table() -> BTreeMap<String, Vec<String>> {
    let text = text_of(&format!("{CORPUS}/expected.txt"));
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let rows = lines.map(|line| {
        let mut columns = line.split('|').map(|column| column.trim().to_owned());
        let name = columns.next().expect("a first column");
        (name, columns.collect())
    });
    rows.collect()
}
