//! Where files are: captures, and what a test has had written.

use std::fs;
use std::path::{Path, PathBuf};

use crate::tools;

/// A file below `testdata/`.
pub fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(name)
}

/// A corpus of public captures that a checkout may have beside it; it is not part of the project.
/// Says so where it is absent, so that a test that returns is seen to be skipped.
pub fn corpus() -> Option<PathBuf> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    if corpus.is_dir() {
        return Some(corpus);
    }
    tools::skipped("the corpus of public captures is not beside this checkout");
    None
}

/// Every file below a directory whose path ends so, in order. None is opened, so that somebody may
/// take files away meanwhile.
///
/// # Panics
///
/// When a directory cannot be read.
pub fn files_below(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = vec![directory.to_path_buf()];
    while let Some(inner) = open.pop() {
        for entry in fs::read_dir(&inner).unwrap().map(|entry| entry.unwrap()) {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                open.push(path);
            } else if path.to_str().unwrap().ends_with(ending) {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}
