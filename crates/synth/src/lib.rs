//! Captures from a seed: what a Virtual Network TAP would mirror of many TCP connections.
//!
//! A [`Config`] goes in, the records of a pcap file come out, the same bytes for the same config.
//! Every connection is complete, from SYN to the acknowledgment of the last FIN, and keeps to
//! sequence numbers, acknowledgments and windows; every checksum is right. So a replay finds
//! nothing INVALID, unless the mirror loses packets ([`Config::loss`]).
//!
//! | in reading order | holds |
//! |---|---|
//! | [`config`] | [`Config`], [`Size`]: what is asked for |
//! | [`generator`] | [`Generator`]: slots, of which a random one sends next |
//! | `connection` | both ends of a connection, from one segment to the next |
//! | `endpoints` | addresses and ports, from the number of the connection |
//! | `record` | a segment in its envelope, in the record of a capture file |
//! | `random` | numbers from a seed |
//!
//! Nothing is allocated for a packet or a connection, and no clock is read: packets are as far
//! apart as [`Config::rate`] says.

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::cast_possible_truncation, reason = "tests build small things from big types")
)]

pub mod config;
mod connection;
mod endpoints;
pub mod generator;
mod random;
mod record;

pub use config::{Config, ConfigError, Size};
pub use generator::{Generator, Written};
