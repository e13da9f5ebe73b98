//! What can be typed for `vtap report`.

use std::path::PathBuf;

use clap::Args;

use super::{Envelope, Input, Tracking};

#[derive(Debug, Args)]
pub(crate) struct Report {
    #[command(flatten)]
    pub(crate) input: Input,

    /// The page to write, one HTML file that needs nothing beside it; - for standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// Networks, gateways and sites by name
    #[arg(long, value_name = "FILE")]
    pub(crate) networks: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) envelope: Envelope,
    #[command(flatten)]
    pub(crate) tracking: Tracking,
}
