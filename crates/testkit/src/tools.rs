//! Programs that tests compare with, and what a test says that cannot run.

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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

/// A Python that has these modules: that of `make python`, which has those of `ci/python.txt`, or the
/// installed one. Says which modules none has, as [`installed`] does.
pub fn python(modules: &[&str]) -> Option<PathBuf> {
    let test = env::current_exe().unwrap_or_default();
    let made = test.ancestors().map(|folder| folder.join("python/bin/python3"));
    let import = format!("import {}", modules.join(", "));
    let has_modules = |python: &PathBuf| {
        let ran = Command::new(python).args(["-c", &import]).stderr(Stdio::null()).status();
        ran.is_ok_and(|status| status.success())
    };
    let found = made.filter(|python| python.is_file()).chain(find("python3")).find(has_modules);
    if found.is_none() {
        skipped(&format!("no python3 has {}: run `make python`", modules.join(", ")));
    }
    found
}

/// What a Python script prints.
///
/// # Panics
///
/// When it fails, with what it says then.
pub fn run_python(python: &Path, script: &Path, argument: &Path) -> String {
    let ran = Command::new(python).arg(script).arg(argument).output().expect("python3 starts");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{}: {said}", script.display());
    String::from_utf8(ran.stdout).expect("a script prints UTF-8")
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
