//! TCP sequence numbers: arithmetic modulo 2^32 (RFC 9293 section 3.4).

use std::fmt;
use std::ops::{Add, Sub};

/// A sequence or acknowledgment number.
///
/// Ordering is only meaningful between numbers less than 2^31 apart, so `Ord` is deliberately
/// absent: use [`before`](Self::before) and [`after`](Self::after).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Seq(pub u32);

impl Seq {
    /// Whether `self` comes before `other`.
    pub const fn before(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0) > u32::MAX / 2
    }

    /// Whether `self` comes after `other`.
    pub const fn after(self, other: Self) -> bool {
        other.before(self)
    }

    /// The later of the two.
    #[must_use]
    pub const fn max(self, other: Self) -> Self {
        // Without a branch: in a connection that sends both ways, either answer is as likely.
        let ahead = self.0.wrapping_sub(other.0).cast_signed();
        let gain = ahead & !(ahead >> 31);
        Self(other.0.wrapping_add(gain.cast_unsigned()))
    }
}

impl Add<u32> for Seq {
    type Output = Self;

    fn add(self, bytes: u32) -> Self {
        Self(self.0.wrapping_add(bytes))
    }
}

impl Sub<u32> for Seq {
    type Output = Self;

    fn sub(self, bytes: u32) -> Self {
        Self(self.0.wrapping_sub(bytes))
    }
}

/// Distance from `rhs` up to `self`, modulo 2^32.
impl Sub for Seq {
    type Output = u32;

    fn sub(self, rhs: Self) -> u32 {
        self.0.wrapping_sub(rhs.0)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_survives_the_wrap() {
        let (old, new) = (Seq(u32::MAX - 1), Seq(3));
        assert!(old.before(new) && new.after(old));
        assert_eq!((old.max(new), new.max(old), old.max(old)), (new, new, old));
        assert_eq!(new - old, 5);
        assert_eq!(old + 5, new);
        assert_eq!(old.max(new), new);
    }

    #[test]
    fn equal_is_neither_before_nor_after() {
        assert!(!Seq(7).before(Seq(7)) && !Seq(7).after(Seq(7)));
    }

    #[test]
    fn half_the_circle_is_after() {
        // The signed difference of exactly 2^31 is negative, as the kernel's `before` has it.
        assert!(Seq(0x8000_0000).before(Seq(0)));
        assert!(Seq(0).before(Seq(0x8000_0000)));
    }
}
