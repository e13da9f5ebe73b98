//! The virtual-network flow log, version 4, in files laid out as the cloud's blobs.
//!
//! ```text
//! vnet-flow-log/insights-logs-flowlogflowevent/flowLogResourceID=/{SUBSCRIPTION}_{GROUP}/
//!     {NETWORKWATCHER}_{FLOWLOG}/y=2025/m=12/d=01/h=00/m=00/macAddress=00224871C205/PT1H.json
//! ```
//!
//! One file for each network card and hour, one record in it for each minute in which something
//! was told of flows of that card. Microsoft documents the record in `vnet-flow-logs-overview`,
//! path and blocks in `flow-logs-read`.
//!
//! What packets cannot tell: the rule that let a flow pass (`aclID` and `rule` are the cloud's own
//! `unspecified`) and flows that were refused (there is no state `D`). A flow without a network
//! card is logged under a card of zeros, so that nothing is missing from the sums.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use vtap_flow::Record;
use vtap_flow::record::Phase;
use vtap_networks::Description;
use vtap_packet::{Mac, Timestamp};

use crate::begun::Begun;
use crate::place::Place;
use crate::tuple::{self, State};
use crate::{Error, Ids, blob};

/// Tuples that are gathered at most until they are written, in bytes. A minute that has more of
/// them is written in more than one record.
pub const GATHERED_BYTES: usize = 16 << 20;

/// In minutes. A record told this long before another is no straggler: time was set back.
const STRAGGLING: u64 = 60;

/// Directory that is made in the one given; below it, containers as in the cloud.
pub const DIRECTORY: &str = "vnet-flow-log";

/// Writes the flow log.
///
/// Time is that at which records are told. Once it has passed the end of a minute, the tuples of
/// the minute are in their files, on the disk. A record told earlier than the one before it goes
/// to the minute in which it was told.
#[derive(Debug)]
pub struct VnetFlowLog {
    place: Place,
    container: PathBuf,
    draft: PathBuf,
    /// A record, from the time to the card, and from the card to the tuples.
    head: [String; 2],
    begun: Begun,
    /// Minutes since 1970 of the latest record, or of the latest tick.
    minute: u64,
    gathered: BTreeMap<(Mac, u64), Tuples>,
    gathered_bytes: usize,
    /// The last attempt to write has failed; the next is made when a minute is over.
    failed: bool,
    counters: Counters,
}

/// Those of a card and a minute.
#[derive(Debug, Default)]
struct Tuples {
    /// Elements of a JSON array.
    text: String,
    count: u64,
}

/// What became of the tuples: `tuples = written + gathered + lost`, the gathered ones being zero
/// after [`finish`](VnetFlowLog::finish).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Tuples made of records of flows.
    pub tuples: u64,
    /// Tuples that are in files.
    pub written: u64,
    /// Tuples dropped, because the disk refused what was gathered before.
    pub lost: u64,
    /// Records that were added to files: one for each card and minute.
    pub records: u64,
}

impl VnetFlowLog {
    /// Writes below `directory`, and goes on in the files that an earlier run has left there.
    ///
    /// # Errors
    ///
    /// When the directory cannot be made, another process writes there, or one of the names cannot
    /// be part of a path (`InvalidInput`).
    pub fn open(directory: impl AsRef<Path>, ids: &Ids) -> Result<Self, Error> {
        let path = directory.as_ref().join(DIRECTORY);
        let own = ids.directory().map_err(Error::at(&path))?;
        let place = Place::take(path)?;
        let container = place.path.join(CONTAINER).join("flowLogResourceID=").join(own);
        // Outside the container, which has nothing that the cloud's has not.
        let draft = place.path.join("PT1H.json.partial");
        blob::discard(&draft)?;
        let log = Self {
            place,
            container,
            draft,
            head: head(ids),
            begun: Begun::default(),
            minute: 0,
            gathered: BTreeMap::new(),
            gathered_bytes: 0,
            failed: false,
            counters: Counters::default(),
        };
        Ok(log)
    }

    /// Takes what is told of a flow.
    ///
    /// # Errors
    ///
    /// When tuples of an earlier minute could not be written. They stay gathered and are tried
    /// again, and so is this one; beyond [`GATHERED_BYTES`] new ones are counted as lost.
    pub fn record(&mut self, record: &Record, description: &Description) -> Result<(), Error> {
        let minute = record.told.secs() / 60;
        let advanced = self.advance(minute);
        let is_first = self.begun.is_first(record);
        let state = match record.phase {
            Phase::Begin => None,
            Phase::Continue => Some(State::Continue),
            Phase::End(_) => Some(State::End),
        };
        let states = is_first.then_some(State::Begin).into_iter().chain(state);
        let mac = description.nic.unwrap_or(NO_CARD);
        for state in states {
            self.counters.tuples += 1;
            if self.failed && self.gathered_bytes >= GATHERED_BYTES {
                self.counters.lost += 1;
                continue;
            }
            let tuples = self.gathered.entry((mac, minute)).or_default();
            let before = tuples.text.len();
            tuple::push(&mut tuples.text, record, description.direction, state);
            tuples.count += 1;
            self.gathered_bytes += tuples.text.len() - before;
        }
        if self.gathered_bytes >= GATHERED_BYTES && !self.failed {
            return self.flush();
        }
        advanced
    }

