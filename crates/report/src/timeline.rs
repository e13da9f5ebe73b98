//! What happened when, in a fixed number of equal steps.

use std::collections::BTreeMap;
use std::time::Duration;

use vtap_packet::Timestamp;

/// What a step of the timeline holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Step {
    /// Bytes of IP packets, of clients.
    pub(crate) to_server: u64,
    /// Bytes of IP packets, of servers.
    pub(crate) to_client: u64,
    /// Flows that began.
    pub(crate) flows: u64,
    /// Of these, handshakes that failed.
    pub(crate) failed: u64,
    /// INVALID events, with the segments that they stand for.
    pub(crate) invalid: u64,
}

/// Steps from the first to the last thing that happened, [`STEPS`](Self::STEPS) at most. Where
/// they do not reach, each becomes as long as two to five were, so that sums stay exact.
#[derive(Debug)]
pub(crate) struct Timeline {
    /// Which of [`WIDTHS`](Self::WIDTHS).
    width: usize,
    /// By number since the epoch, in widths.
    steps: BTreeMap<u64, Step>,
}

impl Timeline {
    pub(crate) const STEPS: u64 = 360;

    /// Lengths of a step in milliseconds, each a multiple of the one before, and such as people
    /// count in. 360 of the last reach beyond the last timestamp there is.
    const WIDTHS: [u64; 19] = [
        1,
        5,
        10,
        50,
        100,
        500,
        1_000,
        5_000,
        10_000,
        30_000,
        60_000,
        300_000,
        600_000,
        1_800_000,
        3_600_000,
        21_600_000,
        86_400_000,
        8_640_000_000,
        864_000_000_000,
    ];

    pub(crate) const fn new() -> Self {
        Self { width: 0, steps: BTreeMap::new() }
    }

    /// How long a step is.
    pub(crate) fn width(&self) -> Duration {
        Duration::from_nanos(self.nanos())
    }

    /// Every step from the first to the last that holds anything, with the time it begins at.
    pub(crate) fn steps(&self) -> Vec<(Timestamp, Step)> {
        let (Some((first, _)), Some((last, _))) =
            (self.steps.first_key_value(), self.steps.last_key_value())
        else {
            return Vec::new();
        };
        let begins = |number: u64| Timestamp::from_nanos(number.saturating_mul(self.nanos()));
        let step = |number| (begins(number), self.steps.get(&number).copied().unwrap_or_default());
        (*first..=*last).map(step).collect()
    }

    /// The step in which a time lies.
    pub(crate) fn at(&mut self, time: Timestamp) -> &mut Step {
        self.reach(time, time);
        self.steps.entry(time.nanos() / self.nanos()).or_default()
    }

    /// Spreads bytes evenly over the steps between two times.
    pub(crate) fn spread(&mut self, from: Timestamp, to: Timestamp, bytes: Step) {
        let to = to.max(from);
        self.reach(from, to);
        let nanos = self.nanos();
        let (first, last) = (from.nanos() / nanos, to.nanos() / nanos);
        let span = u128::from(to.nanos() - from.nanos());
        // What is due until the end of a step, rounded; each step has what is new in it.
        let due = |bytes: u64, until: u64| match span {
            0 => bytes,
            _ => {
                let elapsed = u128::from(until.min(to.nanos()).saturating_sub(from.nanos()));
                u64::try_from(u128::from(bytes) * elapsed / span).unwrap_or(bytes)
            }
        };
        let mut given = Step::default();
        for number in first..=last {
            let end = (number + 1).saturating_mul(nanos);
            let until = if number == last { u64::MAX } else { end };
            let (to_server, to_client) = (due(bytes.to_server, until), due(bytes.to_client, until));
            let step = self.steps.entry(number).or_default();
            step.to_server += to_server - given.to_server;
            step.to_client += to_client - given.to_client;
            given = Step { to_server, to_client, ..given };
        }
    }

    fn nanos(&self) -> u64 {
        Self::WIDTHS.get(self.width).map_or(u64::MAX, |ms| ms * 1_000_000)
    }

    /// Widens the steps until they reach from one time to another, and over what is there.
    fn reach(&mut self, from: Timestamp, to: Timestamp) {
        loop {
            let nanos = self.nanos();
            let first = self.steps.first_key_value().map_or(u64::MAX, |(number, _)| *number);
            let last = self.steps.last_key_value().map_or(0, |(number, _)| *number);
            let first = first.min(from.nanos() / nanos);
            let last = last.max(to.nanos() / nanos);
            if last - first < Self::STEPS || self.width + 1 == Self::WIDTHS.len() {
                return;
            }
            self.width += 1;
            let factor = self.nanos() / nanos;
            let mut wider = BTreeMap::<u64, Step>::new();
            for (number, step) in &self.steps {
                let Step { to_server, to_client, flows, failed, invalid } = step;
                let sum = wider.entry(number / factor).or_default();
                sum.to_server += to_server;
                sum.to_client += to_client;
                sum.flows += flows;
                sum.failed += failed;
                sum.invalid += invalid;
            }
            self.steps = wider;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(to_server: u64, to_client: u64) -> Step {
        Step { to_server, to_client, ..Step::default() }
    }

    fn sums(timeline: &Timeline) -> (u64, u64, u64) {
        timeline.steps().iter().fold((0, 0, 0), |(up, down, flows), (_, step)| {
            (up + step.to_server, down + step.to_client, flows + step.flows)
        })
    }

    #[test]
    fn bytes_are_spread_evenly() {
        let mut timeline = Timeline::new();
        timeline.spread(Timestamp::new(0, 0), Timestamp::new(0, 4_000_000), bytes(400, 0));
        let steps: Vec<_> = timeline.steps().iter().map(|(_, step)| step.to_server).collect();
        assert_eq!(steps, [100, 100, 100, 100, 0]);
    }

    #[test]
    fn every_length_of_a_step_is_a_multiple_of_the_one_before() {
        for pair in Timeline::WIDTHS.windows(2) {
            assert_eq!(pair[1] % pair[0], 0, "{pair:?}");
        }
        assert!(u64::MAX / 1_000_000 / Timeline::WIDTHS[18] < Timeline::STEPS);
    }

    #[test]
    fn an_earlier_time_than_the_first_has_its_step() {
        let mut timeline = Timeline::new();
        timeline.at(Timestamp::new(1_000, 0)).flows += 1;
        timeline.at(Timestamp::new(700, 0)).flows += 2;
        let steps = timeline.steps();
        assert_eq!(timeline.width(), Duration::from_secs(1));
        assert_eq!(
            steps.first().unwrap(),
            &(Timestamp::new(700, 0), Step { flows: 2, ..bytes(0, 0) })
        );
        assert_eq!(steps.last().unwrap().1.flows, 1);
    }

    proptest! {
        #[test]
        fn sums_are_exact_and_steps_bounded_whatever_the_times(
            added in prop::collection::vec((any::<u64>(), any::<u32>(), 0..1_000_000_u64, 0..9_u64), 1..60),
        ) {
            let mut timeline = Timeline::new();
            let mut expected = (0, 0, 0);
            for (from, span, up, down) in added {
                let from = Timestamp::from_nanos(from);
                let to = from + Duration::from_nanos(span.into());
                timeline.spread(from, to, bytes(up, down));
                timeline.at(from).flows += 1;
                expected = (expected.0 + up, expected.1 + down, expected.2 + 1);
                prop_assert!(timeline.steps().len() as u64 <= Timeline::STEPS);
            }
            prop_assert_eq!(sums(&timeline), expected);
        }
    }
}
