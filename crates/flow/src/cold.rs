//! What of a flow few packets need.

use vtap_packet::Timestamp;

use crate::event::{Event, MAX_TAPS};
use crate::sight::TapId;
use crate::trace::Trace;
use crate::wheel::Links;

/// In a place of its own, beside that of the [flow](crate::flow::Flow): one cache line.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Cold {
    pub(crate) trace: Trace,
    pub(crate) links: Links,
    /// When the connection was opened, or its numbers were taken anew.
    pub(crate) since: Timestamp,
    /// Those that have shown packets of it, in the order they did.
    pub(crate) taps: [TapId; MAX_TAPS],
    /// INVALID rows written.
    pub(crate) invalid_rows: u32,
    /// The last INVALID row that was not written, and in it how many there were.
    pub(crate) suppressed: Option<Box<Event>>,
}

const _: () = assert!(size_of::<Cold>() == 64);

impl Cold {
    pub(crate) const NEW: Self = Self {
        trace: Trace::NEW,
        links: Links::UNLINKED,
        since: Timestamp::EPOCH,
        taps: [TapId::NONE; MAX_TAPS],
        invalid_rows: 0,
        suppressed: None,
    };

    /// Takes note of a tap that has shown a packet.
    pub(crate) fn shown_by(&mut self, tap: TapId) {
        if !self.taps.contains(&tap)
            && let Some(free) = self.taps.iter_mut().find(|known| **known == TapId::NONE)
        {
            *free = tap;
        }
    }
}
