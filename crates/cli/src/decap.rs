//! `vtap decap`: the customer's frames to a capture file.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;

use anyhow::Context;
use vtap_capture::{PcapWriter, PcapngWriter};
use vtap_packet::{LinkType, Packet, Vni};
use vtap_pipeline::{Fate, Pipeline, RunError, Seen, Watched};

use crate::args::{Decap, Speed};
use crate::progress::Clock;
use crate::summary::Summary;
use crate::{Finish, Silent, plan};

pub(crate) fn run(args: &Decap) -> anyhow::Result<Finish> {
    let mut pipeline = Pipeline::new(plan::decap(&args.envelope), None);
    #[cfg(feature = "live")]
    {
        pipeline.intake.outer_filter = plan::filter(args.input.filter.as_deref())?;
        pipeline.intake.inner_filter = plan::filter(args.inner_filter.as_deref())?;
    }
    let outputs: Vec<_> = args.summary.path().into_iter().chain([args.output.as_path()]).collect();
    let mut inputs = plan::inputs(&args.input, &outputs)?;
    let mut frames = Frames::create(&args.output)?;
    let mut clock = Clock::start(Speed::Max);

    let ran =
        vtap_pipeline::watch(&mut inputs, &mut pipeline, &mut Silent, &mut clock, |watched| {
            match watched {
                Watched::Packet(Seen { packet, fate: Fate::Passed }) => frames.write(&packet),
                _ => Ok(()),
            }
        });
    clock.clear();
    let (report, failed) = match ran {
        Ok(report) => (report, None),
        Err(RunError::Sink(error)) => return Err(at(&args.output, error)),
        Err(RunError::Capture(error)) => (pipeline.finish(&mut Silent)?, Some(error)),
    };
    let left_out = frames.finish().map_err(|error| at(&args.output, error))?;

    let summary = Summary::new(&report, &inputs, failed.as_ref(), clock.elapsed());
    summary.write(&args.summary)?;
    if left_out > 0 {
        eprintln!(
            "vtap: {left_out} frames of another link type than the first do not fit into pcap; \
             write to a file that ends in .pcapng"
        );
        return Ok(Finish::Damaged);
    }
    Ok(summary.finish())
}

fn at(path: &Path, error: io::Error) -> anyhow::Error {
    anyhow::Error::from(error).context(format!("{}: cannot write", path.display()))
}

/// Either format.
enum Frames {
    Pcap {
        /// Until the first frame tells the link type.
        out: Option<Box<dyn Write>>,
        writer: Option<(LinkType, PcapWriter<Box<dyn Write>>)>,
        left_out: u64,
    },
    Pcapng {
        writer: PcapngWriter<Box<dyn Write>>,
        interfaces: BTreeMap<(IpAddr, Vni, LinkType), u32>,
    },
}

impl Frames {
    fn create(path: &Path) -> anyhow::Result<Self> {
        let out = plan::file(path)?;
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("pcapng")) {
            let writer = PcapngWriter::new(out)
                .with_context(|| format!("{}: cannot write", path.display()))?;
            return Ok(Self::Pcapng { writer, interfaces: BTreeMap::new() });
        }
        Ok(Self::Pcap { out: Some(out), writer: None, left_out: 0 })
    }

    fn write(&mut self, frame: &Packet<'_>) -> io::Result<()> {
        match self {
            Self::Pcap { out, writer, left_out } => {
                if let Some(out) = out.take() {
                    *writer = Some((frame.link, PcapWriter::new(out, frame.link)?));
                }
                match writer {
                    Some((link, writer)) if *link == frame.link => writer.write(frame),
                    _ => {
                        *left_out += 1;
                        Ok(())
                    }
                }
            }
            Self::Pcapng { writer, interfaces } => {
                let Some(tunnel) = frame.tunnel else { return Ok(()) };
                let key = (tunnel.src, tunnel.vni, frame.link);
                let id = match interfaces.get(&key) {
                    Some(id) => *id,
                    None => {
                        let name = format!("tap {} vni {}", tunnel.src, tunnel.vni);
                        let id = writer.add_interface(&name, None, frame.link)?;
                        interfaces.insert(key, id);
                        id
                    }
                };
                writer.write(id, frame)
            }
        }
    }

    /// How many frames had no place in the format.
    fn finish(self) -> io::Result<u64> {
        match self {
            Self::Pcap { out: Some(out), .. } => {
                // No frame at all: still a capture file.
                PcapWriter::new(out, LinkType::ETHERNET)?.finish()?;
                Ok(0)
            }
            Self::Pcap { writer, left_out, .. } => {
                if let Some((_, writer)) = writer {
                    writer.finish()?;
                }
                Ok(left_out)
            }
            Self::Pcapng { writer, .. } => writer.finish().map(|_| 0),
        }
    }
}
