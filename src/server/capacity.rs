//! How much is taken on at once. What is above it is told to come again, never made to wait: the
//! API server's clock is running, and it may know a replica that has room.

use std::sync::Arc;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// What every review may hold without asking. The API server's own are 2 to 10 KiB.
pub(super) const OWN_BYTES: usize = 16 * 1024;

/// What all reviews together may hold above [`OWN_BYTES`] each: eight of the largest.
const SHARED_BYTES: usize = 64 * 1024 * 1024;

/// Memory is counted out in steps of this size, because a semaphore counts in `u32`.
const STEP: usize = 1024;

/// The room that reviews have, in number and in memory.
#[derive(Clone, Debug)]
pub(super) struct Capacity {
    reviews: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    /// Told whenever there was no room.
    pressed: Arc<Notify>,
}

/// One review's right to be taken on, with the memory that it may hold; dropping it gives both
/// back. It is held until the answer is sent: what nobody takes is memory, too.
#[derive(Debug)]
pub(super) struct Room {
    _review: OwnedSemaphorePermit,
    capacity: Capacity,
    shared: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

impl Capacity {
    /// Room for `reviews` at once: from a request's header until its answer is sent.
    pub(super) fn new(reviews: usize) -> Self {
        Self {
            reviews: Arc::new(Semaphore::new(reviews.min(Semaphore::MAX_PERMITS))),
            memory: Arc::new(Semaphore::new(SHARED_BYTES / STEP)),
            pressed: Arc::new(Notify::new()),
        }
    }

    /// Told whenever somebody had to be sent away, so that whoever stalls can be ended.
    pub(super) fn pressed(&self) -> Arc<Notify> {
        Arc::clone(&self.pressed)
    }

    /// Takes a review on, if there is room.
    pub(super) fn admit(&self) -> Option<Room> {
        let Ok(review) = Arc::clone(&self.reviews).try_acquire_owned() else {
            self.pressed.notify_one();
            return None;
        };
        Some(Room {
            _review: review,
            capacity: self.clone(),
            shared: None,
            bytes: OWN_BYTES,
        })
    }
}

impl Room {
    /// How many bytes it may hold.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Asks to hold `bytes` altogether; says whether it may.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes).div_ceil(STEP);
        let steps = u32::try_from(more).unwrap_or(u32::MAX);
        let memory = Arc::clone(&self.capacity.memory);
        let Ok(permit) = memory.try_acquire_many_owned(steps) else {
            self.capacity.pressed.notify_one();
            return false;
        };
        match &mut self.shared {
            Some(shared) => shared.merge(permit),
            None => self.shared = Some(permit),
        }
        self.bytes += more * STEP;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reviews_and_memory_are_given_back() {
        let capacity = Capacity::new(2);
        for _ in 0..3 {
            let mut first = capacity.admit().expect("room for a first");
            let mut second = capacity.admit().expect("room for a second");
            assert!(capacity.admit().is_none());

            assert!(first.grow(OWN_BYTES + 1));
            assert_eq!(first.bytes(), OWN_BYTES + STEP);
            assert!(second.grow(SHARED_BYTES - STEP + OWN_BYTES));
            assert!(!first.grow(first.bytes() + 1), "all is held");
            assert_eq!(first.bytes(), OWN_BYTES + STEP);
            drop(second);
            assert!(first.grow(first.bytes() + 1));
        }
    }

    #[test]
    fn no_number_is_too_large_to_ask_for() {
        let capacity = Capacity::new(usize::MAX);
        let mut room = capacity.admit().expect("room");
        assert!(!room.grow(usize::MAX));
    }
}
