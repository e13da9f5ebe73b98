//! What keeps an input from being read at all.

use std::io;
use std::path::PathBuf;

/// Which input, which step, and why. Damaged packets are not errors, see
/// [`Damage`](crate::Damage).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory could not be opened or listed.
    #[error("{}: cannot open: {cause}; check the name and that you may read it", path.display())]
    Open {
        /// As it was named.
        path: PathBuf,
        /// The system's answer.
        cause: io::Error,
    },
    /// Reading failed in mid-input.
    #[error("{}: cannot read past byte {offset}: {cause}; check the disk", path.display())]
    Read {
        /// As it was named.
        path: PathBuf,
        /// Bytes read before it failed.
        offset: u64,
        /// The system's answer.
        cause: io::Error,
    },
    /// The first bytes are neither those of pcap nor those of pcapng.
    #[error(
        "{}: not a capture file: begins with {begins:02x?}; pcap and pcapng are read, \
         also inside .gz and .zst", path.display()
    )]
    NotACapture {
        /// As it was named.
        path: PathBuf,
        /// The first bytes, after unpacking.
        begins: Vec<u8>,
    },
    /// A pattern that is malformed or that nothing matches.
    #[error("{pattern}: {why}; quote the pattern, or name the files")]
    Pattern {
        /// As it was typed.
        pattern: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A directory without a capture file in it.
    #[error("{}: no capture file in this directory; name the files or another directory", .0.display())]
    EmptyDirectory(PathBuf),
    /// Nothing to read from: every input failed, the first one in this way.
    #[error("no input could be opened; {first}")]
    NothingOpened {
        /// The error of the first input.
        #[source]
        first: Box<Self>,
        /// Those of the others.
        others: Vec<Self>,
    },
    /// No input was named.
    #[error("no input; name a file, a directory, or - for standard input")]
    NoInput,
    /// A live source that does not deliver.
    #[error(transparent)]
    Live(#[from] Box<Fault>),
    /// A BPF expression that does not compile.
    #[error("filter {expression:?}: {why}; see pcap-filter(7)")]
    Filter {
        /// As it was typed.
        expression: String,
        /// In the words of libpcap.
        why: String,
    },
}

/// What keeps a live source from delivering.
#[derive(Debug, thiserror::Error)]
#[error("{interface}: cannot {step}: {cause}; {remedy}")]
pub struct Fault {
    /// The interface or the socket.
    pub interface: String,
    /// What failed.
    pub step: &'static str,
    /// The system's answer.
    pub cause: io::Error,
    /// What helps.
    pub remedy: &'static str,
}

impl Error {
    /// An [`Error::Live`].
    #[cfg(feature = "live")]
    pub(crate) fn live(
        interface: impl Into<String>,
        step: &'static str,
        cause: impl Into<io::Error>,
        remedy: &'static str,
    ) -> Self {
        let (interface, cause) = (interface.into(), cause.into());
        Self::Live(Box::new(Fault { interface, step, cause, remedy }))
    }
}
