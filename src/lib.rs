//! tunnelguard keeps Istio from breaking HTTP CONNECT proxies.
//!
//! The folders are the layers, and an arrow reads "may use":
//!
//! ```text
//! commands ──► server ──► admission ─┐
//!    │           │                   ├──► policy ──► mesh
//!    │           └──► state, pki     │
//!    ├──► discovery ─────────────────┤
//!    └──► report ──► source ─────────┘
//! ```
//!
//! [`mesh`] says what Istio will do with a CONNECT, [`policy`] what we think of it, and
//! [`admission`] how the API server asks and is answered. These three are pure: they take
//! values and return values, and never read a clock, a file, the environment or a socket.

pub mod admission;
pub mod commands;
pub mod discovery;
pub mod mesh;
pub mod pki;
pub mod policy;
pub mod report;
pub mod server;
pub mod source;
pub mod state;
