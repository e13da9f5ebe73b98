//! Compressed inputs, known by their first bytes.

use std::io::{self, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

/// How an input is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// gzip (RFC 1952), members one after the other.
    Gzip,
    /// Zstandard (RFC 8878), frames one after the other.
    Zstd,
}

impl Packing {
    /// From the first bytes of an input; `None` where it is not compressed.
    pub(crate) const fn of(begins: &[u8]) -> Option<Self> {
        match begins {
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            // A frame, or a frame to skip as parallel compressors put first.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Unpacks what `packed` gives. Frames that want a window above 128 MiB are refused by zstd.
    pub(crate) fn unpack(self, packed: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
        let packed = BufReader::with_capacity(CHUNK, packed);
        Ok(match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(packed)),
            Self::Zstd => Box::new(zstd::Decoder::with_buffer(packed)?),
        })
    }
}

const CHUNK: usize = 128 << 10;
