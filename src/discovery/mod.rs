//! What the cluster is asked for, and how its answers are followed.

pub mod watch;
