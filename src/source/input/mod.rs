//! From command-line paths to named texts.
//!
//! Only a path that does not exist, or that leads further than the caller wants to go, is an
//! error. A file that cannot be read or is no UTF-8 is a source whose reading yields that as its
//! one problem, so the others are still judged.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use ignore::{DirEntry, WalkBuilder};

use crate::source::decode::MAX_BYTES;
use crate::source::file::SourceFile;

/// What some paths name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Each source once, in the order in which the paths lead to it.
    pub files: Vec<SourceFile>,
    /// For each path, which of `files` it names; two paths may name the same.
    pub named_by: Vec<Vec<usize>>,
}

/// How far reading goes.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    /// Whether symbolic links to directories are followed, each directory once.
    pub linked_directories: bool,
    /// How many directory entries are looked at.
    pub entries: usize,
    /// How many bytes are read, of all files together.
    pub bytes: usize,
}

impl Default for Reach {
    /// Everything that is not behind a link to a directory.
    fn default() -> Self {
        Self {
            linked_directories: false,
            entries: usize::MAX,
            bytes: usize::MAX,
        }
    }
}

/// A path that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// Nothing is there.
    #[error("{}: no such file or directory", .0.display())]
    Missing(PathBuf),
    /// More files and directories than [`Reach::entries`].
    #[error("{}: more than {} files and directories; name the files themselves", .0.display(), .1)]
    TooMany(PathBuf, usize),
    /// More text than [`Reach::bytes`].
    #[error("{}: more than {} MiB to read; name fewer files", .0.display(), .1 >> 20)]
    TooLarge(PathBuf, usize),
}

/// Collects the sources that `paths` name, each once, in the order given: a file whatever its
/// extension, a directory with all `*.yaml`, `*.yml` and `*.json` below it sorted by path, or
/// `-` for `stdin`.
///
/// Below a directory, hidden and git-ignored files are passed over, inside a repository and
/// outside. Symbolic links to files are followed (a mounted ConfigMap is made of them), those to
/// directories are not.
///
/// # Errors
/// A path that does not exist.
pub fn collect<P: AsRef<Path>>(
    paths: &[P],
    stdin: impl Read,
) -> Result<Vec<SourceFile>, InputError> {
    Ok(collect_within(paths, stdin, Reach::default())?.files)
}

/// As [`collect`], as far as `reach` goes.
///
/// # Errors
/// A path that does not exist, or that leads further.
pub fn collect_within<P: AsRef<Path>>(
    paths: &[P],
    mut stdin: impl Read,
    reach: Reach,
) -> Result<Collected, InputError> {
    let mut collector = Collector {
        reach,
        collected: Collected::default(),
        seen: HashMap::new(),
        directories: HashSet::new(),
        entries: 0,
        bytes: 0,
    };
    for path in paths.iter().map(AsRef::as_ref) {
        collector.collected.named_by.push(Vec::new());
        collector.path(path, &mut stdin)?;
    }
    Ok(collector.collected)
}

/// What was collected so far.
struct Collector {
    reach: Reach,
    collected: Collected,
    /// The files, by their real paths.
    seen: HashMap<PathBuf, usize>,
    /// The directories that links led to, and the one in which the walk began.
    directories: HashSet<PathBuf>,
    entries: usize,
    bytes: usize,
}

impl Collector {
    fn path(&mut self, path: &Path, stdin: &mut impl Read) -> Result<(), InputError> {
        if path == Path::new("-") {
            let source = SourceFile::from_text("<stdin>", "");
            return self.once(path.to_owned(), path, source, |most| {
                read_at_most(stdin, most)
            });
        }
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() => {
                self.directories.clear();
                self.below(path)
            }
            Ok(_) => self.file(path),
            Err(error) if is_missing(&error) => Err(InputError::Missing(path.to_owned())),
            Err(error) => {
                self.push(SourceFile::unreadable(path, &error));
                Ok(())
            }
        }
    }

    fn below(&mut self, directory: &Path) -> Result<(), InputError> {
        // Links may lead in a circle.
        if !self.directories.insert(real(directory)) {
            return Ok(());
        }
        let walk = WalkBuilder::new(directory)
            // The same files everywhere: in a clone, in an unpacked archive, for every user.
            .require_git(false)
            .git_global(false)
            .sort_by_file_path(Path::cmp)
            .build();
        for entry in walk {
            self.entries += 1;
            if self.entries > self.reach.entries {
                let most = self.reach.entries;
                return Err(InputError::TooMany(directory.to_owned(), most));
            }
            match entry {
                Ok(entry) => self.entry(&entry)?,
                Err(error) => self.push(SourceFile::unreadable(directory, &error)),
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: &DirEntry) -> Result<(), InputError> {
        let path = entry.path();
        let is_link = entry.depth() > 0 && entry.path_is_symlink();
        if is_link && self.reach.linked_directories && path.is_dir() {
            return self.below(path);
        }
        match is_manifest(path) {
            true => self.file(path),
            false => Ok(()),
        }
    }

    fn file(&mut self, path: &Path) -> Result<(), InputError> {
        let real = real(path);
        let source = SourceFile {
            in_chart: is_chart_template(&real),
            ..SourceFile::from_text(path.display().to_string(), "")
        };
        self.once(real, path, source, |most| {
            File::open(path).and_then(|mut file| read_at_most(&mut file, most))
        })
    }

    /// Reads what was not read before, and notes that the path at hand names it.
    fn once(
        &mut self,
        key: PathBuf,
        path: &Path,
        source: SourceFile,
        read: impl FnOnce(usize) -> io::Result<Vec<u8>>,
    ) -> Result<(), InputError> {
        if let Some(index) = self.seen.get(&key).copied() {
            self.note(index);
            return Ok(());
        }
        self.seen.insert(key, self.collected.files.len());
        let left = self.reach.bytes - self.bytes;
        // One more than allowed, so that too many are noticed; a device need not end.
        let source = match read(left.min(MAX_BYTES).saturating_add(1)) {
            Ok(bytes) if bytes.len() > left => {
                return Err(InputError::TooLarge(path.to_owned(), self.reach.bytes));
            }
            Ok(bytes) => {
                self.bytes += bytes.len();
                source.with_bytes(bytes)
            }
            Err(error) => source.with_error(&error),
        };
        self.push(source);
        Ok(())
    }

    fn push(&mut self, source: SourceFile) {
        self.note(self.collected.files.len());
        self.collected.files.push(source);
    }

    fn note(&mut self, index: usize) {
        if let Some(named) = self.collected.named_by.last_mut() {
            named.push(index);
        }
    }
}

fn read_at_most(reader: &mut impl Read, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(most as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
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

/// Where a path really leads; as it stands where that cannot be told.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn is_chart_template(path: &Path) -> bool {
    path.ancestors()
        .skip(1)
        .filter(|folder| folder.ends_with("templates"))
        .filter_map(Path::parent)
        .any(|chart| chart.join("Chart.yaml").is_file())
}

#[cfg(test)]
mod tests;
