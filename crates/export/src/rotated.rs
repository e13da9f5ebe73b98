//! Events in files that are rotated, for a collector that runs for months.

use std::convert::Infallible;
use std::io::{self, Write};

use vtap_files::{Counters, Health, Leftovers, Rotating, Rotation};
use vtap_flow::record::Phase;
use vtap_flow::{Event, Gap, Record, Sink};
use vtap_networks::Description;
use vtap_packet::Timestamp;

use crate::rows::Rows;
use crate::{Error, Format};

/// Writes events in any [`Format`] to files that are begun by size and time.
///
/// It never fails for the disk's sake: events that cannot be written wait, then are lost and
/// counted, each in exactly one of the [`counters`](Self::counters). What [`Rotating`] says holds
/// here; time is that of the wall clock, as [`tick`](Self::tick) has brought it. Rows are gathered
/// in batches of 256 KiB: what has to survive a kill is flushed.
#[derive(Debug)]
#[must_use = "what is not finished is not complete"]
pub struct Rotated {
    rows: Rows<Place>,
    /// Events and gaps taken, those without a place in the format included.
    taken: u64,
}

impl Rotated {
    pub(crate) fn new(format: Format, rotating: Rotating, now: Timestamp) -> Self {
        Self { rows: Rows::new(format, "", Place { rotating, now }), taken: 0 }
    }

    /// For [`Format::None`]: writes nothing.
    pub(crate) const fn none() -> Self {
        Self { rows: Rows::None, taken: 0 }
    }

    /// Sets the `resourceId` of the firewall's shape, which is the only one that has it.
    pub fn set_resource_id(&mut self, id: &str) {
        self.rows.set_resource_id(id);
    }

    /// Goes on by other sizes, times and limits: see [`Rotating::set_rotation`].
    ///
    /// # Errors
    ///
    /// When `rotation` has no meaning. Nothing is changed then.
    pub fn set_rotation(&mut self, rotation: Rotation) -> Result<(), Error> {
        let place = self.rows.writer_mut();
        place.map_or(Ok(()), |place| place.rotating.set_rotation(rotation)).map_err(Error::from)
    }

    /// How many events the format had no place for: [`Azure::omitted`](crate::Azure::omitted), 0
    /// elsewhere. They are not `accepted`.
    pub const fn omitted(&self) -> u64 {
        self.rows.omitted()
    }

    /// Says what time it is, about once a second: a file whose time is over is complete, with the
    /// events that came before, and what has failed is tried again.
    pub fn tick(&mut self, now: Timestamp) {
        let is_due = self.rows.writer().is_some_and(|place| place.rotating.is_due(now));
        if is_due {
            self.write();
        }
        if let Some(place) = self.rows.writer_mut() {
            place.now = now;
            place.rotating.tick(now);
        }
    }

    /// Writes what was gathered, so that a reader sees it now and a kill leaves it.
    pub fn flush(&mut self) {
        self.write();
    }

    /// Takes what is told of a flow; that one has begun is no row.
    pub fn flow(&mut self, record: &Record, description: &Description) {
        if record.phase != Phase::Begin {
            let taken = self.rows.flow(record, description);
            let Ok(()) = self.take(taken);
        }
    }

    /// What has changed for better or worse and was not told before; to be asked until `None`.
    pub fn health(&mut self) -> Option<Health> {
        self.rows.writer_mut()?.rotating.health()
    }

    /// What became of events up to now: all 0 with [`Format::None`].
    pub fn counters(&self) -> Counters {
        let Some(place) = self.rows.writer() else { return Counters::default() };
        let counters = place.rotating.counters();
        Counters {
            accepted: self.taken - self.rows.omitted(),
            waiting: counters.waiting + self.rows.gathered(),
            ..counters
        }
    }

    /// What an earlier run has left, and what became of it.
    pub fn leftovers(&self) -> Option<&Leftovers> {
        self.rows.writer().map(|place| place.rotating.leftovers())
    }

