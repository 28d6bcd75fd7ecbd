//! From command-line paths to named texts.
//!
//! Only a path that does not exist is an error. A file that cannot be read or is no UTF-8 is a
//! source whose reading yields that as its one problem, so the others are still judged.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;

use super::decode::{MAX_BYTES, decode};
use super::position::Location;
use super::problem::Problem;

/// A named text.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// The path as the user gave it, or as found below the one they gave; `<stdin>`.
    pub name: String,
    /// The text without a byte-order mark, or why there is none.
    pub text: Result<String, Problem>,
    /// Whether it lies in a Helm chart's `templates`.
    pub(super) in_chart: bool,
}

/// A path that cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// Nothing is there.
    #[error("{}: no such file or directory", .0.display())]
    Missing(PathBuf),
}

/// Collects the sources that `paths` name, each once, in the order given: a file whatever its
/// extension, a directory with all `*.yaml`, `*.yml` and `*.json` below it sorted by path, or
/// `-` for `stdin`.
///
/// Below a directory, hidden and git-ignored files are passed over, inside a repository and
/// outside. Symbolic links to files are followed (a mounted ConfigMap is made of them), those to
/// directories are not.
pub fn collect<P: AsRef<Path>>(
    paths: &[P],
    mut stdin: impl Read,
) -> Result<Vec<SourceFile>, InputError> {
    let mut sources = Vec::new();
    let mut seen = HashSet::new();
    for path in paths.iter().map(AsRef::as_ref) {
        if path == Path::new("-") {
            if seen.insert(path.to_owned()) {
                sources.push(SourceFile::from_reader("<stdin>", &mut stdin));
            }
            continue;
        }
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() => below(path, &mut seen, &mut sources),
            Ok(_) => add(path, &mut seen, &mut sources),
            Err(error) if is_missing(&error) => return Err(InputError::Missing(path.to_owned())),
            Err(error) => sources.push(SourceFile::unreadable(path.display().to_string(), &error)),
        }
    }
    Ok(sources)
}

impl SourceFile {
    /// A source that is at hand already.
    pub fn from_text(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self::from_bytes(name, text.into().into_bytes())
    }

    /// A source whose bytes are still to be judged.
    pub fn from_bytes(name: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self {
            name: name.into(),
            text: decode(bytes),
            in_chart: false,
        }
    }

    fn from_reader(name: impl Into<String>, reader: &mut impl Read) -> Self {
        let mut bytes = Vec::new();
        // One more than allowed, so that too many are noticed; a device need not end.
        match reader.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes) {
            Ok(_) => Self::from_bytes(name, bytes),
            Err(error) => Self::unreadable(name, &error),
        }
    }

    fn unreadable(name: impl Into<String>, error: &dyn std::error::Error) -> Self {
        Self {
            name: name.into(),
            text: Err(Problem {
                message: format!("cannot be read: {error}"),
                location: Location::start(),
            }),
            in_chart: false,
        }
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn below(directory: &Path, seen: &mut HashSet<PathBuf>, sources: &mut Vec<SourceFile>) {
    let walk = WalkBuilder::new(directory)
        // The same files everywhere: in a clone, in an unpacked archive, for every user.
        .require_git(false)
        .git_global(false)
        .sort_by_file_path(Path::cmp)
        .build();
    for entry in walk {
        match entry {
            Ok(entry) if is_manifest(entry.path()) => add(entry.path(), seen, sources),
            Ok(_) => {}
            Err(error) => {
                sources.push(SourceFile::unreadable(
                    directory.display().to_string(),
                    &error,
                ));
            }
        }
    }
}

fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    let known = |extension: &str| {
        ["yaml", "yml", "json"]
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
    };
    extension.is_some_and(known) && path.is_file()
}

fn add(path: &Path, seen: &mut HashSet<PathBuf>, sources: &mut Vec<SourceFile>) {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let in_chart = is_chart_template(&real);
    if !seen.insert(real) {
        return;
    }
    let name = path.display().to_string();
    let source = match File::open(path) {
        Ok(mut file) => SourceFile::from_reader(name, &mut file),
        Err(error) => SourceFile::unreadable(name, &error),
    };
    sources.push(SourceFile { in_chart, ..source });
}

fn is_chart_template(path: &Path) -> bool {
    path.ancestors()
        .skip(1)
        .filter(|folder| folder.ends_with("templates"))
        .filter_map(Path::parent)
        .any(|chart| chart.join("Chart.yaml").is_file())
}

#[cfg(test)]
mod tests {
    use super::{InputError, SourceFile, collect};
    use crate::source::read;
    use std::fs;
    use std::path::Path;

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

    #[cfg(unix)]
    #[test]
    fn links_to_files_are_followed_and_nothing_is_read_twice() -> TestResult {
        let root = tempfile::tempdir()?;
        write(root.path(), "..data/a.yaml", b"a: 1")?;
        std::os::unix::fs::symlink("..data/a.yaml", root.path().join("a.yaml"))?;
        std::os::unix::fs::symlink("..data", root.path().join("again"))?;
        let file = root.path().join("a.yaml");
        let sources = collect(&[root.path(), &file], &b""[..])?;
        assert_eq!(names(root.path(), &sources), ["a.yaml"]);
        Ok(())
    }

    #[test]
    fn a_missing_path_is_an_error_that_names_it() {
        for path in ["no/such/file.yaml", "Cargo.toml/x"] {
            let error = collect(&[path], &b""[..]).expect_err("there is no such file");
            let InputError::Missing(named) = &error;
            assert_eq!(named, Path::new(path));
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
}
