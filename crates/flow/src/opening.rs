//! How a connection begins: with a SYN, or in mid-stream.

use vtap_packet::Timestamp;

use crate::cold::Cold;
use crate::connection::Connection;
use crate::event::Side;
use crate::flow::{Flow, Life, Rules, Taken};
use crate::key::End;
use crate::martian;
use crate::reason::Reason;
use crate::segment::Segment;
use crate::state::Kind;
use crate::trace::Trace;
use crate::verdict::{Outcome, StateAfter, Verdict};

/// A connection was opened by a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened {
    /// In place of an earlier one with the same addresses and ports.
    pub(crate) again: bool,
    pub(crate) midstream: bool,
}

impl Flow {
    /// Takes a segment of a flow without connection.
    pub(crate) fn open(
        &mut self,
        cold: &mut Cold,
        now: Timestamp,
        from: End,
        segment: &Segment,
        rules: &Rules,
    ) -> Taken {
        let connection = match segment.kind {
            Kind::Syn => Connection::open(now, segment, &mut self.deadline),
            Kind::Ack if rules.pickup || rules.warming_up && self.packets_from(from) <= 1 => {
                Connection::pick_up(now, segment, &mut self.deadline)
            }
            kind => {
                self.connection = None;
                if kind == Kind::SynAck {
                    self.client = from.other();
                }
                return Taken::refused(Reason::NoState, StateAfter::None);
            }
        };
        let (src, dst) = (self.key.socket(from).ip(), self.key.socket(from.other()).ip());
        let keep = !(rules.drop_martians && martian::is_martian(src, dst));
        let after = if keep { StateAfter::In(connection.state) } else { StateAfter::None };
        self.connection = Some(connection).filter(|_| keep);
        let opened = self.begin(cold, now, from, segment.kind == Kind::Ack);
        Taken {
            outcome: Outcome::new(Verdict::New, after),
            row: cold.trace.accepted(&mut self.marks, Side::Client, segment, None, after),
            opened: Some(opened),
            found: None,
        }
    }

    /// Takes a refused segment of a flow whose other side is not mirrored: whatever that side did
    /// to allow it was not seen.
    pub(crate) fn take_translated(
        &mut self,
        cold: &mut Cold,
        now: Timestamp,
        from: End,
        segment: &Segment,
        rules: &Rules,
    ) -> Taken {
        let mut opened = None;
        if self.connection.is_some() {
            self.resume(cold, now);
        } else if segment.kind != Kind::SynAck {
            let ack = segment.as_ack();
            self.connection = Some(Connection::pick_up(now, &ack, &mut self.deadline));
            opened = Some(self.begin(cold, now, from, true));
        }
        let taken = self.take(cold, now, from, segment, rules);
        match taken.outcome.verdict {
            Verdict::Invalid(_) => {
                let outcome = Outcome::new(Verdict::New, self.state());
                Taken { outcome, row: None, opened, found: None }
            }
            _ => Taken { opened: opened.or(taken.opened), ..taken },
        }
    }

    /// What a connection was before, if it had any, is over.
    fn begin(&mut self, cold: &mut Cold, now: Timestamp, client: End, midstream: bool) -> Opened {
        self.client = client;
        cold.trace = Trace::NEW;
        cold.since = now;
        self.marks = self.marks.of_flow();
        let again = std::mem::replace(&mut self.life, Life::Opened) == Life::Opened;
        Opened { again, midstream }
    }
}
