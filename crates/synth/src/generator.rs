//! Slots, of which a random one sends next.

use std::io::{self, Write};

use vtap_packet::Timestamp;

use crate::config::{Config, ConfigError};
use crate::connection::{Connection, Habits};
use crate::endpoints::Endpoints;
use crate::random::{Random, Share};
use crate::record::{FILE_HEADER, Record};

/// Makes the capture of a [`Config`], record by record.
///
/// [`write_capture`](Self::write_capture) writes all of it. For anything else there are
/// [`FILE_HEADER`](Self::FILE_HEADER) and then [`next_record`](Self::next_record).
#[derive(Debug)]
pub struct Generator {
    packets: u64,
    rate: u64,
    loss: Share,
    habits: Habits,
    random: Random,
    slots: Vec<Connection>,
    record: Record,
    written: Written,
}

/// What was made so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Packets in the capture.
    pub packets: u64,
    /// Bytes of these packets, without the headers of file and records.
    pub bytes: u64,
    /// Packets that the mirror lost.
    pub lost: u64,
    /// Connections that were opened: their SYN was sent, whether or not the mirror lost it.
    pub connections: u64,
    /// Of these, the ones that have sent their last segment. The others are open when the capture
    /// ends, as many as there are slots at most.
    pub completed: u64,
}

/// 2026-01-01T00:00:00Z.
const FIRST_SECOND: u64 = 1_767_225_600;

impl Generator {
    /// Header of the capture file: pcap, little-endian, nanoseconds, Ethernet.
    pub const FILE_HEADER: [u8; 24] = FILE_HEADER;

    /// Length of the header of each record.
    pub const RECORD_HEADER_LEN: usize = crate::record::RECORD_HEADER;

    /// With nothing made yet. Takes 40 bytes for each flow.
    ///
    /// # Errors
    ///
    /// There is no such capture.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.validate()?;
        let mut random = Random::new(config.seed);
        let slots = (0..config.flows.into()).map(|number| Connection::new(number, &mut random));
        Ok(Self {
            packets: config.packets,
            rate: config.rate.into(),
            loss: Share::of(config.loss),
            habits: Habits::of(&config),
            slots: slots.collect(),
            random,
            record: Record::new(),
            written: Written::default(),
        })
    }

    /// What was made so far.
    pub const fn written(&self) -> Written {
        self.written
    }

    /// The next record, header and frame; `None` when the capture has its packets.
    pub fn next_record(&mut self) -> Option<&[u8]> {
        if self.written.packets == self.packets {
            return None;
        }
        while !self.send()? {}
        Some(self.record.bytes())
    }

    /// Sends one segment; whether the mirror has it.
    fn send(&mut self) -> Option<bool> {
        let flows = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        let slot = self.random.below(flows) as usize;
        let connection = self.slots.get_mut(slot)?;
        let number = connection.number;
        self.written.connections += u64::from(connection.is_new());
        let segment = connection.segment(&self.habits, &mut self.random);
        if connection.is_closed() {
            self.written.completed += 1;
            // The first numbers belong to the slots.
            let next = u64::from(flows) + self.written.completed - 1;
            *connection = Connection::new(next, &mut self.random);
        }

        let sent = self.written.packets + self.written.lost;
        if self.random.hits(self.loss) {
            self.written.lost += 1;
            return Some(false);
        }
        let endpoints = Endpoints::of(number);
        self.record.write(self.time(sent), (sent & 0xffff) as u16, &endpoints, &segment);
        self.written.packets += 1;
        self.written.bytes += (self.record.bytes().len() - Self::RECORD_HEADER_LEN) as u64;
        Some(true)
    }

    /// Of the packet before which so many were sent. A second is never rounded: packet `rate` of
    /// it begins the next one.
    const fn time(&self, sent: u64) -> Timestamp {
        let of_second = sent % self.rate * 1_000_000_000 / self.rate;
        Timestamp::new(FIRST_SECOND + sent / self.rate, of_second)
    }

    /// Writes the whole capture, or the rest of it behind a header of its own. Each record is one
    /// `write`, so a file wants a buffer.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn write_capture(&mut self, out: &mut impl Write) -> io::Result<Written> {
        out.write_all(&Self::FILE_HEADER)?;
        while let Some(record) = self.next_record() {
            out.write_all(record)?;
        }
        Ok(self.written)
    }
}
