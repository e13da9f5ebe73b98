//! What can be typed for `vtap compare`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Envelope;

#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// Capture taken on the mirrored NIC itself, plain frames of any link type: what replay reads
    #[arg(value_name = "SOURCE")]
    pub(crate) source: PathBuf,

    /// Capture taken where the TAP delivers, mirrored packets in VXLAN: what replay reads
    #[arg(value_name = "TAP")]
    pub(crate) tap: PathBuf,

    #[command(flatten)]
    pub(crate) envelope: Envelope,

    /// Also compare packets of TAP that are not mirrored: a capture that was decapsulated before
    #[arg(long, help_heading = "Comparison")]
    pub(crate) plain: bool,

    /// Compare only frames that match this BPF expression, in both captures: host 10.0.2.4 where
    /// the tap has packets of other NICs as well
    #[arg(long, value_name = "BPF", help_heading = "Comparison")]
    #[cfg(feature = "live")]
    pub(crate) inner_filter: Option<String>,

    /// Lost packets, and flows with losses, that are listed one by one
    /// [default: 10 as text, 100 as JSON]
    #[arg(long, value_name = "N", help_heading = "Output")]
    pub(crate) list: Option<usize>,

    /// How the findings are written
    #[arg(long, value_enum, default_value_t = CompareFormat::Text, help_heading = "Output")]
    pub(crate) format: CompareFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompareFormat {
    Text,
    Json,
}

impl Compare {
    /// How many are listed.
    pub(crate) fn listed(&self) -> usize {
        self.list.unwrap_or(match self.format {
            CompareFormat::Text => 10,
            CompareFormat::Json => 100,
        })
    }
}
