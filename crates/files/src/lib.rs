//! Files that appear under their name once they are complete.
//!
//! Events, flow logs and captures are all kept the same way: written under a name that says that
//! they are not finished, and renamed once their bytes are on the disk. Whoever sees a file under
//! its final name sees all of it, whatever became of the process that wrote it.
//!
//! | in reading order | holds |
//! |---|---|
//! | [`partial`] | [`Partial`]: one file, from `NAME.partial` to `NAME` |
//! | [`rotation`] | [`Rotation`]: when a file is complete, how many stay, what a full disk means |
//! | [`rotating`] | [`Rotating`]: rows spread over files, for months |
//! | `growing` | the file that rows go to now |
//! | `waiting` | rows that are not in a file yet |
//! | `frame` | rows packed with zstd, and where the last whole frame ends |
//! | `name` | names of files, made and read |
//! | `disk` | what is asked of the operating system; [`free`], [`directory`] |
//! | [`leftover`] | [`Leftovers`]: what a killed run has left |
//! | [`health`] | [`Health`]: told when rows no longer reach the disk, and when they do again |
//! | [`counters`] | [`Counters`]: every row in exactly one of them |
//! | [`error`] | [`Error`]: which file, and what the system said |
//!
//! What rows mean is not known here, and no clock is read: time is an argument.

#![forbid(unsafe_code)]

pub mod counters;
mod disk;
pub mod error;
mod frame;
mod growing;
pub mod health;
pub mod leftover;
mod name;
pub mod partial;
pub mod rotating;
pub mod rotation;
mod waiting;

pub use counters::Counters;
pub use disk::{directory, free};
pub use error::Error;
pub use health::Health;
pub use leftover::Leftovers;
pub use partial::Partial;
pub use rotating::Rotating;
pub use rotation::Rotation;
