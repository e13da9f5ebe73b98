//! Capture files out.
//!
//! Packets go through a buffer of 1 MiB, so an error of the disk shows at a later write, or at
//! `finish`, without which it may not show at all. After an error the file ends in a cut packet.

mod pcap;
mod pcapng;

pub use pcap::PcapWriter;
pub use pcapng::PcapngWriter;

/// Bytes gathered before the system is asked to write.
const BUFFER: usize = 1 << 20;

/// The snaplen that headers claim: libpcap's maximum, so that its readers take every packet.
const SNAPLEN: u32 = 262_144;

/// Errors of pcap-file that are not the system's own: a value that the format cannot hold.
fn io_error(error: impl std::error::Error + Send + Sync + 'static) -> std::io::Error {
    std::io::Error::other(error)
}
