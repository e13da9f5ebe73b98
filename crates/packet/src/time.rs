//! Packet time.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

/// Nanoseconds since the Unix epoch, UTC; reaches to the year 2554.
///
/// Arithmetic saturates: a capture with a broken clock gives odd times, never a panic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

const NANOS: u64 = 1_000_000_000;

impl Timestamp {
    /// 1970-01-01T00:00:00Z, also the time of packets that carry none (a simple packet block).
    pub const EPOCH: Self = Self(0);

    /// From nanoseconds since the epoch.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// From whole seconds and a sub-second part, which may exceed one second.
    pub const fn new(secs: u64, nanos: u64) -> Self {
        Self(secs.saturating_mul(NANOS).saturating_add(nanos))
    }

    /// Nanoseconds since the epoch.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch.
    pub const fn secs(self) -> u64 {
        self.0 / NANOS
    }

    /// Nanoseconds past the whole second, below 10^9.
    pub const fn subsec_nanos(self) -> u32 {
        (self.0 % NANOS) as u32
    }

    /// Time since `earlier`; zero where `earlier` is later, as it is in captures whose packets
    /// are out of order.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Year, month, day, by the proleptic Gregorian calendar.
    pub fn date(self) -> (u64, u8, u8) {
        // Days are counted from 1 March of year 0, which puts the leap day last, in 400-year eras.
        let days = self.secs() / 86_400 + 719_468;
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month_from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a month is at most 12, a day at most 31"
        )]
        let (month, day) = (month as u8, day as u8);
        (era * 400 + year + u64::from(month <= 2), month, day)
    }

    /// RFC 3339 with nine digits and `Z`, as bytes in place: `2025-12-01T00:00:00.000000000Z`.
    ///
    /// Allocates nothing; this is what every event line begins with.
    pub fn rfc3339(self) -> [u8; 30] {
        let mut out = *b"0000-00-00T00:00:00.000000000Z";
        let (year, month, day) = self.date();
        let of_day = self.secs() % 86_400;
        let mut put = |at: usize, width: usize, mut value: u64| {
            for digit in out.iter_mut().skip(at).take(width).rev() {
                *digit = b'0' + (value % 10) as u8;
                value /= 10;
            }
        };
        put(0, 4, year);
        put(5, 2, month.into());
        put(8, 2, day.into());
        put(11, 2, of_day / 3600);
        put(14, 2, of_day / 60 % 60);
        put(17, 2, of_day % 60);
        put(20, 9, self.subsec_nanos().into());
        out
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        let nanos = span.as_secs().saturating_mul(NANOS).saturating_add(span.subsec_nanos().into());
        Self(self.0.saturating_add(nanos))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&String::from_utf8_lossy(&self.rfc3339()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_rfc3339_with_nine_digits() {
        let time = Timestamp::new(1_764_547_200, 5);
        assert_eq!(time.to_string(), "2025-12-01T00:00:00.000000005Z");
        assert_eq!(Timestamp::EPOCH.to_string(), "1970-01-01T00:00:00.000000000Z");
    }

    #[test]
    fn leap_days_are_dates() {
        assert_eq!(Timestamp::new(951_782_400, 0).date(), (2000, 2, 29));
        assert_eq!(Timestamp::new(1_709_164_800, 0).date(), (2024, 2, 29));
        assert_eq!(Timestamp::new(4_107_542_400, 0).date(), (2100, 3, 1));
    }

    #[test]
    fn a_clock_that_jumps_does_not_overflow() {
        let end = Timestamp::new(u64::MAX, 0);
        assert_eq!(end + Duration::from_secs(1), end);
        assert_eq!(Timestamp::EPOCH.since(end), Duration::ZERO);
        assert!(end.to_string().starts_with("2554-"));
    }
}
