//! What is measured on.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use bytes::Bytes;
use vtap_export::report::size;
use vtap_synth::{Config, Generator, Written};

use super::machine;
use crate::args::Bench;

pub(super) enum Capture {
    Memory {
        bytes: Bytes,
        synthetic: Synthetic,
    },
    /// Files, which are a synthetic one or the user's own.
    Files {
        paths: Vec<PathBuf>,
        synthetic: Option<Synthetic>,
    },
}

/// What was asked for and what was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Synthetic {
    pub(super) config: Config,
    pub(super) written: Written,
}

/// Bytes of a buffer for a file.
const BUFFER: usize = 1 << 20;

impl Capture {
    pub(super) fn new(args: &Bench) -> anyhow::Result<Self> {
        if !args.files.is_empty() {
            refuse_what_is_read_once(&args.files)?;
            return Ok(Self::Files { paths: args.files.clone(), synthetic: None });
        }
        let config = args.synthetic.config();
        let generator = Generator::new(config)?;
        match &args.synthetic.write {
            Some(path) => Self::write(path, config, generator),
            None => Self::make(config, generator),
        }
    }

    fn write(path: &Path, config: Config, mut generator: Generator) -> anyhow::Result<Self> {
        let failed = || format!("{}: cannot write", path.display());
        let file = File::create(path).with_context(failed)?;
        anyhow::ensure!(
            file.metadata().is_ok_and(|metadata| metadata.is_file()),
            "{}: not a file that could be measured on",
            path.display()
        );
        let mut out = BufWriter::with_capacity(BUFFER, file);
        let written = generator.write_capture(&mut out).with_context(failed)?;
        out.flush().with_context(failed)?;
        let synthetic = Some(Synthetic { config, written });
        Ok(Self::Files { paths: vec![path.to_owned()], synthetic })
    }

    fn make(config: Config, mut generator: Generator) -> anyhow::Result<Self> {
        let record = u64::from(config.size.mean_len()) + Generator::RECORD_HEADER_LEN as u64;
        // A little more, as a mean is not exact: growing would copy everything.
        let room = config.packets.saturating_mul(record + record / 50);
        let refused = || {
            let room = size(room);
            format!(
                "a capture of {room} does not fit into memory: --packets N for fewer packets, or --write FILE"
            )
        };
        anyhow::ensure!(machine::free_memory().is_none_or(|free| room < free), refused());
        let mut bytes = Vec::new();
        bytes.try_reserve(usize::try_from(room).unwrap_or(usize::MAX)).with_context(refused)?;
        let written = generator.write_capture(&mut bytes)?;
        Ok(Self::Memory { bytes: bytes.into(), synthetic: Synthetic { config, written } })
    }

    pub(super) const fn synthetic(&self) -> Option<Synthetic> {
        match self {
            Self::Memory { synthetic, .. } => Some(*synthetic),
            Self::Files { synthetic, .. } => *synthetic,
        }
    }

    /// The files as they were named; none for a capture in memory.
    pub(super) fn paths(&self) -> &[PathBuf] {
        match self {
            Self::Memory { .. } => &[],
            Self::Files { paths, .. } => paths,
        }
    }
}

/// Each stage reads the capture from its beginning, which a pipe does not have twice.
fn refuse_what_is_read_once(paths: &[PathBuf]) -> anyhow::Result<()> {
    for path in paths {
        let stdin = path == Path::new("-");
        // What is not there is a pattern, or told when it is opened.
        let once = |metadata: fs::Metadata| !metadata.is_file() && !metadata.is_dir();
        anyhow::ensure!(
            !stdin && !fs::metadata(path).is_ok_and(once),
            "{}: is not a file, and can be read once only; write it to a file",
            path.display()
        );
    }
    Ok(())
}
