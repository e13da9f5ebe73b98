//! The belt: the only place where sources, decapsulation, tracking and sinks meet.
//!
//! The path of a packet is five calls:
//!
//! 1. [`Source::next`](vtap_capture::Source::next) lends it;
//! 2. the outer filter may set it aside;
//! 3. [`Decap::strip`](vtap_decap::Decap::strip) narrows it to the customer's frame, absorbs it
//!    as a fragment, or sets it aside;
//! 4. the inner filter may set the frame aside;
//! 5. [`Tracker::push`](vtap_flow::Tracker::push) judges it and tells the sink what happened.
//!
//! | in reading order | holds |
//! |---|---|
//! | [`intake`] | [`Intake`]: steps 2 to 4 for one packet |
//! | [`pipeline`] | [`Pipeline`]: all steps for one packet, and what became of it |
//! | `drive` | the loop over a source, whatever is done with a packet |
//! | [`run`](mod@run) | the loop in batches, and the one that watches each packet |
//! | [`parallel`] | the loop on two threads |
//! | [`report`] | [`Report`]: every counter of a run, and the laws between them |
//!
//! Every packet ends in exactly one counter. The laws are asserted at the end of every run.

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::cast_possible_truncation, reason = "tests build small things from big types")
)]

mod drive;
pub mod intake;
pub mod parallel;
pub mod pipeline;
pub mod report;
pub mod run;

pub use intake::{Filter, Intake, Taken};
pub use parallel::run_parallel;
pub use pipeline::{Fate, Pipeline, Seen, Watched};
pub use report::Report;
pub use run::{Pace, RunError, run, watch};
