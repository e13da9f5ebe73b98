//! Interface description blocks: link type, and what a timestamp counts.

use vtap_packet::{LinkType, Timestamp};

use super::block::Order;
use crate::Interface;

/// An interface as its section describes it.
#[derive(Debug)]
pub(super) struct Description {
    pub(super) interface: Interface,
    pub(super) clock: Clock,
    /// Whether options ran past the block. Those before were read.
    pub(super) cut_short: bool,
}

impl Description {
    /// From the body of a block; `None` where it is too short.
    pub(super) fn read(body: &[u8], order: Order) -> Option<Self> {
        let (link, snaplen) = (LinkType(order.u16(body, 0)?), order.u32(body, 4)?);
        let interface = Interface { link, snaplen, name: String::new() };
        let mut read = Self { interface, clock: Clock::default(), cut_short: false };
        let mut options = body.get(8..).unwrap_or_default();
        while !options.is_empty() {
            let Some((code, value, rest)) = option(options, order) else {
                read.cut_short = true;
                break;
            };
            match (code, value) {
                (END, _) => break,
                (NAME, name) => {
                    let name = name.get(..NAME_LEN).unwrap_or(name);
                    read.interface.name = String::from_utf8_lossy(name).into_owned();
                }
                (RESOLUTION, [resolution, ..]) => read.clock.units = Units::of(*resolution),
                (OFFSET, seconds) => {
                    let seconds = seconds.first_chunk().map(|seconds| match order {
                        Order::Little => i64::from_le_bytes(*seconds),
                        Order::Big => i64::from_be_bytes(*seconds),
                    });
                    read.clock.offset_seconds = seconds.unwrap_or_default();
                }
                _ => {}
            }
            options = rest;
        }
        Some(read)
    }
}

const END: u16 = 0;
const NAME: u16 = 2;
const RESOLUTION: u16 = 9;
const OFFSET: u16 = 14;

/// Bytes kept of a name, so that a hostile file cannot fill the memory with them.
const NAME_LEN: usize = 256;

/// Code, value and what follows: `code 2 | length 2 | value, padded to 4`.
fn option(bytes: &[u8], order: Order) -> Option<(u16, &[u8], &[u8])> {
    let (code, len) = (order.u16(bytes, 0)?, order.u16(bytes, 2)?);
    let value = bytes.get(4..)?.get(..len.into())?;
    let behind = 4 + usize::from(len).next_multiple_of(4);
    Some((code, value, bytes.get(behind..).unwrap_or_default()))
}

/// From the units of an interface to time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    units: Units,
    /// Seconds to add to every timestamp.
    offset_seconds: i64,
}

/// How long a unit of the timestamp is.
#[derive(Clone, Copy, Debug)]
enum Units {
    /// This many nanoseconds.
    Nanos(u64),
    /// This part of a nanosecond.
    PerNano(u64),
    /// 2^-n seconds.
    Binary(u8),
}

impl Clock {
    /// Time of a raw timestamp; saturates at both ends of what [`Timestamp`] holds.
    #[inline(always)]
    pub(super) fn time(self, raw: u64) -> Timestamp {
        let nanos = match self.units {
            Units::Nanos(nanos) => raw.saturating_mul(nanos),
            Units::PerNano(count) => raw / count,
            Units::Binary(shift) => {
                let nanos = (u128::from(raw) * 1_000_000_000) >> shift;
                u64::try_from(nanos).unwrap_or(u64::MAX)
            }
        };
        if self.offset_seconds == 0 {
            return Timestamp::from_nanos(nanos);
        }
        let nanos = i128::from(nanos) + i128::from(self.offset_seconds) * 1_000_000_000;
        Timestamp::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
    }
}

impl Units {
    /// From the option: a power of ten, or of two with the top bit set, negated.
    const fn of(resolution: u8) -> Self {
        let exponent = resolution & 0x7f;
        if resolution & 0x80 != 0 {
            return Self::Binary(exponent);
        }
        let (nanos, exponent) = (exponent <= 9, exponent.abs_diff(9));
        match 10_u64.checked_pow(exponent as u32) {
            Some(count) if nanos => Self::Nanos(count),
            Some(count) => Self::PerNano(count),
            // So fine that no timestamp reaches a nanosecond.
            None => Self::PerNano(u64::MAX),
        }
    }
}

impl Default for Units {
    /// Microseconds.
    fn default() -> Self {
        Self::of(6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos(resolution: u8, offset_seconds: i64, raw: u64) -> u64 {
        Clock { units: Units::of(resolution), offset_seconds }.time(raw).nanos()
    }

    #[test]
    fn any_resolution_gives_nanoseconds() {
        assert_eq!(nanos(6, 0, 1_700_000_000_123_456), 1_700_000_000_123_456_000);
        assert_eq!(nanos(0, 0, 1_700_000_000), 1_700_000_000_000_000_000);
        assert_eq!(nanos(9, 0, 7), 7);
        assert_eq!(nanos(12, 0, 1_999), 1);
        assert_eq!(nanos(127, 0, u64::MAX - 1), 0);
        assert_eq!(nanos(0x80 | 10, 0, 1536), 1_500_000_000);
        assert_eq!(nanos(0x80 | 32, 0, (5 << 32) + (1 << 31)), 5_500_000_000);
        assert_eq!(nanos(0x80 | 127, 0, u64::MAX), 0);
    }

    #[test]
    fn an_offset_is_added_and_time_does_not_wrap() {
        assert_eq!(nanos(6, 100, 1), 100_000_001_000);
        assert_eq!(nanos(6, -1, 1_500_000), 500_000_000);
        assert_eq!(nanos(6, i64::MIN, 1), 0);
        assert_eq!(nanos(6, i64::MAX, 1), u64::MAX);
        assert_eq!(nanos(0, 0, u64::MAX), u64::MAX);
        assert_eq!(nanos(0x80, 0, u64::MAX), u64::MAX);
    }
}
