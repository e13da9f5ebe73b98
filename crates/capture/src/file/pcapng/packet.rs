//! The three kinds of block that hold a packet, as bodies without their frame.
//!
//! ```text
//! enhanced (6)   interface 4 | time, upper half 4 | lower half 4 | captured 4 | on the wire 4 | packet
//! packet (2)     interface 2 | drops 2 | time 4 | 4 | captured 4 | on the wire 4 | packet
//! simple (3)     on the wire 4 | packet
//! ```

use super::block::Order;
use crate::Kind;

/// Where a packet lies in the body of its block, and what the block says of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raw {
    pub(super) interface: u32,
    /// In units of the interface; `None` in a simple packet block.
    pub(super) time: Option<u64>,
    pub(super) on_wire: u32,
    /// Offset in the body.
    pub(super) at: usize,
    pub(super) captured: u32,
}

impl Raw {
    #[inline]
    pub(super) fn enhanced(body: &[u8], order: Order) -> Option<Self> {
        let fields: &[u8; 20] = body.first_chunk()?;
        let interface = order.u32(fields, 0)?;
        Some(Self { interface, ..Self::timed(fields, order)? })
    }

    /// The packet block of 2004, obsolete.
    pub(super) fn obsolete(body: &[u8], order: Order) -> Option<Self> {
        let fields: &[u8; 20] = body.first_chunk()?;
        let interface = order.u16(fields, 0)?.into();
        Some(Self { interface, ..Self::timed(fields, order)? })
    }

    /// A simple packet block belongs to interface 0, whose snaplen tells how much was captured.
    pub(super) fn simple(body: &[u8], order: Order, snaplen: u32) -> Option<Self> {
        let on_wire = order.u32(body, 0)?;
        let captured = if snaplen == 0 { on_wire } else { on_wire.min(snaplen) };
        Some(Self { interface: 0, time: None, on_wire, at: 4, captured })
    }

    /// Damage, where the packet is longer than the block has room for.
    #[inline]
    pub(super) fn check(&self, body: &[u8]) -> Result<(), Kind> {
        let (captured, room) = (self.captured, body.len().saturating_sub(self.at));
        if captured as usize <= room { Ok(()) } else { Err(Kind::PacketLength { captured, room }) }
    }

    #[inline]
    fn timed(fields: &[u8; 20], order: Order) -> Option<Self> {
        let (upper, lower) = (order.u32(fields, 4)?, order.u32(fields, 8)?);
        let time = Some(u64::from(upper) << 32 | u64::from(lower));
        let (captured, on_wire) = (order.u32(fields, 12)?, order.u32(fields, 16)?);
        Some(Self { interface: 0, time, on_wire, at: 20, captured })
    }
}
