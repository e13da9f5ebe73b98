//! The time of a row.

use vtap_packet::Timestamp;

use crate::field;

/// Writes times. Most lie in the second of the one before, so date and time of that are kept.
#[derive(Debug)]
pub(crate) struct Clock {
    second: u64,
    /// `2025-12-01T00:00:00.`
    text: [u8; 20],
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self::at(Timestamp::EPOCH)
    }

    fn at(time: Timestamp) -> Self {
        let [text @ .., _, _, _, _, _, _, _, _, _, _] = time.rfc3339();
        Self { second: time.secs(), text }
    }

    /// Appends what [`Timestamp::rfc3339`] says.
    #[inline]
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, time: Timestamp) {
        if time.secs() != self.second {
            *self = Self::at(time);
        }
        out.extend_from_slice(&self.text);
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
            (u64::MAX, 0),
        ] {
            let time = Timestamp::new(secs, nanos);
            let mut out = Vec::new();
            clock.write(&mut out, time);
            assert_eq!(out, time.rfc3339());
        }
    }
}
