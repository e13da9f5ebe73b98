//! What can be typed. Nothing here has an effect.

mod bench;
mod capture;
#[cfg(feature = "live")]
mod collect;
mod compare;
mod doctor;
mod report;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use vtap_export::{FlagSet, Format};
use vtap_flow::{Checksum, Profile, limits};
use vtap_flowlog::Interval;

pub(crate) use bench::{Bench, BenchFormat};
pub(crate) use capture::Capture;
#[cfg(feature = "live")]
pub(crate) use capture::Live;
#[cfg(feature = "live")]
pub(crate) use collect::Collect;
pub(crate) use compare::{Compare, CompareFormat};
pub(crate) use doctor::{Doctor, DoctorFormat};
pub(crate) use report::Report;

/// Makes sense of mirrored cloud traffic.
///
/// Reads packets that a Virtual Network TAP has mirrored to this machine (or captures of them),
/// takes the VXLAN envelope off, follows every TCP connection as the Linux kernel's conntrack
/// does, and tells what happened to each.
#[derive(Debug, Parser)]
#[command(name = "vtap", version, max_term_width = 100)]
pub(crate) struct Vtap {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Replay captures and write the flow trace of the mirrored machines
    Replay(Replay),
    /// Collect what is mirrored to this machine, and write the flow trace as it happens
    #[cfg(feature = "live")]
    Collect(Collect),
    /// Record a packet capture of the mirrored machines, with the cloud's filters and limits
    Capture(Box<Capture>),
    /// Show what each packet was, the verdict on it and the state after it
    Trace(Trace),
    /// Write the customer's frames, taken out of their envelopes, to a capture file
    Decap(Decap),
    /// Write one HTML page of what captures come to: talkers, services, paths, failures, INVALID
    Report(Report),
    /// Compare a capture of the mirrored NIC with what its TAP delivered: what was lost or changed
    Compare(Compare),
    /// Measure how fast this machine decapsulates and tracks
    Bench(Bench),
    /// Check what makes this machine lose mirrored packets, and say the command that mends it
    Doctor(Doctor),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    pub(crate) input: Input,
    #[command(flatten)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) envelope: Envelope,
    #[command(flatten)]
    pub(crate) tracking: Tracking,

    /// How fast: as fast as it goes, or so many times as fast as it was recorded (1x, 10x, 0.5x)
    #[arg(long, value_name = "SPEED", default_value = "max", help_heading = "Output")]
    pub(crate) speed: Speed,

    /// Threads at most: one to find and read packets, one to judge them and write events. The
    /// output is the same with any number
    /// [default: 2, or 1 where there is one processor or a speed]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..),
          help_heading = "Output")]
    pub(crate) threads: Option<u16>,

    /// Where the summary goes: to standard error as text or JSON, or to a file as JSON
    #[arg(long, value_name = "text|json|FILE", default_value = "text", help_heading = "Output")]
    pub(crate) summary: SummaryTo,
}

#[derive(Debug, Args)]
pub(crate) struct Trace {
    #[command(flatten)]
    pub(crate) input: Input,
    #[command(flatten)]
    pub(crate) envelope: Envelope,
    #[command(flatten)]
    pub(crate) tracking: Tracking,

    /// How packets are written
    #[arg(long, value_enum, default_value_t = TraceFormat::Text, help_heading = "Output")]
    pub(crate) format: TraceFormat,
}

#[derive(Debug, Args)]
pub(crate) struct Decap {
    #[command(flatten)]
    pub(crate) input: Input,

    /// The file to write: pcapng with one interface for each tap and VNI if it ends in .pcapng,
    /// else pcap with nanoseconds; - for pcap on standard output
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: PathBuf,

    #[command(flatten)]
    pub(crate) envelope: Envelope,

    /// Write only frames that match this BPF expression
    #[arg(long, value_name = "BPF")]
    #[cfg(feature = "live")]
    pub(crate) inner_filter: Option<String>,

    /// Where the summary goes: to standard error as text or JSON, or to a file as JSON
    #[arg(long, value_name = "text|json|FILE", default_value = "text")]
    pub(crate) summary: SummaryTo,
}

