//! What the fuzz targets share.
//!
//! Each target reads its input as something from outside, runs it through one crate of vtap, and
//! asserts laws; a law that does not hold is a panic. The head of each target says which.
//!
//! | in reading order | holds |
//! |---|---|
//! | [`bytes`] | [`Bytes`]: an input as a supply of small decisions |
//! | [`capture`] | every packet and damage of a capture, and the laws of reading that pcap and pcapng share |
//! | [`script`] | TCP segments near each other in sequence space, and the frames that carry them |

#![forbid(unsafe_code)]

pub mod bytes;
pub mod capture;
pub mod script;

pub use bytes::Bytes;
