//! What could not be read.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A place in an input where bytes could not be read as packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file, as it was named; `-` is standard input.
    pub file: Arc<Path>,
    /// Where it begins, in bytes from the start of the file; of a compressed file, in bytes of
    /// what it unpacks to.
    pub offset: u64,
    /// Bytes passed over before reading went on; 0 where only a detail was lost.
    pub skipped: u64,
    /// What was wrong.
    pub kind: Kind,
}

impl Damage {
    /// Places listed for each file; a file of garbage has its further ones only counted.
    pub const LISTED: usize = 100;

    /// Whether the input merely ends inside a packet, as a capture does whose writer was killed.
    /// That is normal: everything before the cut was read.
    pub fn is_cut(&self) -> bool {
        self.kind == Kind::Cut
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, offset, skipped, kind } = self;
        write!(f, "{}: byte {offset}: {kind}", file.display())?;
        if *skipped > 0 { write!(f, "; {skipped} bytes passed over") } else { Ok(()) }
    }
}

/// Kinds of damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The input ends inside a header, a packet, or a compressed stream.
    Cut,
    /// pcap: a record that claims more bytes than a packet can have, or than there are.
    RecordLength(u32),
    /// pcap: a record header that contradicts itself, and no other record where it ends.
    RecordHeader,
    /// pcap: zeros in place of a record header, as a crashed machine leaves them.
    Zeros,
    /// pcapng: a block length that no block of this type can have, or that the file does not hold.
    BlockLength(u32),
    /// pcapng: the length behind a block is not the one before it. The block was read all the
    /// same if another one begins where it ends.
    BlockTrailer {
        /// The length before the block.
        leading: u32,
        /// The length behind it.
        trailing: u32,
    },
    /// pcapng: a section header whose byte-order mark is none, or a block before any section.
    ByteOrder,
    /// pcapng: a packet of an interface that the section did not describe.
    UnknownInterface(u32),
    /// pcapng: more interfaces in one file than are read.
    TooManyInterfaces,
    /// pcapng: a packet longer than its block.
    PacketLength {
        /// The length the packet claims, in bytes.
        captured: u32,
        /// What its block has room for, in bytes.
        room: usize,
    },
    /// pcapng: options of an interface that run past their block. Those before were read.
    Options,
    /// Compressed bytes that do not unpack, in the words of the decoder. The rest is lost.
    Compression(String),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => f.write_str("the input ends early"),
            Self::RecordLength(claims) => write!(f, "a record claims {claims} bytes"),
            Self::RecordHeader => f.write_str("a record header contradicts itself"),
            Self::Zeros => f.write_str("zeros where a record should be"),
            Self::BlockLength(claims) => write!(f, "a block claims {claims} bytes"),
            Self::BlockTrailer { leading, trailing } => {
                write!(f, "a block begins with length {leading} and ends with {trailing}")
            }
            Self::ByteOrder => f.write_str("a section without a byte-order mark"),
            Self::UnknownInterface(id) => write!(f, "a packet of interface {id}, which is unknown"),
            Self::TooManyInterfaces => f.write_str("too many interfaces"),
            Self::PacketLength { captured, room } => {
                write!(f, "a packet claims {captured} bytes in a block with room for {room}")
            }
            Self::Options => f.write_str("options run past the end of their block"),
            Self::Compression(why) => write!(f, "compressed data does not unpack: {why}"),
        }
    }
}

/// The damage of one input, or of a merge of several.
#[derive(Debug)]
pub(crate) struct Log {
    file: Arc<Path>,
    listed: Vec<Damage>,
    room: usize,
    unlisted: u64,
}

impl Log {
    pub(crate) fn new(file: Arc<Path>) -> Self {
        Self { file, listed: Vec::new(), room: Damage::LISTED, unlisted: 0 }
    }

    #[cold]
    pub(crate) fn push(&mut self, offset: u64, skipped: u64, kind: Kind) {
        if self.room == 0 {
            self.unlisted += 1;
            return;
        }
        self.room -= 1;
        self.listed.push(Damage { file: Arc::clone(&self.file), offset, skipped, kind });
    }

    /// Takes over what `other` has listed; its limit stays its own.
    pub(crate) fn absorb(&mut self, other: &mut Self) {
        self.unlisted += std::mem::take(&mut other.unlisted);
        self.listed.append(&mut other.listed);
    }

    pub(crate) fn listed(&self) -> &[Damage] {
        &self.listed
    }

    pub(crate) const fn unlisted(&self) -> u64 {
        self.unlisted
    }
}
