//! How many INVALID rows are written.
//!
//! Every INVALID packet is counted; a flow writes its first few as rows and the rest as one row
//! when it ends. Packets that belong to no flow, because the table has no room for one, share a
//! limit for each minute.

use crate::cold::Cold;
use crate::event::Event;
use crate::limits;

impl Cold {
    /// Takes an INVALID row and gives it back if it is to be written now.
    pub(crate) fn limit(&mut self, row: Event, limit: u32) -> Option<Event> {
        if self.invalid_rows < limit {
            self.invalid_rows += 1;
            return Some(row);
        }
        let suppressed = self.suppressed.as_ref().map_or(0, |last| last.suppressed) + 1;
        let row = Event { suppressed, ..row };
        match &mut self.suppressed {
            Some(last) => **last = row,
            none => *none = Some(Box::new(row)),
        }
        None
    }
}

/// The limit for rows without a flow.
#[derive(Debug, Default)]
pub(crate) struct FlowlessRows {
    /// The first row of the span.
    first: Option<Event>,
    rows: u32,
    suppressed: Option<Event>,
}

impl FlowlessRows {
    /// Takes an INVALID row and gives back what is to be written now: the sum of the span before,
    /// where one has ended, and this row.
    pub(crate) fn limit(&mut self, row: Event, limit: u32) -> [Option<Event>; 2] {
        let fresh =
            self.first.is_none_or(|first| row.time.since(first.time) >= limits::FLOWLESS_ROWS);
        let sum = if fresh { self.finish() } else { None };
        if fresh {
            self.first = Some(row);
        }
        if self.rows < limit {
            self.rows += 1;
            return [sum, Some(row)];
        }
        let suppressed = self.suppressed.map_or(0, |last| last.suppressed) + 1;
        self.suppressed = Some(Event { suppressed, ..row });
        [sum, None]
    }

    /// The sum of what was not written.
    pub(crate) fn finish(&mut self) -> Option<Event> {
        self.rows = 0;
        self.suppressed.take()
    }
}
