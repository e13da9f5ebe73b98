//! Rows in the order of their packets, although some are judged late.

use std::collections::VecDeque;

use crate::event::Event;
use crate::gap::Gap;

/// What a sink is told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Told {
    Event(Event),
    /// With the packet that ended it.
    Gap(u64, Gap),
}

impl Told {
    const fn packet(&self) -> u64 {
        match self {
            Self::Event(event) => event.packet,
            Self::Gap(packet, _) => *packet,
        }
    }
}

/// Rows that wait for those of earlier packets, by packet.
#[derive(Debug, Default)]
pub(crate) struct Order(VecDeque<Told>);

impl Order {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds a row, behind those of the same packet.
    pub(crate) fn put(&mut self, told: Told) {
        let at = self.0.partition_point(|row| row.packet() <= told.packet());
        self.0.insert(at, told);
    }

    /// The first row, if its packet came before the one of this number.
    pub(crate) fn pop_before(&mut self, packet: u64) -> Option<Told> {
        let first = self.0.front()?;
        if first.packet() < packet { self.0.pop_front() } else { None }
    }
}
