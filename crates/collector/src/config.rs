//! What a collector can be told, by a file or on the command line.
//!
//! | in reading order | holds |
//! |---|---|
//! | `default.toml` | every key, what it means, and its default |
//! | [`loaded`] | [`Loaded`]: the defaults, with a file and then the command line laid over them |
//! | `read` | from values to a [`Config`]: what each key may be |
//! | [`logs`] | what is written of flows, and what goes to a store |
//! | `section` | values of one section, by type |
//! | [`setting`] | [`settings`]: the keys, for a command line that has a flag for each |
//! | [`error`] | [`Error`]: which line or flag, which key, what is allowed |

pub mod error;
pub mod loaded;
pub mod logs;
mod read;
mod section;
pub mod setting;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use vtap_capture::live;
use vtap_export::{FlagSet, Format};
use vtap_files::Rotation;

pub use error::Error;
pub use loaded::{Change, Given, Loaded};
pub use logs::{After, Flows, Spool, TrafficAnalytics, Upload, VnetFlowLog};
pub use setting::{Setting, settings};

/// All of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `[source]`: where packets come from.
    pub source: live::Config,
    /// How flows are followed.
    pub tracking: Tracking,
    /// Where rows of events go.
    pub events: Events,
    /// Where rows of flows go.
    pub flows: Flows,
    /// `[networks]`: the file with names for what is told of flows.
    pub networks: Option<PathBuf>,
    /// Where the flow log of a virtual network goes.
    pub vnet_flow_log: VnetFlowLog,
    /// Where traffic analytics go.
    pub traffic_analytics: TrafficAnalytics,
    /// Which captures are kept beside the events.
    pub record: Record,
    /// Where complete files go.
    pub upload: Upload,
    /// What is told about the collector itself.
    pub telemetry: Telemetry,
    /// What the process may do once it runs.
    pub privileges: Privileges,
}

/// `[tracking]`: how flows are followed.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracking {
    /// The rules.
    pub flow: vtap_flow::Config,
    /// Envelopes taken off one packet at most.
    pub max_depth: u8,
    /// Whether VXLAN headers with reserved bits set are refused.
    pub strict_vxlan: bool,
    /// A BPF expression on the customer's frames.
    pub inner_filter: Option<String>,
}

/// `[events]`: where rows go.
#[derive(Clone, Debug, PartialEq)]
pub struct Events {
    /// Their form.
    pub format: Format,
    /// The directory for their files; standard output without one.
    pub directory: Option<PathBuf>,
    /// Which events.
    pub flags: FlagSet,
    /// Whether repeated handshakes and closes are rows as well.
    pub retransmissions: bool,
    /// The `resourceId` in rows of the firewall's shape.
    pub resource_id: Option<String>,
    /// When another file begins, and which stay.
    pub rotation: Rotation,
    /// Rows that wait for the writer at most.
    pub queue: usize,
}

/// `[record]`: the ring of captures beside the events.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The directory for them; nothing is recorded without one.
    pub directory: Option<PathBuf>,
    /// Whether packets are kept as they came, envelope and all.
    pub outer: bool,
    /// Whether files are pcapng, with an interface for each tap and VNI.
    pub pcapng: bool,
    /// Most bytes kept of a packet; 0 for all.
    pub bytes_per_packet: u32,
    /// Files kept, the one being written not counted.
    pub file_count: Option<usize>,
    /// Bytes after which a file is closed and another begun.
    pub file_size: u64,
    /// Bytes of packets that wait for the disk at most.
    pub buffer: usize,
    /// Bytes of free space below which nothing is written.
    pub min_free: u64,
}

/// `[telemetry]`: what is told about the collector itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Telemetry {
    /// The address of `/metrics` and `/healthz`; none without one.
    pub listen: Option<std::net::SocketAddr>,
    /// How often counters are logged; never for none.
    pub log_every: Option<Duration>,
    /// What is logged.
    pub log_level: tracing::Level,
}

/// `[privileges]`: what the process may do once everything is open.
#[derive(Clone, Debug, PartialEq)]
pub struct Privileges {
    /// The user to become, where started as root.
    pub user: Option<String>,
    /// Whether Landlock keeps it to its output directories.
    pub landlock: bool,
}
