//! What a mirror did to the packets of a NIC.
//!
//! A [`Comparison`] takes the packets of two captures: those that a machine has captured on its
//! own NIC (the *source*), and the frames that its TAP delivered elsewhere (the *tap*), out of
//! their envelopes. It keeps a digest of 64 bytes of each, and at the end gives a [`Report`]: which
//! packets are at the tap too, which are lost, what came twice, late, in another order, or changed.
//!
//! | in reading order | holds |
//! |---|---|
//! | [`comparison`] | [`Comparison`]: packets in, the passes in their order, [`Report`] out |
//! | `digest`, [`half`](mod@half), [`skip`] | what is kept of a packet, who sends to whom, what cannot be compared |
//! | `side`, `key`, `interned` | the digests of one capture and what they are matched with; what makes two of them the same packet |
//! | `pairing` | the first pass: equal headers, in the order of their times |
//! | `resegment` | the second: the same bytes of a TCP stream, cut in another way |
//! | `translate` | the third: flows whose addresses or ports are other ones |
//! | [`alteration`], [`order`], [`delay`], [`loss`] | what the matches, and what is left of them, say |
//! | [`report`] | [`Report`] and its laws |
//!
//! It does no I/O and reads no clock. Payload is not compared: captures are cut by a snaplen.

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::cast_possible_truncation, reason = "tests build small things from big types")
)]

pub mod alteration;
pub mod comparison;
pub mod delay;
mod digest;
pub mod half;
mod interned;
mod key;
pub mod loss;
pub mod order;
mod pairing;
pub mod report;
mod resegment;
mod side;
pub mod skip;
mod translate;

pub use alteration::{Alteration, Altered, Example};
pub use comparison::Comparison;
pub use delay::Delay;
pub use half::Half;
pub use loss::{Burst, Loss, LostHalf, LostPacket};
pub use order::Reordered;
pub use report::{Report, Resegmented, SideReport};
pub use skip::Skip;
