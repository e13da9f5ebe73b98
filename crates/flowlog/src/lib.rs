//! Flow logs in the cloud's shapes, made of what the tracker tells of flows.
//!
//! In go [`Record`](vtap_flow::Record)s, each with the
//! [`Description`](vtap_networks::Description) of its addresses; out come files that readers of the
//! cloud's own logs read unchanged. Both writers take the same two arguments, and either goes
//! without the other.
//!
//! | in reading order | holds |
//! |---|---|
//! | [`ids`] | [`Ids`]: in whose name the logs are written |
//! | [`vnet`] | [`VnetFlowLog`]: the virtual-network flow log, version 4 |
//! | `tuple` | one line of it: a flow that begins, goes on or is over |
//! | `blob` | its files, which are valid JSON at every moment |
//! | [`analytics`] | [`Analytics`]: traffic analytics, flows summed up over an interval |
//! | [`analytics::column`] | the columns of its table, and which of them packets can tell |
//! | `begun` | which flows a log has told the begin of |
//! | `place` | a directory that one process at a time writes to |
//!
//! No clock is read: the time at which records are told drives both. What an address is, is not
//! known here.

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::cast_possible_truncation, reason = "tests build small things from big types")
)]

pub mod analytics;
mod begun;
mod blob;
pub mod ids;
mod place;
mod tuple;
pub mod vnet;

pub use analytics::{Analytics, Interval};
pub use ids::Ids;
pub use vnet::VnetFlowLog;
pub use vtap_files::Error;
