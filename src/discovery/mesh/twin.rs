//! Two views of one mesh: one is read, the other is brought up to date, and then they change places.
//!
//! A change costs what it changes, not what is in view, and nobody who reads waits for it. Entries are
//! shared by both, so that the second costs its index only.

use std::mem;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::mesh::MeshView;

use super::change::Change;

/// How long to wait for whoever still reads the view that was in force before. A review takes milliseconds at
/// most; whoever takes longer keeps it, and a copy takes its place.
const READING: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Twin {
    front: Arc<MeshView>,
    back: Arc<MeshView>,
    /// What the back does not know yet.
    missed: Vec<Change>,
}

impl Twin {
    /// The view with these changes, to be read from now on.
    pub(super) fn apply(&mut self, changes: Vec<Change>) -> Arc<MeshView> {
        let begin = Instant::now();
        while Arc::strong_count(&self.back) > 1 && begin.elapsed() < READING {
            sleep(Duration::from_millis(1));
        }
        let back = Arc::make_mut(&mut self.back);
        let missed = mem::take(&mut self.missed);
        for change in missed.iter().chain(&changes) {
            change.make(back);
        }
        self.missed = changes;
        mem::swap(&mut self.front, &mut self.back);
        Arc::clone(&self.front)
    }
}
