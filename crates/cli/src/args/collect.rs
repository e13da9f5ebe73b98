//! `vtap collect`: provisional.
use std::path::PathBuf;

use clap::Args;
use vtap_capture::live::Kind;
use vtap_collector::Config;
use vtap_collector::config::*;
use vtap_export::{FlagSet, Format};
use vtap_flow::Profile;

#[derive(Debug, Args)]
pub(crate) struct Collect {
    #[arg(short, long)]
    interface: Vec<String>,
    #[arg(long, default_value = "pcap")]
    source: String,
    #[arg(long, default_value_t = Format::Text)]
    format: Format,
    #[arg(long)]
    out: Option<PathBuf>,
    #[arg(long)]
    plain: bool,
    #[arg(long, default_value_t = 64 << 20)]
    buffer: usize,
    #[arg(long, default_value_t = 65536)]
    queue: usize,
}

impl Collect {
    pub(crate) fn config(&self) -> Config {
        Config {
            source: Source {
                kind: if self.source == "udp" { Kind::Udp } else { Kind::Pcap },
                interfaces: self.interface.clone(),
                ports: vec![4789, 4790],
                filter: None,
                plain: self.plain,
                buffer: self.buffer,
                snaplen: 262_144,
                promiscuous: false,
                threads: 1,
            },
            tracking: Tracking {
                flow: vtap_flow::Config::new(Profile::Azure),
                max_depth: 4,
                strict_vxlan: false,
                inner_filter: None,
            },
            events: Events {
                format: self.format,
                directory: self.out.clone(),
                flags: FlagSet::ALL,
                retransmissions: false,
                resource_id: None,
                rotate_bytes: None,
                rotate_every: None,
                keep: None,
                zstd: None,
                min_free: 0,
                queue: self.queue,
            },
            record: Record {
                directory: None,
                outer: false,
                pcapng: true,
                bytes_per_packet: 0,
                file_count: 10,
                file_size: 100 << 20,
                buffer: 64 << 20,
                min_free: 0,
            },
            telemetry: Telemetry { listen: None, log_every: None },
            privileges: Privileges { user: None, landlock: false },
        }
    }
}
