//! Programs that tests compare with, and what a test says that cannot run.

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;

/// Where a program is, if it is installed.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Whether all these programs are installed. Says which one is not, so that a test that returns
/// is seen to be skipped.
pub fn installed(programs: &[&str]) -> bool {
    let missing = programs.iter().find(|program| find(program).is_none());
    if let Some(program) = missing {
        skipped(&format!("{program} is not installed"));
    }
    missing.is_none()
}

/// Says that a test does not run. The test harness hides what a passing test prints; this it shows.
///
/// # Panics
///
/// Where `VTAP_SKIP_NOTHING` is set, as on a machine that is meant to have all that tests need.
pub fn skipped(why: &str) {
    assert!(env::var_os("VTAP_SKIP_NOTHING").is_none(), "{why}, and VTAP_SKIP_NOTHING is set");
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // Standard error itself: the macros print to where the harness hides it.
    let _ = writeln!(io::stderr(), "{test}: skipped: {why}");
}