#[derive(Debug, Args)]
pub(crate) struct Input {
    /// Captures: pcap or pcapng, also .gz and .zst; directories, globs, - for standard input.
    /// Several are merged by time
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Read only packets that match this BPF expression, applied to them as captured
    #[arg(long, value_name = "BPF")]
    #[cfg(feature = "live")]
    pub(crate) filter: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Envelope")]
pub(crate) struct Envelope {
    /// UDP destination port that carries VXLAN; may be repeated, replaces the default
    /// [default: 4789, and 4790 for VXLAN-GPE]
    #[arg(long = "port", value_name = "PORT")]
    pub(crate) ports: Vec<u16>,

    /// Envelopes taken off one packet at most; 1 leaves a customer's own overlay as it is
    #[arg(long, value_name = "N", default_value_t = vtap_decap::config::MAX_DEPTH,
          value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) max_depth: u8,

    /// Refuse VXLAN headers with reserved bits set, which RFC 7348 says to ignore
    #[arg(long)]
    pub(crate) strict_vxlan: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Tracking")]
pub(crate) struct Tracking {
    /// Whose notion of INVALID: the firewall's, or that of Linux conntrack
    /// (which means: --pickup on --checksum verify --warm-up 0)
    #[arg(long, value_enum, default_value_t = ProfileName::Azure)]
    pub(crate) profile: ProfileName,

    /// Whether an ACK of an unknown connection picks it up at any time
    #[arg(long, value_enum, value_name = "on|off")]
    pub(crate) pickup: Option<Switch>,

    /// What a wrong TCP checksum means: INVALID, INVALID unless left to the NIC, or nothing
    #[arg(long, value_enum)]
    pub(crate) checksum: Option<ChecksumPolicy>,

    /// Span from the first packet in which connections are taken to have been open before
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) warm_up: Option<Duration>,

    /// Flows tracked at once
    #[arg(long, value_name = "N", default_value_t = limits::MAX_FLOWS)]
    pub(crate) max_flows: usize,

    /// INVALID rows of one flow; the rest is one row with their number, when the flow ends
    #[arg(long, value_name = "N", default_value_t = limits::INVALID_ROWS)]
    pub(crate) invalid_limit: u32,

    /// Take equal addresses and ports in different VNIs for one flow
    #[arg(long)]
    pub(crate) fold_vni: bool,

    /// Span of packet time in which a packet that another tap or interface shows again, or a
    /// router sends on, is recognised as a copy; 0 follows every packet
    #[arg(long, value_name = "SECONDS", default_value = "250ms", value_parser = seconds)]
    pub(crate) dedup_window: Duration,

    /// Span of packet time for which a segment that does not fit waits for one that it may have
    /// overtaken in the mirror, before it is INVALID [default: 10ms; 0 with --profile linux]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) reorder_window: Option<Duration>,

    /// Also track packets that are not mirrored, as they are
    #[arg(long)]
    pub(crate) plain: bool,

    /// Track only frames that match this BPF expression
    #[arg(long, value_name = "BPF")]
    #[cfg(feature = "live")]
    pub(crate) inner_filter: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct Output {
    /// How events are written: text, json (lines, in the envelope of Suricata's EVE), azure (rows
    /// of the firewall's flow trace), none
    #[arg(long, value_name = "FORMAT", default_value_t = Format::Text)]
    pub(crate) format: Format,

    /// Write files into this directory instead of standard output
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,

    /// What is written, with commas between: events (what happened to each connection), flows (who
    /// talked to whom, how much, which way), and with --out vnet-flow-log (the cloud's, a file for
    /// each network card and hour) and traffic-analytics (its sums over an interval)
    /// [default: events; with --out events,flows]
    #[arg(long, value_enum, value_name = "LOGS", value_delimiter = ',')]
    pub(crate) logs: Option<Vec<LogName>>,

    /// Networks, gateways and sites by name, for all that is told of flows
    #[arg(long, value_name = "FILE")]
    pub(crate) networks: Option<PathBuf>,

    /// What traffic analytics sums up over
    #[arg(long, value_enum, value_name = "SPAN", default_value_t = IntervalName::Hour)]
    pub(crate) interval: IntervalName,

    /// Which events: names with commas between, or all
    /// [default: all; for azure SYN-ACK,FIN,FIN-ACK,RST,INVALID]
    #[arg(long, value_name = "FLAGS")]
    pub(crate) flags: Option<FlagSet>,

    /// Also show repeated SYN, SYN-ACK, FIN and RST segments
    #[arg(long)]
    pub(crate) retransmissions: bool,

    /// The resourceId in rows of the firewall's shape
    #[arg(long, value_name = "ID")]
    pub(crate) resource_id: Option<String>,
}

impl Output {
    /// The logs that are written.
    pub(crate) fn logs(&self) -> &[LogName] {
        let default: &[_] = match self.out {
            Some(_) => &[LogName::Events, LogName::Flows],
            None => &[LogName::Events],
        };
        self.logs.as_deref().unwrap_or(default)
    }

