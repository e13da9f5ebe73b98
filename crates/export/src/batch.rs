//! Rows on their way to a writer.

use std::fmt;
use std::io::{self, Write};

use crate::community::Ids;

/// Gathers rows and writes them many at a time.
pub(crate) struct Batch<W> {
    rows: Vec<u8>,
    gathered: u64,
    ids: Ids,
    writer: W,
}

/// A batch that reaches this size goes out. It fits into what a core has for itself of the caches,
/// and the kernel takes a file in larger pieces than from smaller batches.
const BATCH_BYTES: usize = 256 * 1024;

/// Room for the row that fills a batch.
const ROW_BYTES: usize = 4 * 1024;

impl<W: Write> Batch<W> {
    /// A batch for `writer` that begins with `head`, the headings of a format that has them.
    pub(crate) fn new(writer: W, head: &str) -> Self {
        let mut rows = Vec::with_capacity(BATCH_BYTES + ROW_BYTES);
        rows.extend_from_slice(head.as_bytes());
        Self { rows, gathered: 0, ids: Ids::default(), writer }
    }

    /// Takes the row that `put` appends; an id for which it leaves room is written later.
    pub(crate) fn row(&mut self, put: impl FnOnce(&mut Vec<u8>, &mut Ids)) -> io::Result<()> {
        put(&mut self.rows, &mut self.ids);
        self.gathered += 1;
        if self.rows.len() >= BATCH_BYTES { self.write() } else { Ok(()) }
    }

    /// How many rows have not gone out.
    pub(crate) const fn gathered(&self) -> u64 {
        self.gathered
    }

    pub(crate) const fn writer(&self) -> &W {
        &self.writer
    }

    pub(crate) const fn writer_mut(&mut self) -> &mut W {
        &mut self.writer
    }

    /// Writes what is there and flushes the writer.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.write()?;
        self.writer.flush()
    }

    /// Flushes and hands the writer back.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.flush()?;
        Ok(self.writer)
    }

    fn write(&mut self) -> io::Result<()> {
        self.ids.fill(&mut self.rows);
        let written = self.writer.write_all(&self.rows);
        // After an error too: nobody knows how much of it went out.
        self.rows.clear();
        self.gathered = 0;
        written
    }
}

impl<W> fmt::Debug for Batch<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("bytes", &self.rows.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps what each write brought.
    #[derive(Default)]
    struct Writes(Vec<Vec<u8>>);

    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_batch_goes_out_and_ends_with_a_row() {
        let mut batch = Batch::new(Writes::default(), "");
        for _ in 0..4000 {
            batch
                .row(|rows, _| rows.extend_from_slice(&[b"x".repeat(99), b"\n".to_vec()].concat()))
                .unwrap();
        }
        let sizes: Vec<usize> = batch.finish().unwrap().0.iter().map(Vec::len).collect();
        assert_eq!(sizes, [262_200, 137_800]);
    }

    #[test]
    fn a_broken_pipe_comes_back_as_it_is_and_the_batch_is_gone() {
        struct Closed(usize);
        impl Write for Closed {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 += bytes.len();
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut batch = Batch::new(Closed(0), "");
        batch.row(|rows, _| rows.extend_from_slice(b"row\n")).unwrap();
        assert_eq!(batch.flush().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(batch.finish().unwrap().0, 4);
    }
}
