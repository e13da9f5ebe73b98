//! What the addresses and network cards of a flow are: in which network they lie, which gateway
//! they belong to, how they are called.

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::cast_possible_truncation, reason = "tests build small things from big types")
)]

pub mod description;

pub use description::{Description, Direction, End, FlowType, Way};
