//! Where packets come from: captures and interfaces in, capture files out.
//!
//! A [`Source`] lends one packet at a time, in the order of the input. [`open`] makes one of any
//! mix of files, directories, globs and standard input. A [`Live`](live::Live) source hands packets
//! over as they come. Nothing here looks past the link type of a packet (a BPF filter aside).
//!
//! | in reading order | holds |
//! |---|---|
//! | [`source`] | [`Source`], [`Taker`], [`Progress`], [`Interface`]: what the rest of vtap sees |
//! | [`inputs`] | [`open`], [`Inputs`]: from what was typed to one source |
//! | `merge` | several files by time, opened when their turn comes |
//! | [`file`](mod@file) | [`File`]: pcap or pcapng, plain, `.gz` or `.zst`, mapped or read |
//! | [`damage`] | [`Damage`]: what could not be read, where, and why |
//! | [`error`] | [`Error`]: which file, which step, what to do |
//! | [`live`] | [`Live`](live::Live): packets as they come (feature `live`) |
//! | [`write`](mod@write) | [`PcapWriter`], [`PcapngWriter`]; [`Frames`](write::Frames), either of them for any number of taps |
//! | `filter` | `Filter`, `FilterSet`: BPF over any slice (feature `live`) |
//!
//! A bad packet is data: it is set aside as [`Damage`], and reading goes on behind it. A bad
//! environment (no such file, a failing disk) is an [`Error`].

#![deny(unsafe_code)]

pub mod damage;
pub mod error;
pub mod file;
#[cfg(feature = "live")]
pub mod filter;
pub mod inputs;
#[cfg(feature = "live")]
pub mod live;
mod merge;
pub mod source;
pub mod write;

pub use damage::{Damage, Kind};
pub use error::Error;
pub use file::File;
#[cfg(feature = "live")]
pub use filter::{Filter, FilterSet};
pub use inputs::{Inputs, open};
pub use source::{Interface, Progress, Source, Taker};
pub use write::{PcapWriter, PcapngWriter};
