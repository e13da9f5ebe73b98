//! What packets are pulled from.

use std::ops::ControlFlow;

use vtap_packet::{LinkType, Packet};

use crate::{Damage, Error};

/// A stream of packets, lent one at a time.
///
/// A packet is valid until the next call; the borrow checker holds callers to it. After the end
/// every further call answers `None` again.
pub trait Source {
    /// Lends the next packet; `None` at the end of the input.
    ///
    /// # Errors
    ///
    /// Reading failed, as a disk or a network file system does. Damaged bytes are no error.
    fn next(&mut self) -> Result<Option<Packet<'_>>, Error>;

    /// Hands over, one after the other, packets that are at hand and look as most do, until one
    /// does not or the taker stops. A shortcut, which a source need not have: `next` would lend the
    /// same ones.
    #[inline]
    fn each_at_hand<T: Taker>(&mut self, _taker: &mut T) -> ControlFlow<T::Stop> {
        ControlFlow::Continue(())
    }

    /// How far reading has come, for a progress bar.
    fn progress(&self) -> Progress;

    /// What could not be read so far: the first [`Damage::LISTED`] places of each file.
    fn damage(&self) -> &[Damage];

    /// Damaged places past those that [`damage`](Self::damage) lists.
    fn unlisted_damage(&self) -> u64;

    /// The interface that [`Packet::interface`] names, once a packet of it was lent.
    fn interface(&self, id: u32) -> Option<&Interface>;
}

/// What a source hands packets over to.
///
/// No closure: a source has a loop for each format, and what is called in several places the
/// compiler does not inline unless it is told to.
pub trait Taker {
    /// Why it takes no more.
    type Stop;

    /// Takes a packet.
    fn take(&mut self, packet: Packet<'_>) -> ControlFlow<Self::Stop>;
}

/// How much of the input was consumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes consumed, as they are stored: compressed bytes of a compressed file.
    pub bytes: u64,
    /// Bytes there are; `None` where a pipe is among the inputs.
    pub total: Option<u64>,
}

/// Where packets were captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Link-layer header type of its packets.
    pub link: LinkType,
    /// Most bytes kept of a packet; 0 where the capture set no limit.
    pub snaplen: u32,
    /// Name of the device, as pcapng gives it; empty where the file does not say.
    pub name: String,
}
