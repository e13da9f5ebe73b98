//! How spans of time are distributed, in bounded memory.

use std::ops::Range;
use std::time::Duration;

/// Steps to a doubling: what is told of a span is at most 1/16 off.
const PER_OCTAVE: u32 = 8;

/// From 2^10 ns, which is 1 µs, to 2^37 ns, which is 137 s. What lies outside is in the first or
/// the last step.
const OCTAVES: Range<u32> = 10..37;

const STEPS: usize = ((OCTAVES.end - OCTAVES.start) * PER_OCTAVE) as usize;

/// A histogram of spans of time, with steps that grow with them.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    steps: Box<[u32; STEPS]>,
    count: u64,
    least: Duration,
    most: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { steps: Box::new([0; STEPS]), count: 0, least: Duration::MAX, most: Duration::ZERO }
    }
}

impl Times {
    pub(crate) fn add(&mut self, span: Duration) {
        if let Some(step) = self.steps.get_mut(step_of(span)) {
            *step = step.saturating_add(1);
        }
        self.count += 1;
        self.least = self.least.min(span);
        self.most = self.most.max(span);
    }

    pub(crate) fn absorb(&mut self, other: &Self) {
        for (step, more) in self.steps.iter_mut().zip(other.steps.iter()) {
            *step = step.saturating_add(*more);
        }
        self.count += other.count;
        self.least = self.least.min(other.least);
        self.most = self.most.max(other.most);
    }

    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    /// The longest; `None` where there is none.
    pub(crate) fn most(&self) -> Option<Duration> {
        (self.count > 0).then_some(self.most)
    }

    /// The span that this many of a hundred do not exceed, at most 1/16 off; `None` where there is
    /// none.
    pub(crate) fn percentile(&self, of_hundred: u64) -> Option<Duration> {
        let rank = (self.count * of_hundred).div_ceil(100).max(1);
        let mut seen = 0;
        for (step, count) in (0_u32..).zip(self.steps.iter()) {
            seen += u64::from(*count);
            if seen >= rank {
                return Some(middle_of(step).clamp(self.least, self.most));
            }
        }
        None
    }
}

fn step_of(span: Duration) -> usize {
    let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    let octave = nanos.checked_ilog2().unwrap_or_default();
    if octave < OCTAVES.start {
        return 0;
    }
    // The three bits behind the first one.
    let within = (nanos >> (octave - 3)) - u64::from(PER_OCTAVE);
    let step = u64::from((octave - OCTAVES.start) * PER_OCTAVE) + within;
    usize::try_from(step).unwrap_or(STEPS).min(STEPS - 1)
}

fn middle_of(step: u32) -> Duration {
    let eighth = 1_u64 << (OCTAVES.start + step / PER_OCTAVE - 3);
    Duration::from_nanos(u64::from(PER_OCTAVE + step % PER_OCTAVE) * eighth + eighth / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_span_is_told_exactly() {
        let mut times = Times::default();
        assert_eq!(times.percentile(50), None);
        times.add(Duration::from_nanos(1_234_567));
        assert_eq!(times.percentile(50), Some(Duration::from_nanos(1_234_567)));
        assert_eq!(times.percentile(95), times.most());
    }

    #[test]
    fn percentiles_are_a_sixteenth_off_at_most() {
        let mut times = Times::default();
        let mut spans: Vec<_> = (1..=1000_u64).map(|n| n * n * 997 + 1_500).collect();
        for span in &spans {
            times.add(Duration::from_nanos(*span));
        }
        spans.sort_unstable();
        for of_hundred in [1_u64, 50, 95, 99, 100] {
            let exact = spans[usize::try_from(of_hundred).unwrap() * 10 - 1] as f64;
            let told = times.percentile(of_hundred).unwrap().as_nanos() as f64;
            assert!((told - exact).abs() <= exact / 16.0, "{of_hundred}: {told} for {exact}");
        }
    }

    #[test]
    fn any_span_has_a_step() {
        let mut times = Times::default();
        for span in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
            times.add(span);
        }
        assert_eq!(times.count(), 3);
        assert_eq!(times.percentile(1), Some(Duration::from_nanos(1088)));
        assert!(times.percentile(100).unwrap() > Duration::from_secs(120));
    }
}