    /// Whether flows are counted for any of them.
    pub(crate) fn records(&self) -> bool {
        self.logs().iter().any(|log| *log != LogName::Events)
    }
}

/// What can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogName {
    Events,
    Flows,
    VnetFlowLog,
    TrafficAnalytics,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum IntervalName {
    #[value(name = "10m")]
    TenMinutes,
    #[value(name = "1h")]
    Hour,
}

impl From<IntervalName> for Interval {
    fn from(name: IntervalName) -> Self {
        match name {
            IntervalName::TenMinutes => Self::TenMinutes,
            IntervalName::Hour => Self::Hour,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProfileName {
    Azure,
    Linux,
}

impl From<ProfileName> for Profile {
    fn from(name: ProfileName) -> Self {
        match name {
            ProfileName::Azure => Self::Azure,
            ProfileName::Linux => Self::Linux,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ChecksumPolicy {
    Verify,
    OffloadAware,
    Off,
}

impl From<ChecksumPolicy> for Checksum {
    fn from(policy: ChecksumPolicy) -> Self {
        match policy {
            ChecksumPolicy::Verify => Self::Verify,
            ChecksumPolicy::OffloadAware => Self::OffloadAware,
            ChecksumPolicy::Off => Self::Off,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TraceFormat {
    Text,
    Json,
}

/// How fast a replay goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Speed {
    Max,
    /// So many times as fast as recorded.
    Times(f64),
}

impl FromStr for Speed {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "max" {
            return Ok(Self::Max);
        }
        let times = text.strip_suffix('x').and_then(|number| number.parse::<f64>().ok());
        match times {
            Some(times) if times.is_finite() && times > 0.0 => Ok(Self::Times(times)),
            _ => Err("expected max, or a number followed by x: 1x, 10x, 0.5x"),
        }
    }
}

/// Where the summary goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SummaryTo {
    Text,
    Json,
    File(PathBuf),
}

impl SummaryTo {
    /// The file, if it is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Text | Self::Json => None,
        }
    }
}

impl FromStr for SummaryTo {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "text" => Self::Text,
            "json" => Self::Json,
            path => Self::File(path.into()),
        })
    }
}

/// Seconds as a number, with `s`, `m` or `h` behind it if need be.
fn seconds(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.find(|c: char| c.is_ascii_alphabetic()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let unit = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("unknown unit {unit:?}; use ms, s, m or h")),
    };
    let number: f64 = number.parse().map_err(|_| format!("{text:?} is no number of seconds"))?;
    Duration::try_from_secs_f64(number * unit).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_do_not_contradict_each_other() {
        Vtap::command().debug_assert();
    }

    #[test]
    fn speeds_and_spans_are_read() {
        assert_eq!("max".parse(), Ok(Speed::Max));
        assert_eq!("2.5x".parse(), Ok(Speed::Times(2.5)));
        assert!("0x".parse::<Speed>().is_err() && "fast".parse::<Speed>().is_err());
        assert_eq!(seconds("60"), Ok(Duration::from_secs(60)));
        assert_eq!(seconds("1.5m"), Ok(Duration::from_secs(90)));
        assert!(seconds("-1").is_err() && seconds("5d").is_err());
    }
}