    /// Writes what is left and completes the file; then says what became of all events.
    ///
    /// # Errors
    ///
    /// When events are lost because they cannot be written now, or the file keeps its partial name.
    /// The counters are there all the same.
    ///
    /// # Panics
    ///
    /// When an event is not accounted for, which is a bug.
    pub fn finish(mut self, now: Timestamp) -> (Counters, Result<(), Error>) {
        self.write();
        let finished = match self.rows.writer_mut() {
            Some(place) => place.rotating.finish(now),
            None => Ok(()),
        };
        let counters = self.counters();
        assert!(counters.balance() && counters.waiting == 0, "broken law: {counters:?}");
        (counters, finished.map_err(Error::from))
    }

    /// Hands over the rows that were gathered.
    fn write(&mut self) {
        let written = self.rows.flush();
        debug_assert!(written.is_ok(), "the place takes everything");
    }

    fn take(&mut self, taken: io::Result<()>) -> Result<(), Infallible> {
        debug_assert!(taken.is_ok(), "the place takes everything");
        self.taken += 1;
        Ok(())
    }
}

impl Sink for Rotated {
    type Error = Infallible;

    #[inline]
    fn event(&mut self, event: &Event) -> Result<(), Infallible> {
        let taken = self.rows.event(event);
        self.take(taken)
    }

    fn gap(&mut self, gap: &Gap) -> Result<(), Infallible> {
        let taken = self.rows.gap(gap);
        self.take(taken)
    }
}

/// Takes whole rows at the time of the last tick, and never fails.
#[derive(Debug)]
struct Place {
    rotating: Rotating,
    now: Timestamp,
}

impl Write for Place {
    fn write(&mut self, rows: &[u8]) -> io::Result<usize> {
        self.rotating.write(rows, self.now);
        Ok(rows.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.rotating.flush(self.now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::Log;
    use crate::{Directory, sample};
    use proptest::prelude::*;

    const START: Timestamp = Timestamp::new(1_764_547_200, 0);
    const FORMATS: [Format; 3] = [Format::Text, Format::Json, Format::Azure];

    fn any_space() -> Rotation {
        Rotation { min_free_bytes: 0, ..Rotation::default() }
    }

    fn files(directory: &Path) -> Vec<(String, String)> {
        let mut files: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                (name, fs::read_to_string(path).unwrap())
            })
            .collect();
        files.sort();
        files
    }

    /// What the same events look like in one piece.
    fn whole(format: Format, events: &[Event]) -> String {
        let mut rows = Rows::new(format, "", Vec::new());
        for event in events {
            rows.event(event).unwrap();
        }
        String::from_utf8(rows.finish().unwrap().unwrap()).unwrap()
    }

    #[test]
    fn files_of_every_format_begin_with_its_head_and_add_up_to_the_whole() {
        for (format, stem, extension) in [
            (Format::Text, "events", "txt"),
            (Format::Json, "events", "json"),
            (Format::Azure, "flow-trace", "json"),
        ] {
            let temp = tempfile::tempdir().unwrap();
            let directory = Directory::create(temp.path()).unwrap();
            let hourly = Rotation { every: Some(Duration::from_secs(3600)), ..any_space() };
            let mut rotated = directory.rotated(format, Log::Events, hourly, START).unwrap();
            let events = [sample::syn(), sample::syn_ack(), sample::invalid()];
            rotated.event(&events[0]).unwrap();
            rotated.event(&events[1]).unwrap();
            assert_eq!(rotated.counters().waiting, 2);
            // Gathered before the hour was over, so it is of that hour.
            rotated.flush();
            rotated.tick(START + Duration::from_secs(3600));
            rotated.event(&events[2]).unwrap();
            let (counters, finished) = rotated.finish(START + Duration::from_secs(3600));
            finished.unwrap();
            assert_eq!((counters.accepted, counters.rows, counters.files), (3, 3, 2));

            let files = files(temp.path());
            let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(
                names,
                ["20251201T000000Z", "20251201T010000Z"]
                    .map(|at| format!("{stem}-{at}.{extension}"))
            );
            let rows = |(_, text): &(String, String)| {
                text.strip_prefix(format.head(Log::Events).as_str()).unwrap().to_owned()
            };
            assert_eq!(files.iter().map(rows).collect::<String>(), whole(format, &events));
        }
    }

    #[test]
    fn what_was_gathered_when_the_hour_ends_is_in_its_file() {
        let temp = tempfile::tempdir().unwrap();
        let directory = Directory::create(temp.path()).unwrap();
        let hourly = Rotation { every: Some(Duration::from_secs(3600)), ..any_space() };
        let mut rotated = directory.rotated(Format::Json, Log::Events, hourly, START).unwrap();
        rotated.event(&sample::syn()).unwrap();
        rotated.flush();
        rotated.event(&sample::syn_ack()).unwrap();
        rotated.tick(START + Duration::from_secs(3600));
        assert_eq!(
            files(temp.path())[0].1,
            whole(Format::Json, &[sample::syn(), sample::syn_ack()])
        );
        rotated.finish(START).1.unwrap();
    }

    #[test]
    fn none_writes_nothing_and_has_no_file() {
        let temp = tempfile::tempdir().unwrap();
        let directory = Directory::create(temp.path()).unwrap();
        let mut rotated = directory.rotated(Format::None, Log::Events, any_space(), START).unwrap();
        rotated.event(&sample::syn()).unwrap();
        rotated.tick(START);
        let (counters, finished) = rotated.finish(START);
        finished.unwrap();
        assert_eq!(counters, Counters::default());
        assert!(files(temp.path()).is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..<_>::default() })]

