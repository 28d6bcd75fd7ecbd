//! Files with certificates of every kind, as they are and as they change.

mod checking;
mod material;
mod reading;
