//! What can be typed for `vtap capture`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use clap::{Args, ValueEnum};
#[cfg(feature = "live")]
use vtap_capture::live::Kind;
use vtap_capture::write::Format;
use vtap_recorder::limits;
use vtap_recorder::{Filters, Limits, Ring};

use super::{Envelope, SummaryTo, seconds};

#[derive(Debug, Args)]
pub(crate) struct Capture {
    #[cfg(feature = "live")]
    #[command(flatten)]
    pub(crate) live: Live,

    /// Run the session on captures instead, with their time for the clock: what replay reads
    #[arg(long, value_name = "FILE", num_args = 1.., help_heading = "Source")]
    #[cfg_attr(not(feature = "live"), arg(required = true))]
    pub(crate) read: Vec<PathBuf>,

    /// Also record packets that are not mirrored, as they are
    #[arg(long, help_heading = "Source")]
    pub(crate) plain: bool,

    #[command(flatten)]
    pub(crate) envelope: Envelope,

    /// Record only packets that match; may be repeated, one has to match. Keys are protocol (TCP,
    /// UDP, ICMP, Any), localIPAddress, localPort, remoteIPAddress, remotePort; local is the
    /// mirrored machine. A value, a range a-b, a subnet, or a list with ; between. Also as JSON
    #[arg(long = "filter", value_name = "KEY=VALUE,...", help_heading = "Session")]
    pub(crate) filters: Vec<Filters>,

    /// Bytes kept of each packet, 0 for all; 34 has Ethernet and IPv4 headers
    #[arg(long, value_name = "BYTES", default_value = "0", value_parser = bytes_of_packet,
          help_heading = "Session")]
    bytes_per_packet: u32,

    /// Stop before files have more bytes than this, 0 for never
    /// [default: 1G; with --continuous, 0]
    #[arg(long, value_name = "BYTES", value_parser = bytes, help_heading = "Session")]
    total_bytes: Option<u64>,

    /// Stop after this time, 0 for never [default: 5h; with --continuous, 24h]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, help_heading = "Session")]
    time_limit: Option<Duration>,

    /// Stop after so many recorded packets
    #[arg(short = 'c', long, value_name = "N", help_heading = "Session",
          value_parser = clap::value_parser!(u64).range(1..))]
    packet_count: Option<u64>,

    /// One file after another in the folder, of which the newest are kept
    #[arg(long, requires = "out", conflicts_with = "output", help_heading = "Session")]
    continuous: bool,

    /// Files kept, beside the one that is written
    #[arg(long, value_name = "N", default_value_t = limits::RING_FILES, requires = "continuous",
          help_heading = "Session")]
    file_count: u32,

    /// Bytes of a file at most
    #[arg(long, value_name = "BYTES", default_value = "100M", value_parser = bytes,
          requires = "continuous", help_heading = "Session")]
    file_size: u64,

    /// The file, or - for standard output; appears when it is complete
    #[arg(
        short,
        long,
        value_name = "FILE",
        required_unless_present = "out",
        help_heading = "Output"
    )]
    pub(crate) output: Option<PathBuf>,

    /// A folder for files with the cloud's names: packetcapture_YYYYMMDD_HH_mm_ss_fff.pcapng
    #[arg(long, value_name = "DIR", conflicts_with = "output", help_heading = "Output")]
    pub(crate) out: Option<PathBuf>,

    /// Format of files [default: by the name; pcapng with --out]
    #[arg(long, value_enum, help_heading = "Output")]
    format: Option<FormatName>,

    /// Record packets as they were received, in their envelopes; filters still look inside
    #[arg(long, help_heading = "Output")]
    pub(crate) outer: bool,

    /// Bytes that stay free on the file system; below, nothing is written until there are more
    #[arg(long, value_name = "BYTES", default_value = "256M", value_parser = bytes,
          help_heading = "Output")]
    pub(crate) min_free: u64,

    /// Name of the session in its status [default: that of the file or folder]
    #[arg(long, help_heading = "Output")]
    name: Option<String>,

    /// Where the status goes: to standard error as text or JSON at the end, or to a file as JSON,
    /// also while the session runs
    #[arg(long, value_name = "text|json|FILE", default_value = "text", help_heading = "Output")]
    pub(crate) status: SummaryTo,
}

