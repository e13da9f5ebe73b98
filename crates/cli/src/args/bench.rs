//! What can be typed for `vtap bench`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use vtap_flow::limits;
use vtap_synth::{Config, Size};

use super::{ChecksumPolicy, Envelope, ProfileName};

#[derive(Debug, Args)]
pub(crate) struct Bench {
    #[command(flatten)]
    pub(crate) synthetic: Synthetic,

    /// Measure these captures instead of a synthetic one: what replay reads, but for standard
    /// input, as they are read again and again
    #[arg(long = "file", value_name = "FILE", num_args = 1.., help_heading = "Capture",
          conflicts_with_all = ["size", "packets", "flows", "rate", "connections_per_second",
                                "loss", "seed", "write"])]
    pub(crate) files: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) envelope: Envelope,

    /// Whose notion of INVALID: the firewall's, or that of Linux conntrack
    #[arg(long, value_enum, default_value_t = ProfileName::Azure, help_heading = "Tracking")]
    pub(crate) profile: ProfileName,

    /// What a wrong TCP checksum means [default: that of the profile]
    #[arg(long, value_enum, help_heading = "Tracking")]
    pub(crate) checksum: Option<ChecksumPolicy>,

    /// Flows tracked at once
    #[arg(long, value_name = "N", default_value_t = limits::MAX_FLOWS, help_heading = "Tracking")]
    pub(crate) max_flows: usize,

    /// Also track packets that are not mirrored, as they are
    #[arg(long, help_heading = "Tracking")]
    pub(crate) plain: bool,

    /// Runs measured, after one that is not; the figures are medians
    #[arg(long, value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..), help_heading = "Output")]
    pub(crate) runs: u32,

    /// How the figures are written
    #[arg(long, value_enum, default_value_t = BenchFormat::Text, help_heading = "Output")]
    pub(crate) format: BenchFormat,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Capture")]
pub(crate) struct Synthetic {
    /// How long packets are: empty ACKs, 384 bytes in the mean, or full segments
    #[arg(long, value_enum, default_value_t = SizeName::Mix)]
    pub(crate) size: SizeName,

    /// Packets in the capture
    #[arg(long, value_name = "N", default_value_t = 2_000_000,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) packets: u64,

    /// Connections open at any time; each packet is of one chosen at random
    #[arg(long, value_name = "N", default_value_t = 20_000,
          value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) flows: u32,

    /// Packets a second of packet time
    #[arg(long, value_name = "N", default_value_t = 1_000_000,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000_000))]
    pub(crate) rate: u32,

    /// Connections opened a second of packet time; 0 leaves them open
    /// [default: a hundredth of the rate, so a connection has 100 packets in the mean]
    #[arg(long, value_name = "N")]
    pub(crate) connections_per_second: Option<u32>,

    /// Packets that the mirror loses
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent)]
    pub(crate) loss: f64,

    /// Equal seeds give equal captures
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,

    /// Write the capture to this file, measure on the file, and keep it; without, the capture
    /// stays in memory
    #[arg(long, value_name = "FILE")]
    pub(crate) write: Option<PathBuf>,
}

impl Synthetic {
    pub(crate) fn config(&self) -> Config {
        Config {
            size: self.size.into(),
            packets: self.packets,
            flows: self.flows,
            rate: self.rate,
            connections_per_second: self.connections_per_second,
            loss: self.loss,
            seed: self.seed,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SizeName {
    Small,
    Mix,
    Large,
}

impl From<SizeName> for Size {
    fn from(name: SizeName) -> Self {
        match name {
            SizeName::Small => Self::Small,
            SizeName::Mix => Self::Mix,
            SizeName::Large => Self::Large,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchFormat {
    Text,
    Json,
}

/// A share, from a number of percent with or without the sign.
fn percent(text: &str) -> Result<f64, String> {
    match text.strip_suffix('%').unwrap_or(text).parse::<f64>() {
        Ok(percent) if (0.0..100.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err("expected a number of percent, from 0 to below 100".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_are_shares_of_a_hundred() {
        assert_eq!((percent("25"), percent("0.5%")), (Ok(0.25), Ok(0.005)));
        assert!(percent("100").is_err() && percent("-1").is_err() && percent("NaN").is_err());
    }
}
