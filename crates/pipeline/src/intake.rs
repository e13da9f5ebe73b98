//! From a packet as it was captured to what is to be tracked.

use vtap_decap::{Decap, Stripped};
use vtap_packet::Packet;

use crate::pipeline::{Fate, Seen};

/// Whether a packet goes on. Filters are not `Fn`: a BPF program is compiled for each link type
/// that it meets.
pub type Filter = Box<dyn FnMut(&Packet<'_>) -> bool + Send>;

/// Filters and decapsulation, with their counters.
pub struct Intake {
    /// Takes the envelopes off.
    pub decap: Decap,
    /// Whether packets that are not mirrored are tracked as they are.
    pub plain: bool,
    /// On packets as captured.
    pub outer_filter: Option<Filter>,
    /// On what is tracked.
    pub inner_filter: Option<Filter>,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) outer_filtered: u64,
    pub(crate) inner_filtered: u64,
}

/// What the intake made of a packet.
#[derive(Clone, Copy, Debug)]
pub enum Taken<'a> {
    /// To be tracked: the customer's frame, or a plain packet as it is.
    Frame(Packet<'a>),
    /// It ends here.
    Aside(Seen<'a>),
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intake").field("packets", &self.packets).finish_non_exhaustive()
    }
}

impl Intake {
    pub(crate) fn new(decap: Decap) -> Self {
        Self {
            decap,
            plain: false,
            outer_filter: None,
            inner_filter: None,
            packets: 0,
            bytes: 0,
            outer_filtered: 0,
            inner_filtered: 0,
        }
    }

    /// The customer's frame of a packet of the shape that most have, in a run without filters.
    /// `None`, with nothing counted, for any other, which [`take`](Self::take) takes.
    #[inline(always)]
    pub(crate) fn take_usual<'a>(&mut self, packet: &Packet<'a>) -> Option<Packet<'a>> {
        if self.outer_filter.is_some() || self.inner_filter.is_some() {
            return None;
        }
        let envelope = self.decap.usual(packet)?;
        self.packets += 1;
        self.bytes += packet.data.len() as u64;
        Some(envelope.open(packet))
    }

    /// Takes a packet through steps 2 to 4.
    pub fn take<'a>(&'a mut self, packet: Packet<'a>) -> Taken<'a> {
        self.packets += 1;
        self.bytes += packet.data.len() as u64;
        let aside = |packet, fate| Taken::Aside(Seen { packet, fate });
        if let Some(filter) = &mut self.outer_filter
            && !filter(&packet)
        {
            self.outer_filtered += 1;
            return aside(packet, Fate::OuterFilter);
        }
        let frame = match self.decap.strip(packet) {
            Stripped::Mirrored(frame) => frame,
            Stripped::Plain(packet) if self.plain => packet,
            Stripped::Plain(packet) => return aside(packet, Fate::NotMirrored),
            Stripped::Absorbed => return aside(packet, Fate::Absorbed),
            Stripped::Skipped(skip) => return aside(packet, Fate::Skipped(skip)),
        };
        if let Some(filter) = &mut self.inner_filter
            && !filter(&frame)
        {
            self.inner_filtered += 1;
            return aside(frame, Fate::InnerFilter);
        }
        Taken::Frame(frame)
    }
}
