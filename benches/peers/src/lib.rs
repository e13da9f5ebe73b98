//! A pcap file, mapped and walked: each record's header is read, and nothing else of it.

use std::io;
use std::path::Path;
use std::time::Duration;

use filebuffer::FileBuffer;

const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;

/// A mapped capture, in this machine's byte order.
#[derive(Debug)]
pub struct Capture {
    bytes: FileBuffer,
    /// What a unit of the fraction of a second is worth.
    nanos: u32,
}

impl Capture {
    /// Maps a file.
    ///
    /// # Errors
    ///
    /// If it cannot be mapped, or is another format.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let bytes = FileBuffer::open(path)?;
        let nanos = match word(&bytes) {
            Some(0xa1b2_c3d4) => 1000,
            Some(0xa1b2_3c4d) => 1,
            _ => return Err(io::Error::other("not a pcap file in this machine's byte order")),
        };
        Ok(Self { bytes, nanos })
    }

    /// Time and bytes of each packet, to the end of the file or to a record that is cut.
    pub fn packets(&self) -> impl Iterator<Item = (Duration, &[u8])> {
        let mut rest = self.bytes.get(FILE_HEADER..).unwrap_or_default();
        std::iter::from_fn(move || {
            let (header, behind) = rest.split_at_checked(RECORD_HEADER)?;
            let len = word(header.get(8..)?)? as usize;
            let (packet, behind) = behind.split_at_checked(len)?;
            rest = behind;
            let seconds = u64::from(word(header)?);
            Some((
                Duration::new(seconds, word(header.get(4..)?)?.saturating_mul(self.nanos)),
                packet,
            ))
        })
    }
}

#[inline]
fn word(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|word| u32::from_ne_bytes(*word))
}
