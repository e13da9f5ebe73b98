//! What the addresses and network cards of a flow are: in which network they lie, which gateway
//! they belong to, how they are called.
//!
//! A [`Describer`] holds what `networks.toml` says ([`Networks`]) and learns the rest from the
//! traffic: names from DNS [`Answer`](vtap_flow::Answer)s, cards and gateways from the
//! [`Record`](vtap_flow::Record)s themselves. Give it both in the order they come, and each record
//! comes back as a [`Description`].
//!
//! | in reading order | holds |
//! |---|---|
//! | [`description`] | [`Description`]: what is said of a record |
//! | [`describer`] | [`Describer`]: the order of the questions below |
//! | [`networks`], [`error`], `file` | [`Networks`]: ranges, gateways and names of a file; what can be wrong with it; from text to them |
//! | `names` | names of addresses, bounded in number and in time |
//! | `cards`, `neighbours` | which card a tap is, and who stands next to it; which of those are gateways |
//! | `path` | whether both directions go the same way |
//! | [`service`] | what is served at a port |
//! | `platform`, `kind` | addresses of the platform; between what kinds of networks a flow is |
//!
//! Time is the records' and the answers' own. Nothing here reads a clock; the same answers and
//! records in the same order give the same descriptions. What is learnt is bounded, and what was
//! not asked for the longest is forgotten first.

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::cast_possible_truncation, reason = "tests build small things from big types")
)]

mod cards;
pub mod describer;
pub mod description;
pub mod error;
mod file;
mod kind;
mod names;
mod neighbours;
pub mod networks;
mod path;
mod platform;
pub mod service;

pub use describer::Describer;
pub use description::{Description, Direction, End, FlowType, Way};
pub use error::{Error, Mistake};
pub use networks::{Gateway, GatewayKind, Networks, Place};
