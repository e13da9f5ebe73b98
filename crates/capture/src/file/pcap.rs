//! Classic pcap, <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-06.html>.
//!
//! ```text
//! file     magic 4 | major 2 | minor 2 | zone 4 | accuracy 4 | snaplen 4 | link type, FCS 4
//! record   seconds 4 | sub-seconds 4 | captured length 4 | length on the wire 4 | packet
//! ```
//!
//! Read in either byte order, with micro- or nanoseconds, in the layout of Alexey Kuznetzov's
//! patched libpcap (magic 0xa1b2cd34, 8 more bytes in each record header), of any version, as far
//! as these differ: before 2.3 the two lengths stood the other way round, in 2.3 in some files.
//!
//! What other readers refuse and this one takes: version 1; packets longer than the snaplen; a
//! length on the wire below the captured one, which is raised to it; sub-seconds of a second or
//! more, which are carried over. As such a header may as well be damage, it has to be followed
//! by another one, or by the end of the file.

use std::io;

use pcap_file::Endianness;
use pcap_file::pcap::{PcapHeader, PcapTsResolution};
use vtap_packet::{LinkType, Timestamp};

use super::Found;
use super::window::{AtHand, LONGEST, Window};
use crate::damage::Log;
use crate::{Interface, Kind};

/// Length of the file header, in bytes.
pub(crate) const FILE_HEADER_LEN: usize = 24;

/// What a file may begin with: micro-, nanoseconds, Kuznetzov; each in both byte orders.
pub(crate) const MAGICS: [[u8; 4]; 6] = [
    0xa1b2_c3d4_u32.to_be_bytes(),
    0xa1b2_c3d4_u32.to_le_bytes(),
    0xa1b2_3c4d_u32.to_be_bytes(),
    0xa1b2_3c4d_u32.to_le_bytes(),
    KUZNETZOV.to_be_bytes(),
    KUZNETZOV.to_le_bytes(),
];

const KUZNETZOV: u32 = 0xa1b2_cd34;

/// A packet may always be this long, whatever the snaplen says: libpcap's maximum.
const LONG_ENOUGH: u32 = 262_144;

/// Length of a record header in today's layout, in bytes.
const USUAL_LEN: usize = 16;

/// A file whose header was read.
#[derive(Debug)]
pub(crate) struct Pcap {
    big_endian: bool,
    /// 16, or 24 in Kuznetzov's layout.
    header_len: usize,
    /// How many sub-second units make a second, and how many nanoseconds make one of them.
    units: u32,
    nanos: u32,
    lengths: Lengths,
    /// The longest captured length that is usual: the snaplen, if there is one.
    expected: u32,
    /// The longest captured length that is believed.
    longest: u32,
    /// The longest captured length that [`usual`](Self::usual) takes.
    usual: u32,
    /// Bytes of frame check sequence at the end of each packet that was captured whole.
    fcs_len: u32,
    interface: Interface,
    /// Seconds of the last packet, once there is one.
    seconds: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
enum Lengths {
    /// Captured, then on the wire.
    InOrder,
    Swapped,
    /// Swapped where the first is the greater one.
    Mixed,
}

#[derive(Clone, Copy, Debug)]
struct Header {
    seconds: u32,
    fraction: u32,
    captured: u32,
    on_wire: u32,
}

impl Pcap {
    /// From the first bytes of a file; `None` where they are no header.
    pub(crate) fn new(begins: &[u8]) -> Option<Self> {
        let mut begins: [u8; FILE_HEADER_LEN] = *begins.first_chunk()?;
        let (magic, _) = begins.split_first_chunk_mut::<4>()?;
        let patched = [KUZNETZOV.to_be_bytes(), KUZNETZOV.to_le_bytes()].contains(magic);
        if patched {
            // From here on it is microseconds in the same byte order.
            let big_endian = *magic == KUZNETZOV.to_be_bytes();
            *magic = if big_endian { MAGICS[0] } else { MAGICS[1] };
        }
        let (_, header) = PcapHeader::from_slice(&begins).ok()?;
        let link = u32::from(header.datalink);
        #[expect(clippy::cast_possible_truncation, reason = "the upper half holds other fields")]
        let link_type = LinkType(link as u16);
        // The length of the check sequence counts 16-bit words, and only with the flag before it.
        let fcs_len = if link & 0x0400_0000 != 0 { (link >> 28) * 2 } else { 0 };
        let units = match header.ts_resolution {
            PcapTsResolution::MicroSecond => 1_000_000,
            PcapTsResolution::NanoSecond => 1_000_000_000,
        };
        let lengths = match (header.version_major, header.version_minor) {
            (2, 0..3) => Lengths::Swapped,
            (2, 3) => Lengths::Mixed,
            _ => Lengths::InOrder,
        };
        // A snaplen of 0 sets no limit; what is longer than libpcap reads has to prove itself.
        let (expected, longest) = match header.snaplen {
            0 => (LONG_ENOUGH, LONGEST),
            snaplen => (snaplen, snaplen.clamp(LONG_ENOUGH, LONGEST)),
        };
        Some(Self {
            big_endian: header.endianness == Endianness::Big,
            header_len: if patched { USUAL_LEN + 8 } else { USUAL_LEN },
            units,
            nanos: 1_000_000_000 / units,
            lengths,
            expected,
            longest,
            usual: expected.min(longest),
            fcs_len,
            interface: Interface { link: link_type, snaplen: header.snaplen, name: String::new() },
            seconds: None,
        })
    }

