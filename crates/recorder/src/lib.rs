//! Packet-capture sessions: which packets are recorded, how many, and into which files.
//!
//! A [`Recorder`] is lent packets and the time, copies what its filters let pass, and keeps within
//! its limits; a thread of its own writes the files, so that whoever captures never waits for a
//! disk. A file appears under its name when it is complete; what a killed process leaves under the
//! partial name opens, and holds all that was written half a second before.
//!
//! | in reading order | holds |
//! |---|---|
//! | [`filter`] | [`Filters`]: the cloud's grammar, and which side is local |
//! | [`limits`] | [`Limits`], [`Ring`]: the cloud's settings, defaults and ranges |
//! | [`recorder`] | [`Recorder`]: a session, packet by packet |
//! | [`recording`] | [`Recording`]: which packets of a pipeline a session takes, and as what |
//! | `filler` | from packets to blocks of bytes, and from one file to the next |
//! | `queue` | the blocks between the capture thread and the disk |
//! | `writer` | from blocks to files, and what is done when the disk does not take them |
//! | `store` | [`Destination`]: a folder, a file, a stream |
//! | [`status`] | [`Status`], [`StopReason`], [`Counters`]: what became of it, in the cloud's words |
//! | [`name`] | names of files |
//!
//! Every packet ends in exactly one counter, and the sums are asserted when a session stops. Nothing
//! here reads a clock: a session on the packets of a file, with their times, records what it would
//! have recorded live.

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::cast_possible_truncation, reason = "tests build small things from big types")
)]

mod filler;
pub mod filter;
pub mod limits;
pub mod name;
mod queue;
pub mod recorder;
pub mod recording;
pub mod status;
mod store;
mod writer;

pub use filter::{Filter, Filters};
pub use limits::{Limits, Ring};
pub use recorder::{Config, Pressure, Recorder};
pub use recording::Recording;
pub use status::{CaptureError, Counters, Status, StopReason};
pub use store::Destination;
pub use writer::FileStatus;
