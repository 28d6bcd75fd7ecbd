//! Where objects come from on the command line: named texts, the documents in them, and where in
//! the text each field stands.
//!
//! ```text
//! paths ─► input ─► split ─► compose ─► resolve ─► list ─► Document ─► locate
//!          bytes    one      events to  nodes to   Lists    value +     field path
//!          to text  text a   a tree     JSON       opened   spans       to line
//!                   document            values                          and column
//! ```
//!
//! A file is read as `kubectl` reads it, down to YAML 1.1's `yes` and `0644`, because a linter
//! that sees another object than the API server does is worse than none; the reference is
//! `sigs.k8s.io/yaml` over `go.yaml.in/yaml/v2`. What is wrong with a text is data
//! ([`Problem`]), not an error: one broken document never hides the findings of its neighbours.
//! The one error is a path that does not exist ([`InputError`]), for then the user did not get
//! what they asked for.
//!
//! ```
//! use tunnelguard::mesh::FieldPath;
//! use tunnelguard::source::{SourceFile, read};
//!
//! let reading = read(&SourceFile::from_text("se.yaml", "spec:\n  location: MESH_EXTERNAL\n"));
//! let place = reading.documents[0].locate(&FieldPath::spec().key("location"));
//! assert_eq!((place.line, place.column), (2, 13));
//! ```

mod compose;
mod decode;
mod document;
mod file;
mod input;
mod limits;
mod list;
mod locate;
mod position;
mod problem;
mod resolve;
mod scalar;
mod split;
mod spot;
mod syntax;

pub use document::{Document, Reading, Skipped, read};
pub use file::SourceFile;
pub use input::{Collected, InputError, Reach, collect, collect_within};
pub use position::Location;
pub use problem::Problem;