    pub(crate) const fn interface(&self) -> &Interface {
        &self.interface
    }

    /// Whether the file is of today's layout: 16-byte headers, lengths in order, packets without
    /// a check sequence.
    pub(crate) const fn is_plain(&self) -> bool {
        let lengths_in_order = matches!(self.lengths, Lengths::InOrder);
        self.header_len == USUAL_LEN && lengths_in_order && self.fcs_len == 0
    }

    /// The packet at the current position of a [plain](Self::is_plain) file, if all of it is at
    /// hand and it looks like nearly all do: some bytes captured, no more of them than usual or
    /// than were on the wire, and a fraction of a second below one.
    ///
    /// A shortcut and nothing else: of such a record [`next`](Self::next) finds the same, and on
    /// `None` nothing has changed and nothing is said of the record.
    #[inline(always)]
    pub(crate) fn usual<'a>(&mut self, at_hand: &mut AtHand<'a>) -> Option<(Found, &'a [u8])> {
        at_hand.prefetch();
        let rest = at_hand.rest();
        let words = rest.as_chunks().0.first_chunk()?.map(u32::from_le_bytes);
        let words = if self.big_endian { words.map(u32::swap_bytes) } else { words };
        let [seconds, fraction, captured, on_wire] = words;
        let whole = USUAL_LEN + captured as usize;
        if !(1..=self.usual).contains(&captured) || captured > on_wire {
            return None;
        }
        let (record, rest) = rest.split_at_checked(whole)?;
        let data = record.get(USUAL_LEN..)?;
        if fraction >= self.units {
            return None;
        }
        let begins = at_hand.step(whole, rest);
        self.seconds = Some(seconds);
        let nanos = u64::from(fraction) * u64::from(self.nanos);
        let found = Found {
            time: Timestamp::new(seconds.into(), nanos),
            link: self.interface.link,
            interface: 0,
            wire_len: on_wire,
            at: begins + USUAL_LEN,
            len: captured as usize,
        };
        Some((found, data))
    }

    /// Finds the next packet.
    #[inline(always)]
    pub(crate) fn next(&mut self, window: &mut Window, log: &mut Log) -> io::Result<Option<Found>> {
        loop {
            let mut rest = window.fill(self.header_len)?;
            let Some(header) = self.header(rest) else {
                if !rest.is_empty() {
                    Self::cut(window, log);
                }
                return Ok(None);
            };
            let whole = self.header_len + header.captured as usize;
            if header.captured <= self.longest && rest.len() < whole {
                rest = window.fill(whole)?;
            }
            if (rest.len() < whole || self.is_odd(&header))
                && let Some(kind) = self.judge(&header, window)?
            {
                if self.resume(kind, window, log)? {
                    continue;
                }
                return Ok(None);
            }
            return Ok(Some(self.found(&header, window)));
        }
    }

    #[inline]
    fn found(&mut self, header: &Header, window: &mut Window) -> Found {
        let Header { seconds, fraction, captured, on_wire } = *header;
        let at = window.mark() + self.header_len;
        window.consume(self.header_len + captured as usize);
        self.seconds = Some(seconds);
        let nanos = u64::from(fraction) * u64::from(self.nanos);
        let (mut len, mut wire_len) = (captured, on_wire.max(captured));
        if self.fcs_len > 0 && len == wire_len && len > self.fcs_len {
            len -= self.fcs_len;
            wire_len = len;
        }
        Found {
            time: Timestamp::new(seconds.into(), nanos),
            link: self.interface.link,
            interface: 0,
            wire_len,
            at,
            len: len as usize,
        }
    }