        /// A disk that is too full for anything, and one that is not.
        #[test]
        fn every_event_is_written_lost_or_waiting(
            format in prop::sample::select(&FORMATS),
            is_full in any::<bool>(),
            bytes in prop::option::of(200..20_000_u64),
            compression in prop::option::of(1..3_i32),
            steps in prop::collection::vec((0..400_usize, 0..9_u64, any::<bool>()), 0..12),
        ) {
            let temp = tempfile::tempdir().unwrap();
            let directory = Directory::create(temp.path()).unwrap();
            let min_free_bytes = if is_full { u64::MAX } else { 0 };
            let buffer_bytes = 100_000;
            let rotation =
                Rotation { bytes, compression, min_free_bytes, buffer_bytes, ..any_space() };
            let mut rotated = directory.rotated(format, Log::Events, rotation, START).unwrap();
            let kinds = [sample::syn(), sample::invalid(), sample::suppressed(), sample::plain_v6()];
            let (mut now, mut events) = (START, 0);
            for (count, seconds, is_flushed) in steps {
                for number in 0..count {
                    rotated.event(&kinds[number % kinds.len()]).unwrap();
                }
                rotated.gap(&sample::gap()).unwrap();
                events += count as u64 + 1;
                if is_flushed {
                    rotated.flush();
                }
                now = now + Duration::from_secs(seconds);
                rotated.tick(now);
                prop_assert!(rotated.counters().balance(), "{:?}", rotated.counters());
            }
            let omitted = rotated.omitted();
            let (counters, finished) = rotated.finish(now);
            prop_assert_eq!(counters.accepted, events - omitted);
            prop_assert_eq!(finished.is_err(), is_full && counters.lost > 0);
            let read: usize = fs::read_dir(temp.path())
                .unwrap()
                .map(|entry| fs::read(entry.unwrap().path()).unwrap())
                .map(|bytes| if compression.is_some() { unpacked(&bytes) } else { bytes })
                .map(|bytes| String::from_utf8(bytes).unwrap())
                .map(|text| text.strip_prefix(format.head(Log::Events).as_str()).unwrap().lines().count())
                .sum();
            prop_assert_eq!(read as u64, counters.rows);
            prop_assert_eq!(counters.rows == 0, is_full || counters.accepted == 0);
        }
    }

    fn unpacked(bytes: &[u8]) -> Vec<u8> {
        zstd::decode_all(bytes).unwrap()
    }
}
