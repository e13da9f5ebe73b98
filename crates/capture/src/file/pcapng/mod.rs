//! pcapng, <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-04.html>.
//!
//! Sections in either byte order, one after the other; interfaces of different link types and
//! clocks; enhanced, simple and obsolete packet blocks. All other blocks, known or not, are
//! stepped over, and so are options other than those of an interface's name and clock. The length
//! that a section claims is not used: writers leave it open, or wrong.

mod block;
mod interface;
mod packet;

use std::io;

use pcap_file::pcapng::blocks::block_common as types;
use vtap_packet::{LinkType, Timestamp};

use super::Found;
use super::window::{AtHand, LONGEST, Window};
use crate::damage::Log;
use crate::{Interface, Kind};
use block::{BELIEVED, HEAD_LEN, Head, Order};
use interface::{Clock, Description};
use packet::Raw;

/// The type of a section header block, a palindrome: the same in both byte orders.
pub(crate) const MAGIC: [u8; 4] = types::SECTION_HEADER_BLOCK.to_be_bytes();

/// Whether a file begins like pcapng.
pub(crate) fn begins(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// A file that is being walked.
#[derive(Debug)]
pub(crate) struct Pcapng {
    /// Byte order of the section; `None` before the first and behind an unreadable section header.
    order: Option<Order>,
    /// Interfaces of the section, in the order of their ids.
    section: Vec<Local>,
    /// Interfaces of all sections.
    interfaces: Vec<Interface>,
    /// Time of the last packet, for those that have none.
    time: Timestamp,
}

/// What a packet needs to know of its interface.
#[derive(Clone, Copy, Debug)]
struct Local {
    /// Position in the list of all interfaces.
    id: u32,
    link: LinkType,
    snaplen: u32,
    clock: Clock,
}

/// Interfaces read of one file, over all sections.
const MAX_INTERFACES: usize = 65_536;

impl Pcapng {
    pub(crate) const fn new() -> Self {
        Self { order: None, section: Vec::new(), interfaces: Vec::new(), time: Timestamp::EPOCH }
    }

    pub(crate) fn interface(&self, id: u32) -> Option<&Interface> {
        self.interfaces.get(id as usize)
    }

    /// The packet at the current position, if all of its block is at hand and it looks like
    /// nearly all do: an enhanced packet block, in a section whose byte order is known, of an
    /// interface that was described, with the same length at both ends and room for the packet.
    ///
    /// A shortcut and nothing else: of such a block [`next`](Self::next) finds the same, and on
    /// `None` nothing has changed and nothing is said of the block.
    #[inline(always)]
    pub(crate) fn usual<'a>(&mut self, at_hand: &mut AtHand<'a>) -> Option<(Found, &'a [u8])> {
        /// Fields before the packet, and with the length behind it, in bytes.
        const BEFORE: usize = 28;
        const FRAME: u32 = 32;

        let order = self.order?;
        at_hand.prefetch();
        let rest = at_hand.rest();
        let fields = rest.as_chunks().0.first_chunk()?;
        let [kind, len, interface, upper, lower, captured, on_wire] = order.words(*fields);
        if kind != types::ENHANCED_PACKET_BLOCK || len > LONGEST || !len.is_multiple_of(4) {
            return None;
        }
        if captured > len.checked_sub(FRAME)? {
            return None;
        }
        let (block, rest) = rest.split_at_checked(len as usize)?;
        let [trailing] = order.words([*block.last_chunk()?]);
        let local = self.section.get(interface as usize)?;
        if trailing != len {
            return None;
        }
        let data = block.get(BEFORE..BEFORE + captured as usize)?;
        self.time = local.clock.time(u64::from(upper) << 32 | u64::from(lower));
        let begins = at_hand.step(block.len(), rest);
        let found = Found {
            time: self.time,
            link: local.link,
            interface: local.id,
            wire_len: on_wire.max(captured),
            at: begins + BEFORE,
            len: captured as usize,
        };
        Some((found, data))
    }

    /// Finds the next packet.
    #[inline(always)]
    pub(crate) fn next(&mut self, window: &mut Window, log: &mut Log) -> io::Result<Option<Found>> {
        loop {
            let mut rest = window.fill(HEAD_LEN)?;
            if rest.len() < HEAD_LEN {
                if !rest.is_empty() {
                    self.resume(Ended::Cut, window, log)?;
                }
                return Ok(None);
            }
            let head = match Head::read(rest, self.order) {
                Ok(head) => head,
                Err(kind) => {
                    if begins(rest) {
                        self.begin(Order::of_section(rest));
                    }
                    if self.resume(Ended::Damaged(kind), window, log)? {
                        continue;
                    }
                    return Ok(None);
                }
            };
            let len = head.len as usize;
            if rest.len() < len {
                rest = window.fill(len)?;
                if rest.len() < len {
                    if self.resume(Ended::Early(head.len), window, log)? {
                        continue;
                    }
                    return Ok(None);
                }
            }
            let trailing = head.order.u32(rest, len - 4).unwrap_or_default();
            if trailing != head.len && !self.stands(head, trailing, window, log)? {
                continue;
            }
            if let Some(found) = self.block(head, window, log) {
                return Ok(Some(found));
            }
        }
    }

    /// Reads the whole block at the current position and steps over it.
    #[inline]
    fn block(&mut self, head: Head, window: &mut Window, log: &mut Log) -> Option<Found> {
        let (len, order, mark, offset) =
            (head.len as usize, head.order, window.mark(), window.offset());
        let body = window.rest().get(8..len - 4).unwrap_or_default();
        let short = Kind::BlockLength(head.len);
        let found = match head.kind {
            types::ENHANCED_PACKET_BLOCK => Raw::enhanced(body, order),
            types::SIMPLE_PACKET_BLOCK => {
                let snaplen = self.section.first().map_or(0, |local| local.snaplen);
                Raw::simple(body, order, snaplen)
            }
            types::PACKET_BLOCK => Raw::obsolete(body, order),
            other => {
                match other {
                    types::SECTION_HEADER_BLOCK => self.begin(Some(order)),
                    types::INTERFACE_DESCRIPTION_BLOCK => self.describe(body, order, offset, log),
                    _ => {}
                }
                window.consume(len);
                return None;
            }
        };
        let found = found.ok_or(short).and_then(|raw| self.found(&raw, body, mark));
        window.consume(len);
        match found {
            Ok(found) => Some(found),
            Err(kind) => {
                log.push(offset, len as u64, kind);
                None
            }
        }
    }

    #[inline]
    fn found(&mut self, raw: &Raw, body: &[u8], mark: usize) -> Result<Found, Kind> {
        raw.check(body)?;
        let local = self.section.get(raw.interface as usize);
        let local = local.ok_or(Kind::UnknownInterface(raw.interface))?;
        if let Some(time) = raw.time {
            self.time = local.clock.time(time);
        }
        Ok(Found {
            time: self.time,
            link: local.link,
            interface: local.id,
            wire_len: raw.on_wire.max(raw.captured),
            at: mark + 8 + raw.at,
            len: raw.captured as usize,
        })
    }

    fn begin(&mut self, order: Option<Order>) {
        self.order = order;
        self.section.clear();
    }

    #[cold]
    fn describe(&mut self, body: &[u8], order: Order, offset: u64, log: &mut Log) {
        let whole = body.len() as u64 + 12;
        let Some(Description { interface, clock, cut_short }) = Description::read(body, order)
        else {
            return;
        };
        if cut_short {
            log.push(offset, 0, Kind::Options);
        }
        match u32::try_from(self.interfaces.len()) {
            Ok(id) if self.interfaces.len() < MAX_INTERFACES => {
                let Interface { link, snaplen, .. } = interface;
                self.section.push(Local { id, link, snaplen, clock });
                self.interfaces.push(interface);
            }
            _ => log.push(offset, whole, Kind::TooManyInterfaces),
        }
    }

    /// Judges a block whose two lengths differ: it stands if another one begins where it ends,
    /// or the input ends there. Otherwise the next whole block is where reading goes on.
    #[cold]
    fn stands(
        &mut self,
        head: Head,
        trailing: u32,
        window: &mut Window,
        log: &mut Log,
    ) -> io::Result<bool> {
        let len = head.len as usize;
        let behind = window.fill(len + HEAD_LEN)?.get(len..).unwrap_or_default();
        let stands = behind.is_empty() || Head::is_known(behind, head.order);
        let kind = Kind::BlockTrailer { leading: head.len, trailing };
        if stands {
            log.push(window.offset(), 0, kind);
        } else {
            self.resume(Ended::Damaged(kind), window, log)?;
        }
        Ok(stands)
    }

    /// Logs what is at the current position and goes on to the next whole block behind it, or to
    /// the end of the input, which is `false`.
    ///
    /// Every fourth byte is looked at once, so the work is linear in what is passed over.
    #[cold]
    fn resume(&mut self, ended: Ended, window: &mut Window, log: &mut Log) -> io::Result<bool> {
        let offset = window.offset();
        let found = !matches!(ended, Ended::Cut) && self.scan(window)?;
        let skipped = if found { window.offset() - offset } else { Self::drain(offset, window) };
        let kind = match ended {
            Ended::Damaged(kind) => kind,
            Ended::Early(len) if found => Kind::BlockLength(len),
            Ended::Early(_) | Ended::Cut => window.end_kind(),
        };
        log.push(offset, skipped, kind);
        Ok(found)
    }

    fn scan(&mut self, window: &mut Window) -> io::Result<bool> {
        const STEP: usize = 4;
        window.consume(STEP);
        loop {
            let rest = window.fill(BELIEVED + STEP)?;
            if rest.is_empty() {
                return Ok(false);
            }
            // Fewer bytes than asked for are the last ones.
            let more = rest.len() >= BELIEVED + STEP;
            let places = if more { (rest.len() - BELIEVED) / STEP * STEP } else { rest.len() };
            let next = (0..places).step_by(STEP).find_map(|at| {
                let order = block::stands(rest.get(at..).unwrap_or_default(), self.order)?;
                Some((at, order))
            });
            window.consume(next.map_or(places, |(at, _)| at));
            if let Some((_, order)) = next {
                self.order = self.order.or(Some(order));
                return Ok(true);
            }
        }
    }

    /// Steps over all that is left; says how much it was from `offset` on.
    fn drain(offset: u64, window: &mut Window) -> u64 {
        window.consume(window.rest().len());
        window.offset() - offset
    }
}

/// Why a block was given up.
#[derive(Debug)]
enum Ended {
    /// It is damaged.
    Damaged(Kind),
    /// The input ends before a block of this length does.
    Early(u32),
    /// The input ends before its head does.
    Cut,
}
