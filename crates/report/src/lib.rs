//! What a run comes to, on one page.
//!
//! A [`Digest`] takes what a run tells: events, gaps, DNS answers, and the record of each flow with
//! what is known of its addresses. It keeps sums, the largest of everything and a timeline, in
//! bounded memory. [`page`](fn@page) makes of it, and of the counters at the end of the [`Run`], one
//! HTML file that needs nothing beside it: no network, no other file, and to be read no script.
//!
//! | in reading order | holds |
//! |---|---|
//! | [`digest`] | what comes in, and what it is added to |
//! | [`handshake`] | which handshakes failed, and how |
//! | `amounts`, `tally` | what is summed up; sums by key, for the largest of any number of keys |
//! | `timeline`, `times` | what happened when; how long handshakes took |
//! | `notable`, `services` | which flows have a row of their own; how services are called |
//! | [`page`](mod@page) | the page: its sections, tables, pictures, and the policy that shuts it in |
//!
//! Nothing here does I/O or reads a clock: the same input makes the same bytes. Names come from the
//! traffic, where anybody can put anything: they are text on the page, and nothing else.

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::cast_possible_truncation, reason = "tests build small things from big types")
)]

mod amounts;
pub mod digest;
pub mod handshake;
mod notable;
pub mod page;
#[cfg(test)]
mod sample;
mod services;
mod tally;
mod timeline;
mod times;

pub use digest::Digest;
pub use handshake::Failure;
pub use page::{Run, page};
