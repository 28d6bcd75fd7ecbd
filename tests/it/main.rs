//! tunnelguard from outside: the library as its users call it, and the binary as people run it.
//!
//! One binary, because linking is what takes the time. A case is a row of a table or a file in
//! `tests/fixtures`, so that adding one takes no code.

// Every line here is a test's or a test's helper's: a panic is how they fail.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cel_policies;
mod chart;
mod cli;
mod commands;
mod corpus;
mod docs;
mod fidelity;
mod image;
mod layering;
mod manifests;
mod messages;
mod policies;
mod properties;
mod random;
mod readme;
mod simulation;
mod support;
mod webhook;