    /// The record header at the beginning of `bytes`, whatever it says.
    #[inline]
    fn header(&self, bytes: &[u8]) -> Option<Header> {
        let fields: &[u8; 16] = bytes.first_chunk()?;
        if bytes.len() < self.header_len {
            return None;
        }
        let word = |at: usize| {
            let word = *fields.get(at..)?.first_chunk()?;
            Some(if self.big_endian { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) })
        };
        let (first, second) = (word(8)?, word(12)?);
        let (captured, on_wire) = match self.lengths {
            Lengths::InOrder => (first, second),
            Lengths::Mixed if first <= second => (first, second),
            Lengths::Swapped | Lengths::Mixed => (second, first),
        };
        Some(Header { seconds: word(0)?, fraction: word(4)?, captured, on_wire })
    }

    /// Whether no careful writer would have written this header, though some do.
    #[inline]
    const fn is_odd(&self, header: &Header) -> bool {
        let Header { seconds, fraction, captured, on_wire } = *header;
        captured > on_wire
            || fraction >= self.units
            || captured > self.expected
            || on_wire | seconds | fraction == 0
    }

    /// What is wrong with a record that is odd or not all there; `None` where it stands.
    #[cold]
    fn judge(&self, header: &Header, window: &mut Window) -> io::Result<Option<Kind>> {
        let Header { seconds, fraction, captured, on_wire } = *header;
        if captured | on_wire | seconds | fraction == 0 {
            return Ok(Some(Kind::Zeros));
        }
        let whole = self.header_len + captured as usize;
        if captured > self.longest || window.rest().len() < whole {
            return Ok(Some(Kind::RecordLength(captured)));
        }
        let behind = window.fill(whole + self.header_len)?.get(whole..).unwrap_or_default();
        let follows = self.header(behind).is_none_or(|next| next.captured <= self.longest);
        Ok(if follows { None } else { Some(Kind::RecordHeader) })
    }

    /// Logs the record at the current position and goes to the next one that makes sense, or to
    /// the end of the input, which is `false`.
    #[cold]
    fn resume(&self, kind: Kind, window: &mut Window, log: &mut Log) -> io::Result<bool> {
        let offset = window.offset();
        // A record of a sane length that runs past the end is a cut, if nothing comes after.
        let at_end = matches!(kind, Kind::RecordLength(claims) if claims <= self.longest);
        let found = self.scan(window)?;
        let kind = if at_end && !found { window.end_kind() } else { kind };
        log.push(offset, window.offset() - offset, kind);
        Ok(found)
    }

    #[cold]
    fn cut(window: &mut Window, log: &mut Log) {
        let (offset, left) = (window.offset(), window.rest().len());
        let kind = window.end_kind();
        log.push(offset, left as u64, kind);
        window.consume(left);
    }
}

/// Finding the way again behind damage.
///
/// The next record is where [`CHAIN`] sane headers follow one another. Every byte is looked at
/// once as a place to go on, and once in each chain that runs over it, so the work is linear in
/// what is passed over.
impl Pcap {
    /// Goes on to the next chain behind the current position; `false` at the end of the input.
    fn scan(&self, window: &mut Window) -> io::Result<bool> {
        let ahead = CHAIN * (self.header_len + LONG_ENOUGH as usize);
        window.consume(1);
        loop {
            let rest = window.fill(ahead)?;
            if rest.is_empty() {
                return Ok(false);
            }
            // Where `ahead` bytes are not there, the input ends with those that are.
            let places = if rest.len() < ahead { rest.len() } else { rest.len() - ahead + 1 };
            let next = (0..places).find(|at| self.is_chain(rest.get(*at..).unwrap_or_default()));
            window.consume(next.unwrap_or(places));
            if next.is_some() {
                return Ok(true);
            }
        }
    }

    /// Whether sane records follow one another from here on: [`CHAIN`] of them, or fewer, but one
    /// whole one, before the input ends.
    fn is_chain(&self, mut bytes: &[u8]) -> bool {
        let mut seconds = self.seconds;
        for links in 0..CHAIN {
            let Some(header) = self.header(bytes) else { return links > 0 };
            if !self.is_sane(&header, seconds) {
                return false;
            }
            let Some(behind) = bytes.get(self.header_len + header.captured as usize..) else {
                return links > 0;
            };
            seconds = Some(header.seconds);
            bytes = behind;
        }
        true
    }

    /// Whether this could be a record header at all: lengths of a packet, a fraction of a second,
    /// and a time within a year of the packet before it.
    fn is_sane(&self, header: &Header, seconds: Option<u32>) -> bool {
        const YEAR: u32 = 366 * 86_400;
        let Header { captured, on_wire, .. } = *header;
        (1..=LONG_ENOUGH).contains(&captured)
            && (captured..=LONGEST).contains(&on_wire)
            && header.fraction < self.units
            && seconds.is_none_or(|seconds| header.seconds.abs_diff(seconds) < YEAR)
    }
}

/// How many sane headers in a row are proof.
const CHAIN: usize = 3;
