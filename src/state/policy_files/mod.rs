//! Policy files, read again when they are edited.
//!
//! An editor writes a file in place or puts another in its stead; kubelet swaps the symbolic link
//! `..data` under a mounted ConfigMap (`pkg/volume/util/atomic_writer.go`). What all of them
//! change is the content, so content is what is compared: not times, inodes or events.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::policy::PolicySet;
use crate::policy::compile::Place;
use crate::source::{Collected, Reach, collect_within};

use crate::state::policy_text::{Given, PolicyFileError, compile};

/// What one look at policy files reads. `--policy /` is a slip that must not read a disk every
/// second.
const REACH: Reach = Reach {
    // A ConfigMap's key with a slash in its path is below one.
    linked_directories: true,
    // About 20 milliseconds.
    entries: 10_000,
    // A ConfigMap holds 1 MiB; 16 hold 100,000 proxies, and are read again in about 5 milliseconds.
    bytes: 16 << 20,
};

/// Reads and compiles the policies in files and directories, once.
///
/// # Errors
/// Every fault of every file: nothing is applied in part.
pub fn load(paths: &[PathBuf]) -> Result<PolicySet, PolicyFileError> {
    PolicyFiles::new(paths.to_vec()).load()
}

/// Files and directories with policies in them, and what was last made of them.
///
/// The caller asks for [`PolicyFiles::changed`] about once a second, where blocking is allowed,
/// and keeps the last policies that were good.
#[derive(Debug)]
pub struct PolicyFiles {
    place: Place,
    watched: Vec<PathBuf>,
    /// Stdin and pipes: they can be read once.
    streams: Vec<PathBuf>,
    streamed: Option<Content>,
    /// What was last compiled, good or bad.
    tried: Option<Content>,
    /// What the last look saw, where it is neither what was tried nor seen twice.
    seen: Option<Content>,
}

/// What some paths name, or why that cannot be told.
type Content = Result<Collected, String>;

impl PolicyFiles {
    /// Policies in files, in directories and, for `-`, on stdin. Nothing is read yet.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        let (streams, watched) = paths.into_iter().partition(|path| is_stream(path));
        Self {
            place: Place::Offline,
            watched,
            streams,
            streamed: None,
            tried: None,
            seen: None,
        }
    }

    /// The same, for use in that place.
    #[must_use]
    pub fn for_use_in(self, place: Place) -> Self {
        Self { place, ..self }
    }

    /// Whether there is anything that could change: stdin and pipes cannot.
    pub fn can_change(&self) -> bool {
        !self.watched.is_empty()
    }

    /// Reads and compiles what is there. Stdin and pipes are read the first time only, and kept.
    ///
    /// # Errors
    /// Every fault of every file: nothing is applied in part.
    pub fn load(&mut self) -> Result<PolicySet, PolicyFileError> {
        self.load_with(io::stdin().lock())
    }

    fn load_with(&mut self, stdin: impl Read) -> Result<PolicySet, PolicyFileError> {
        if self.streamed.is_none() {
            self.streamed = Some(read(&self.streams, stdin));
        }
        self.try_content(self.look())
    }

    /// Looks again: the new policies, or what is wrong with them, once for each edit.
    ///
    /// An edit counts when two looks in a row see the same of it, so that an editor caught in the
    /// middle of writing is not taken at its word. What has vanished is an error like any other.
    ///
    /// # Errors
    /// Inside the option: every fault of every file. What was in use is still to be used.
    pub fn changed(&mut self) -> Option<Result<PolicySet, PolicyFileError>> {
        let content = self.look();
        if self.tried.as_ref() == Some(&content) {
            self.seen = None;
            return None;
        }
        if self.seen.as_ref() != Some(&content) {
            self.seen = Some(content);
            return None;
        }
        Some(self.try_content(content))
    }

    fn look(&self) -> Content {
        // Opening a pipe waits for a writer.
        if let Some(path) = self.watched.iter().find(|path| is_stream(path)) {
            let path = path.display();
            return Err(format!(
                "{path}: no file or directory any more; restart to read it"
            ));
        }
        read(&self.watched, io::empty())
    }

    fn try_content(&mut self, content: Content) -> Result<PolicySet, PolicyFileError> {
        self.seen = None;
        let content = self.tried.insert(content);
        let streamed = self
            .streamed
            .as_ref()
            .map(|streamed| (&self.streams, streamed));
        let mut given = Vec::new();
        for (paths, content) in streamed.into_iter().chain([(&self.watched, &*content)]) {
            match content {
                Ok(collected) => given.push(Given { paths, collected }),
                Err(error) => return Err(PolicyFileError(vec![error.clone()])),
            }
        }
        compile(&given, self.place)
    }
}

fn read(paths: &[PathBuf], stdin: impl Read) -> Content {
    collect_within(paths, stdin, REACH).map_err(|error| error.to_string())
}

fn is_stream(path: &Path) -> bool {
    let is_other = |path: &Path| {
        let kind = path.metadata().map(|metadata| metadata.file_type());
        kind.is_ok_and(|kind| !kind.is_file() && !kind.is_dir())
    };
    path == Path::new("-") || is_other(path)
}

#[cfg(test)]
mod tests;
