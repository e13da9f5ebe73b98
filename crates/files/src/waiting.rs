//! Rows that are not in a file yet.

/// Whole rows in their order, each ended by a newline, and how many they are.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    rows: Vec<u8>,
    count: u64,
}

impl Waiting {
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.rows
    }

    /// Takes rows in; says how many.
    pub(crate) fn push(&mut self, rows: &[u8]) -> u64 {
        debug_assert!(rows.last().is_none_or(|byte| *byte == b'\n'), "rows are whole");
        let count = count(rows);
        self.rows.extend_from_slice(rows);
        self.count += count;
        count
    }

    /// The rows that go into a file at once: what fits into `bytes`, but one at least, and no more
    /// than up to the one that reaches `room`.
    pub(crate) fn first(&self, bytes: usize, room: Option<u64>) -> &[u8] {
        let fit = self.rows.get(..bytes).map_or(Some(self.rows.len()), last_end);
        let end = fit.unwrap_or_else(|| end_from(&self.rows, bytes));
        let rows = self.rows.get(..end).unwrap_or(&self.rows);
        match room.and_then(|room| usize::try_from(room).ok()) {
            Some(room) => rows.get(..end_from(rows, room)).unwrap_or(rows),
            None => rows,
        }
    }

    /// The first `bytes` are in a file; says how many rows that is.
    pub(crate) fn written(&mut self, bytes: usize) -> u64 {
        let gone = count(self.rows.drain(..bytes.min(self.rows.len())).as_slice());
        self.rows.shrink_to(USUAL_BYTES.max(self.rows.len()));
        self.count -= gone;
        gone
    }

    /// Drops the newest rows until the rest fits into `bytes`; says how many.
    pub(crate) fn trim(&mut self, bytes: usize) -> u64 {
        if self.rows.len() <= bytes {
            return 0;
        }
        let end = last_end(self.rows.get(..bytes).unwrap_or_default()).unwrap_or(0);
        let lost = count(self.rows.get(end..).unwrap_or_default());
        self.rows.truncate(end);
        self.count -= lost;
        lost
    }
}

/// Room that is not given back.
const USUAL_BYTES: usize = 2 << 20;

/// How many rows these are.
fn count(rows: &[u8]) -> u64 {
    rows.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}

/// Where the last whole row ends.
pub(crate) fn last_end(rows: &[u8]) -> Option<usize> {
    rows.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1)
}

/// Where the row ends that reaches to the byte before `at`, or beyond.
pub(crate) fn end_from(rows: &[u8], at: usize) -> usize {
    let at = at.saturating_sub(1);
    let rest = rows.get(at..).unwrap_or_default();
    rest.iter().position(|byte| *byte == b'\n').map_or(rows.len(), |end| at + end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_rows_go_first_and_each_goes_whole() {
        let mut waiting = Waiting::default();
        assert_eq!(waiting.push(b"1\n22\n333\n"), 3);
        assert_eq!(waiting.trim(9), 0);
        assert_eq!(waiting.trim(8), 1);
        assert_eq!((waiting.bytes(), waiting.count()), (&b"1\n22\n"[..], 2));
        assert_eq!(waiting.written(2), 1);
        assert_eq!(waiting.trim(1), 1);
        assert_eq!((waiting.bytes(), waiting.count()), (&b""[..], 0));
    }

    #[test]
    fn rows_go_to_a_file_by_the_frame_and_up_to_its_size() {
        let mut waiting = Waiting::default();
        waiting.push(b"1\n22\n333\n");
        let first = |bytes, room| waiting.first(bytes, room).len();
        assert_eq!(
            [0, 1, 2, 4, 5, 8, 9, 10].map(|bytes| first(bytes, None)),
            [2, 2, 2, 2, 5, 5, 9, 9]
        );
        assert_eq!([0, 2, 3, 5, 6, 99].map(|room| first(99, Some(room))), [2, 2, 5, 5, 9, 9]);
        assert_eq!(first(5, Some(99)), 5);
    }

    #[test]
    fn a_cut_is_behind_the_row_that_reaches_it() {
        let rows = b"1\n22\n333\n";
        let ends = [0, 1, 2, 3, 4, 5, 6, 9, 10, 99].map(|at| end_from(rows, at));
        assert_eq!(ends, [2, 2, 2, 5, 5, 5, 9, 9, 9, 9]);
        assert_eq!(last_end(&rows[..8]), Some(5));
        assert_eq!(last_end(b"1"), None);
    }
}
