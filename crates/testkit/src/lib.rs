//! What tests and benchmarks are made of; never part of the binary.
//!
//! | in reading order | holds |
//! |---|---|
//! | [`frame`] | frames of every kind, in few words: TCP and UDP in Ethernet, in VXLAN, in fragments |
//! | [`conversation`] | a TCP connection that speaks right, segment by segment |
//! | [`traffic`] | many such connections interleaved, from a seed |
//! | [`data`] | where the captures are, and the files below a directory |
//! | [`tools`] | programs that tests compare with, and what a test says that cannot run |

#![forbid(unsafe_code)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test kit fails loudly"
)]

pub mod conversation;
pub mod data;
pub mod frame;
pub mod tools;
pub mod traffic;

pub use conversation::Conversation;
pub use frame::{TcpFrame, packet};
