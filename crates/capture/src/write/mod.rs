//! Capture files out.
//!
//! The writers hand every header and packet on as it comes: give them memory, or something
//! [`buffered`], whose errors show at a later write or at `finish`. After an error the file ends in
//! a cut packet.

mod frames;
mod pcap;
mod pcapng;

use std::io::{BufWriter, Write};

pub use frames::{Format, Frames, MAX_INTERFACES};
pub use pcap::PcapWriter;
pub use pcapng::PcapngWriter;

/// Gathers 1 MiB before the system is asked to write.
pub fn buffered<W: Write>(out: W) -> BufWriter<W> {
    BufWriter::with_capacity(1 << 20, out)
}

/// The snaplen that headers claim: libpcap's maximum, so that its readers take every packet.
const SNAPLEN: u32 = 262_144;

/// Errors of pcap-file that are not the system's own: a value that the format cannot hold.
fn io_error(error: impl std::error::Error + Send + Sync + 'static) -> std::io::Error {
    std::io::Error::other(error)
}
