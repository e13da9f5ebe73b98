//! What can be typed for `vtap doctor`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
#[command(after_help = "Exit status: 0 nothing fails (warnings are allowed), 1 something fails, \
                        2 wrong usage. Nothing is changed.")]
pub(crate) struct Doctor {
    /// NIC that mirrored packets come to; may be repeated
    /// [default: those with the default route, and hardware with an address]
    #[arg(short, long = "interface", value_name = "IF")]
    pub(crate) interfaces: Vec<String>,

    /// UDP port that carries VXLAN; may be repeated
    #[arg(long = "port", value_name = "PORT", default_values_t = [4789],
          value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) ports: Vec<u16>,

    /// Folder that captures or events are to be written to; its file system is checked
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,

    /// How findings are written
    #[arg(long, value_enum, default_value_t = DoctorFormat::Text)]
    pub(crate) format: DoctorFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DoctorFormat {
    Text,
    Json,
}
