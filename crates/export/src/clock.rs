//! The time of a row.

use vtap_packet::Timestamp;

use crate::field;

/// Writes times. Date and time of the seconds that were met last are kept, of one for each
/// remainder: most times lie in one of them, the beginnings of flows that end together as well.
#[derive(Debug)]
pub(crate) struct Clock(Box<[Second; KEPT]>);

/// How many.
const KEPT: usize = 64;
const ROUND: u64 = KEPT as u64;

#[derive(Clone, Copy, Debug)]
struct Second {
    number: u64,
    /// `2025-12-01T00:00:00.`
    text: [u8; 20],
}

impl Second {
    fn of(time: Timestamp) -> Self {
        let [text @ .., _, _, _, _, _, _, _, _, _, _] = time.rfc3339();
        Self { number: time.secs(), text }
    }
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self(Box::new([Second::of(Timestamp::EPOCH); KEPT]))
    }

    /// Appends what [`Timestamp::rfc3339`] says.
    #[inline]
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, time: Timestamp) {
        let number = time.secs();
        let Some(second) = self.0.get_mut((number % ROUND) as usize) else { return };
        if number != second.number {
            *second = Second::of(time);
        }
        out.extend_from_slice(&second.text);
        field::nine_digits(out, time.subsec_nanos());
        out.push(b'Z');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_rfc_3339_whatever_came_before() {
        let mut clock = Clock::new();
        for (secs, nanos) in [
            (0, 0),
            (1_764_547_199, 999_999_999),
            (1_764_547_200, 0),
            (1_764_547_200, 1),
            (1_764_547_200, 123_456_789),
            (1_764_547_199, 100_000_000),
            (1_764_547_199 + 64, 100_000_000),
            (u64::MAX, 0),
        ] {
            let time = Timestamp::new(secs, nanos);
            let mut out = Vec::new();
            clock.write(&mut out, time);
            assert_eq!(out, time.rfc3339());
        }
    }
}
