//! Which flows a log has told the begin of.

use std::collections::BTreeSet;

use vtap_flow::Record;
use vtap_flow::record::Phase;

/// Tells the first record of each flow from those that follow.
///
/// Only flows are kept of which nothing but the begin was told, which is so for five minutes: the
/// counts of a later record show that there was one before.
#[derive(Debug, Default)]
pub(crate) struct Begun(BTreeSet<u64>);

impl Begun {
    /// Whether the log has to tell of the begin of this flow now.
    pub(crate) fn is_first(&mut self, record: &Record) -> bool {
        match record.phase {
            Phase::Begin => self.0.insert(record.packet),
            Phase::Continue | Phase::End(_) => {
                let all = |half: &vtap_flow::record::Half| half.since == half.total;
                all(&record.to_server) && all(&record.to_client) && !self.0.remove(&record.packet)
            }
        }
    }
}
