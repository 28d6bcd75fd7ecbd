//! The binary: everything lives in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    tunnelguard::commands::main()
}
