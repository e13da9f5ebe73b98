//! Which of these bytes is the customer's packet.
//!
//! A [`Decap`] takes packets as they were captured on the collector and gives them back narrowed
//! to the frame that was mirrored, with the [`Tunnel`](vtap_packet::Tunnel) filled in; or says
//! that a packet is [plain](Stripped::Plain), was [absorbed](Stripped::Absorbed) as a fragment of
//! an envelope, or is [set aside](Skip) for a named reason.
//!
//! | in reading order | holds |
//! |---|---|
//! | [`config`] | ports, depth, strictness |
//! | [`strip`] | the walk: link, VLAN, IP, fragments, UDP, VXLAN, and again for nested tunnels |
//! | `fragments` | envelopes that come in pieces |
//! | `usual` | the shape that nearly all packets have, in one step: an [`Envelope`] that is opened |
//! | [`policy`] | what is required of a VXLAN header, and of the frame inside |
//! | [`skip`], [`stats`] | refusals by name, counters and their law |
//!
//! It knows no TCP and no clock: fragments age on packet time. It never copies a packet, except
//! one whose envelope came in fragments.

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::cast_possible_truncation, reason = "tests build small things from big types")
)]

pub mod config;
mod fragments;
pub mod policy;
pub mod skip;
pub mod stats;
pub mod strip;
mod usual;

pub use config::{Config, PortSet};
pub use skip::Skip;
pub use stats::Stats;
pub use strip::{Decap, Stripped};
pub use usual::Envelope;