/// Packets as they come.
#[cfg(feature = "live")]
#[derive(Debug, Args)]
#[command(next_help_heading = "Source")]
pub(crate) struct Live {
    /// Interfaces to capture on [default: any]
    #[arg(short, long = "interface", value_name = "IF", num_args = 1.., conflicts_with = "read")]
    pub(crate) interfaces: Vec<String>,

    /// How packets are taken: pcap (libpcap), ring (a ring of our own), or udp (sockets, which
    /// need no privilege and show no envelopes as they were)
    #[arg(long, value_name = "pcap|ring|udp", default_value_t = Kind::Pcap,
          conflicts_with = "read")]
    pub(crate) source: Kind,

    /// Bytes of the kernel's ring, or of each socket's buffer
    #[arg(long, value_name = "BYTES", default_value = "64M", value_parser = bytes,
          conflicts_with = "read")]
    pub(crate) buffer: u64,

    /// Make interfaces receive frames for other addresses, too
    #[arg(long, conflicts_with = "read")]
    pub(crate) promiscuous: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatName {
    Pcap,
    Pcapng,
}

impl Capture {
    /// What the session may take, within the cloud's ranges.
    pub(crate) fn limits(&self) -> anyhow::Result<Limits> {
        let defaults = if self.continuous {
            let (files, bytes) = (self.file_count, self.file_size);
            Limits::continuous(Ring { files, bytes, ..Ring::default() })
        } else {
            Limits::default()
        };
        let limits = Limits {
            bytes_per_packet: self.bytes_per_packet,
            total_bytes: self.total_bytes.map_or(defaults.total_bytes, |n| (n > 0).then_some(n)),
            time: self.time_limit.map_or(defaults.time, |time| (!time.is_zero()).then_some(time)),
            packets: self.packet_count,
            ring: defaults.ring,
        };
        limits.check()?;
        Ok(limits)
    }

    /// The file or folder.
    pub(crate) fn place(&self) -> anyhow::Result<&Path> {
        match self.out.as_deref().or(self.output.as_deref()) {
            Some(path) => Ok(path),
            None => bail!("no output; name a file with -o or a folder with --out"),
        }
    }

    pub(crate) fn format(&self) -> Format {
        match (self.format, &self.output) {
            (Some(FormatName::Pcap), _) => Format::Pcap,
            (None, Some(output)) => Format::of(output),
            (Some(FormatName::Pcapng), _) | (None, None) => Format::Pcapng,
        }
    }

    pub(crate) fn name(&self) -> anyhow::Result<String> {
        Ok(match &self.name {
            Some(name) => name.clone(),
            None => {
                let place = self.place()?;
                place.file_stem().unwrap_or(place.as_os_str()).to_string_lossy().into_owned()
            }
        })
    }
}

/// A number of bytes, with K, M or G for a power of 1024 behind it if need be.
fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = match text.find(|c: char| c.is_ascii_alphabetic()) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let unit = match unit {
        "" => 1_u64,
        "K" | "k" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return Err(format!("unknown unit {unit:?}; use K, M or G")),
    };
    let number: u64 = number.parse().map_err(|_| format!("{text:?} is no number of bytes"))?;
    number.checked_mul(unit).ok_or_else(|| format!("{text:?} is too many"))
}

fn bytes_of_packet(text: &str) -> Result<u32, String> {
    u32::try_from(bytes(text)?).map_err(|_| "bytesToCapturePerPacket is 0 to 4294967295".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_units() {
        assert_eq!(bytes("34"), Ok(34));
        assert_eq!((bytes("100M"), bytes("1G")), (Ok(104_857_600), Ok(1_073_741_824)));
        assert!(bytes("1T").is_err() && bytes("").is_err() && bytes("99999999999G").is_err());
        assert_eq!(bytes("100M"), Ok(limits::RING_BYTES));
    }
}