    /// Says that packet time has come to `now`, whether there were flows or not.
    ///
    /// # Errors
    ///
    /// As [`record`](Self::record).
    pub fn tick(&mut self, now: Timestamp) -> Result<(), Error> {
        self.advance(now.secs() / 60)
    }

    /// Writes what is gathered, as at the end of a minute.
    ///
    /// # Errors
    ///
    /// As [`record`](Self::record); it may be called again.
    pub fn finish(&mut self) -> Result<(), Error> {
        self.flush()
    }

    /// What became of the tuples so far.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// The directory that it makes and writes to.
    pub fn directory(&self) -> &Path {
        &self.place.path
    }

    fn advance(&mut self, minute: u64) -> Result<(), Error> {
        let is_straggler = minute <= self.minute && self.minute - minute < STRAGGLING;
        if is_straggler {
            return Ok(());
        }
        self.minute = minute;
        self.flush()
    }

    fn flush(&mut self) -> Result<(), Error> {
        let flushed = self.write();
        self.failed = flushed.is_err();
        flushed
    }

    fn write(&mut self) -> Result<(), Error> {
        while let Some(&(mac, minute)) = self.gathered.keys().next() {
            let hour = minute / 60;
            let mut records = String::new();
            let (mut minutes, mut count, mut bytes) = (Vec::new(), 0, 0);
            let of_hour = (mac, hour * 60)..(mac, (hour + 1) * 60);
            for (&(_, minute), tuples) in self.gathered.range(of_hour) {
                self.push(&mut records, mac, minute, &tuples.text);
                minutes.push(minute);
                count += tuples.count;
                bytes += tuples.text.len();
            }
            let path = self.container.join(blob_name(mac, hour));
            blob::append(&path, &self.draft, &records)?;
            self.counters.written += count;
            self.counters.records += minutes.len() as u64;
            self.gathered_bytes -= bytes;
            for minute in minutes {
                self.gathered.remove(&(mac, minute));
            }
        }
        Ok(())
    }

    fn push(&self, out: &mut String, mac: Mac, minute: u64, tuples: &str) {
        let [to_card, to_tuples] = &self.head;
        let comma = if out.is_empty() { "" } else { "," };
        // When it is logged: the last moment of the minute, which is in the hour of the file.
        let time = cloud_time(Timestamp::new(minute * 60 + 59, 999_999_999));
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            r#"{comma}{{"time":"{time}",{to_card}"{}"{to_tuples}{tuples}]}}]}}]}}}}"#,
            digits(mac)
        );
    }
}

const CONTAINER: &str = "insights-logs-flowlogflowevent";

/// Stands for the network card of flows that have none.
const NO_CARD: Mac = Mac([0; 6]);

/// What is the same in every record: version and GUID up to the card, the rest up to the tuples.
fn head(ids: &Ids) -> [String; 2] {
    let json = |text: &str| serde_json::Value::from(text).to_string();
    [
        format!(r#""flowLogVersion":4,"flowLogGUID":{},"macAddress":"#, json(&ids.guid)),
        format!(
            r#","category":"FlowLogFlowEvent","flowLogResourceID":{},"targetResourceID":{},"operationName":"FlowLogFlowEvent","flowRecords":{{"flows":[{{"aclID":"{UNSPECIFIED}","flowGroups":[{{"rule":"{UNSPECIFIED}","flowTuples":["#,
            json(&ids.flow_log_resource()),
            json(&ids.target_resource),
        ),
    ]
}

/// The cloud's word where no rule has let a flow pass, or refused it.
const UNSPECIFIED: &str = "unspecified";

fn blob_name(mac: Mac, hour: u64) -> String {
    let begin = Timestamp::new(hour * 3600, 0);
    let (year, month, day) = begin.date();
    format!(
        "y={year:04}/m={month:02}/d={day:02}/h={:02}/m=00/macAddress={}/PT1H.json",
        hour % 24,
        digits(mac)
    )
}

/// `00224871C205`.
fn digits(mac: Mac) -> String {
    let [a, b, c, d, e, g] = mac.0;
    format!("{a:02X}{b:02X}{c:02X}{d:02X}{e:02X}{g:02X}")
}

/// As the cloud writes time: RFC 3339 with seven digits. What is finer is cut off.
pub(crate) fn cloud_time(time: Timestamp) -> String {
    let mut text = time.to_string();
    text.truncate("2025-12-01T00:00:00.0000000".len());
    text + "Z"
}
