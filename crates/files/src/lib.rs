//! Files that appear under their name once they are complete.
//!
//! Events, flow logs and captures are all kept the same way: written under a name that says that
//! they are not finished, and renamed once their bytes are on the disk. Whoever sees a file under
//! its final name sees all of it, whatever became of the process that wrote it.
//!
//! | in reading order | holds |
//! |---|---|
//! | [`partial`] | [`Partial`]: one file, from `NAME.partial` to `NAME` |
//! | [`error`] | [`Error`]: which file, and what the system said |

#![forbid(unsafe_code)]

pub mod error;
pub mod partial;

pub use error::Error;
pub use partial::Partial;
