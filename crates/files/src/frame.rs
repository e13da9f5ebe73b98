//! Rows packed with zstd (RFC 8878), many independent frames to a file.
//!
//! Each frame is whole in itself and ends with a row, so a file can be cut behind any of them, and
//! `zstd -dc` reads as far as it goes.

use std::fmt;
use std::io::{self, Read};

use zstd::bulk::Compressor;
use zstd::stream::raw::{Decoder, Operation};
use zstd::zstd_safe::compress_bound;

/// Packs rows, one frame each time.
pub(crate) struct Packer {
    compressor: Compressor<'static>,
    frame: Vec<u8>,
}

/// Rows of a full frame. Smaller ones come of flushing.
pub(crate) const FRAME_BYTES: usize = 1 << 20;

impl Packer {
    pub(crate) fn new(level: i32) -> io::Result<Self> {
        let mut compressor = Compressor::new(level)?;
        compressor.include_checksum(true)?;
        Ok(Self { compressor, frame: Vec::new() })
    }

    /// The frame that holds `rows`.
    pub(crate) fn pack(&mut self, rows: &[u8]) -> io::Result<&[u8]> {
        self.frame.clear();
        self.frame.reserve(compress_bound(rows.len()));
        self.compressor.compress_to_buffer(rows, &mut self.frame)?;
        Ok(&self.frame)
    }
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packer").finish_non_exhaustive()
    }
}

/// Where the last frame ends that is whole and has the right checksum, as have all before it.
///
/// Unpacks everything: about a second for each gigabyte of rows.
pub(crate) fn last_end(mut file: impl Read) -> io::Result<u64> {
    let mut decoder = Decoder::new()?;
    let (mut packed, mut rows) = (vec![0; BLOCK_BYTES], vec![0; BLOCK_BYTES]);
    let (mut at, mut end) = (0, 0);
    loop {
        let read = match file.read(&mut packed) {
            Ok(0) => return Ok(end),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let mut rest = packed.get(..read).unwrap_or_default();
        loop {
            // What is damaged ends the file.
            let Ok(status) = decoder.run_on_buffers(rest, &mut rows) else { return Ok(end) };
            rest = rest.get(status.bytes_read..).unwrap_or_default();
            at += status.bytes_read as u64;
            if status.remaining == 0 {
                end = at;
            }
            let is_drained = status.remaining == 0 || status.bytes_written < rows.len();
            if rest.is_empty() && is_drained {
                break;
            }
            if status.bytes_read == 0 && status.bytes_written == 0 {
                return Ok(end);
            }
        }
    }
}

const BLOCK_BYTES: usize = 128 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_ends_with_its_last_whole_frame_wherever_it_is_cut() {
        let mut packer = Packer::new(3).unwrap();
        let mut file = Vec::new();
        let mut ends = vec![0];
        for number in 0..5_usize {
            let row = format!("row {number}\n").repeat(1 + 40_000 * (number % 2));
            file.extend_from_slice(packer.pack(row.as_bytes()).unwrap());
            ends.push(file.len());
        }
        for cut in 0..=file.len() {
            let end = ends.iter().rfind(|end| **end <= cut).unwrap();
            assert_eq!(last_end(&file[..cut]).unwrap(), *end as u64, "{cut}");
        }
        // One byte that is wrong, in the third frame.
        file[ends[2] + 12] ^= 1;
        assert_eq!(last_end(&file[..]).unwrap(), ends[2] as u64);
    }
}
