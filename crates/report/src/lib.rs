//! What a run comes to, on one page.
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::cast_possible_truncation, reason = "tests build small things from big types")
)]
mod amounts;
pub mod digest;
pub mod handshake;
mod notable;
mod page;
#[cfg(test)]
mod sample;
mod services;
mod tally;
mod timeline;
mod times;
pub use digest::Digest;
pub use handshake::Failure;
pub use page::{Run, page};
