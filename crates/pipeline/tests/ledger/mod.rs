//! All that a tracker tells, in its order, and the laws of the records in it.

use std::collections::BTreeMap;
use std::convert::Infallible;

use vtap_flow::record::{Half, Phase, Traffic};
use vtap_flow::{Answer, Event, Gap, Record, Sink, Skip, Stats};

/// One thing told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    Event(Event),
    Gap(Gap),
    Record(Box<Record>),
    Answer(Answer),
}

/// What was told.
#[derive(Debug, Default)]
pub(crate) struct Ledger(pub(crate) Vec<Told>);

impl Sink for Ledger {
    type Error = Infallible;

    fn event(&mut self, event: &Event) -> Result<(), Infallible> {
        self.0.push(Told::Event(*event));
        Ok(())
    }

    fn gap(&mut self, gap: &Gap) -> Result<(), Infallible> {
        self.0.push(Told::Gap(*gap));
        Ok(())
    }

    fn record(&mut self, record: &Record) -> Result<(), Infallible> {
        self.0.push(Told::Record(Box::new(record.clone())));
        Ok(())
    }

    fn answer(&mut self, answer: &Answer) -> Result<(), Infallible> {
        self.0.push(Told::Answer(answer.clone()));
        Ok(())
    }
}

impl Ledger {
    pub(crate) fn records(&self) -> impl Iterator<Item = &Record> {
        self.0.iter().filter_map(|told| match told {
            Told::Record(record) => Some(&**record),
            _ => None,
        })
    }

    /// Asserts what holds for every run, and gives the last record of each flow.
    pub(crate) fn assert_laws(&self, stats: &Stats) -> Vec<&Record> {
        let mut last: BTreeMap<u64, (&Record, [Traffic; 2])> = BTreeMap::new();
        for record in self.records() {
            let halves = [record.to_server, record.to_client];
            let since = halves.map(|half| half.since);
            assert!(record.end >= record.start, "{record:?}");
            let none = [Traffic::default(); 2];
            match record.phase {
                Phase::Begin => assert_eq!(since, none, "{record:?}"),
                Phase::Continue => assert_ne!(since, none, "{record:?}"),
                Phase::End(_) => assert!(packets(record) > 0, "{record:?}"),
            }
            let mut sums = since;
            if let Some((before, earlier)) = last.get(&record.packet) {
                assert!(!matches!(before.phase, Phase::End(_)), "told after its end: {record:?}");
                assert_ne!(record.phase, Phase::Begin, "begun twice: {record:?}");
                let who = |record: &Record| {
                    (record.protocol, record.client, record.server, record.tunnel, record.start)
                };
                assert_eq!(who(record), who(before));
                let was = [before.to_server, before.to_client];
                assert!(was.iter().zip(&halves).all(|(was, is)| has_grown(was, is)), "{record:?}");
                assert!(record.history.as_str().len() >= before.history.as_str().len());
                for (sum, earlier) in sums.iter_mut().zip(earlier) {
                    *sum += *earlier;
                }
            } else {
                assert_ne!(record.phase, Phase::Continue, "not begun: {record:?}");
            }
            if record.phase != Phase::Begin {
                let totals = halves.map(|half| half.total);
                assert_eq!(sums, totals, "what was told adds up: {record:?}");
            }
            last.insert(record.packet, (record, sums));
        }
        let ends: Vec<_> = last.into_values().map(|(record, _)| record).collect();
        assert!(ends.iter().all(|record| matches!(record.phase, Phase::End(_))));
        let recorded = stats.recorded.unwrap();
        assert_eq!(ends.len() as u64, recorded.flows);
        let counted: u64 = ends.iter().map(|record| packets(record)).sum();
        assert_eq!((counted, counted), (recorded.packets, recorded.told));
        let skipped = [Skip::Fragment, Skip::IpChecksum];
        let skipped: u64 = skipped.into_iter().map(|skip| stats.skipped(skip)).sum();
        let readable = stats.tcp_segments + stats.other + skipped;
        assert_eq!(readable, recorded.packets + stats.unrecorded());
        ends
    }
}

fn packets(record: &Record) -> u64 {
    record.to_server.total.packets + record.to_client.total.packets
}

fn has_grown(was: &Half, is: &Half) -> bool {
    let counts = |half: &Half| {
        let Traffic { packets, bytes, payload } = half.total;
        [packets, bytes, payload, half.retransmissions.into()]
    };
    was.flags & !is.flags == 0
        && was.link.is_none_or(|link| is.link == Some(link))
        && counts(was).iter().zip(counts(is)).all(|(was, is)| *was <= is)
}
