//! What TCP connections do: packets of customers in, events out.
//!
//! A [`Tracker`] takes one decapsulated [`Packet`](vtap_packet::Packet) at a time and says what
//! it was: its [`Verdict`], the state of its flow afterwards, and, through a [`Sink`], an
//! [`Event`] where something happened. The rules are those of Linux nf_conntrack 6.1 and newer,
//! packet for packet in [`Profile::Linux`]; [`Profile::Azure`] differs where the firewall's
//! documentation does.
//!
//! | in reading order | holds |
//! |---|---|
//! | [`event`], [`reason`], [`record`], [`answer`], [`sink`], [`verdict`] | what comes out: of packets worth a row, of flows, of names, and of each packet |
//! | [`config`], [`limits`] | profiles and switches; every timeout with its source |
//! | [`state`] | states, kinds of segments, the transition table |
//! | `segment`, `half`, `connection`, `last`, `reset` | what is read of a segment; one direction and the window check; the special cases around the table |
//! | `key`, `read`, `usual`, `batch`, `fragments`, `icmp`, `martian`, `translated` | identity of a flow; from a packet to what the tracker needs of it |
//! | `flow`, `cold`, `opening`, `trace`, `rows` | one entry of the table; which event a segment makes; how many INVALID ones are written |
//! | [`taps`], [`gap`], `sight` | who mirrors, and where a mirror shows nothing |
//! | `copies`, `held`, `order` | packets seen more than once; segments that overtook another; rows in the order of packets nevertheless |
//! | `letters`, `account`, `details`, `accounts`, `conn_state` | what is counted of a flow for its record, and when that is told |
//! | `table`, `index`, `wheel`, `memory` | bounded storage, look-up, expiry on packet time; large pages |
//! | [`tracker`], `judge` | the calling order and the batches; the verdict on each packet and its row |
//! | [`skip`], [`stats`] | refusals by name, counters and their law |
//!
//! Time is the packet's. Nothing here reads a clock or does I/O, and a packet of a known flow
//! allocates nothing. Call [`Tracker::push`] for each packet in order, or [`Tracker::queue`] where
//! nobody asks what became of it, and [`Tracker::finish`] at the end of the input.

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::cast_possible_truncation, reason = "tests build small things from big types")
)]

mod account;
mod accounts;
pub mod answer;
mod batch;
mod cold;
pub mod config;
mod conn_state;
mod connection;
mod copies;
mod details;
pub mod event;
mod flow;
mod fragments;
pub mod gap;
mod half;
mod held;
mod icmp;
mod index;
mod judge;
mod key;
mod last;
mod letters;
pub mod limits;
mod martian;
mod memory;
mod opening;
mod order;
mod read;
pub mod reason;
pub mod record;
mod reset;
mod rows;
mod segment;
mod sight;
pub mod sink;
pub mod skip;
pub mod state;
pub mod stats;
mod table;
pub mod taps;
mod trace;
pub mod tracker;
mod translated;
mod usual;
pub mod verdict;
mod wheel;

pub use answer::Answer;
pub use batch::Batch;
pub use config::{Checksum, Config, Copies, Profile};
pub use event::{Event, EventFlag, Side};
pub use gap::Gap;
pub use judge::Judge;
pub use read::Reader;
pub use reason::Reason;
pub use record::Record;
pub use sink::{Discard, Sink};
pub use skip::Skip;
pub use state::State;
pub use stats::Stats;
pub use taps::Tap;
pub use tracker::Tracker;
pub use verdict::{Note, Outcome, StateAfter, Verdict};
