//! Where events go: the formats that they are written in and the places that they are written to.
//!
//! Every format is a [`Sink`](vtap_flow::Sink): the tracker pushes events in, rows of bytes come
//! out of a `Write`. What a format keeps from row to row (column widths, ids that took long to make)
//! never decides what is said about a flow.
//!
//! | in reading order | holds |
//! |---|---|
//! | [`flags`] | [`FlagSet`]: which events are wanted; [`Filtered`]: passes only those |
//! | [`text`] | [`Text`]: aligned columns for people |
//! | [`json`] | [`Json`]: one JSON object a line, in the envelope of Suricata's EVE |
//! | [`azure`] | [`Azure`]: the flow trace of Azure Firewall, as it arrives in storage |
//! | `flow_text`, `flow_json` | what [`Text`] and [`Json`] write of flows as a whole |
//! | [`packets`] | [`Packets`](packets::Packets): one row a packet, with the verdict on it |
//! | [`format`](mod@format) | [`Format`]: names, files, the events shown by default |
//! | [`output`] | [`Output`]: any of them, chosen at run time |
//! | [`rotated`] | [`Rotated`]: files begun by size and time, for a collector; never fails |
//! | [`directory`] | [`Directory`]: files that appear under their name once they are complete |
//! | [`report`] | the counters of a run, as JSON and in words |
//! | [`error`] | [`Error`]: what could not be written, and where |
//!
//! What holds for all of them:
//!
//! * **Order.** One row an event, in the order in which events come in; the same events give the
//!   same bytes, whenever they are written.
//! * **Flush.** Rows are gathered in batches of 256 KiB. A batch goes out when it is full, on
//!   `flush` and on `finish`, and ends at the end of a row. Nothing goes out on drop, so a run
//!   that stops early still has to `finish`.
//! * **Loss.** An event is written, or an error comes back. After an error the batch is gone and
//!   the output is over; no row is written twice. [`Rotated`] alone goes on: it counts what is
//!   lost. A [`Filtered`] sink leaves out what was not
//!   asked for, and [`Azure`] counts the rows that its shape has no place for.
//! * **Memory.** Nothing is allocated for each event.

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::cast_possible_truncation, reason = "tests build small things from big types")
)]

pub mod azure;
mod batch;
mod clock;
mod community;
pub mod directory;
pub mod error;
mod field;
pub mod flags;
mod flow_json;
mod flow_text;
pub mod format;
pub mod json;
pub mod output;
pub mod packets;
pub mod report;
pub mod rotated;
mod rows;
#[cfg(test)]
mod sample;
pub mod text;

pub use azure::Azure;
pub use directory::Directory;
pub use error::Error;
pub use flags::{Filtered, FlagSet, UnknownFlag};
pub use format::{Format, Log, UnknownFormat};
pub use json::Json;
pub use output::Output;
pub use rotated::Rotated;
pub use text::Text;
