//! Where the captures are.

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
