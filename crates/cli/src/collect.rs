//! `vtap collect`: the flow trace of what is mirrored to this machine, for as long as it runs.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use vtap_capture::live::{self, Hold, Kind, Opened};
use vtap_capture::write::Format;
use vtap_collector::config::{Loaded, Source};
use vtap_collector::places::{Files, Stream};
use vtap_collector::privileges::{self, Reach};
use vtap_collector::service::Service;
use vtap_collector::{Accounting, Collector, Config, Ended, Recording, Rows, Setup};
use vtap_decap::{Decap, PortSet};
use vtap_export::{Directory, Output};
use vtap_files::Rotation;
use vtap_flow::Tracker;
use vtap_packet::Timestamp;
use vtap_pipeline::Pipeline;
use vtap_recorder::{Destination, Filters, Limits, Pressure, Recorder, Ring};

use crate::args::Collect;
use crate::{Finish, plan};

/// How often signals are looked for.
const LOOK: Duration = Duration::from_millis(100);

/// How long the last rows may take, once reading was stopped; the ring is drained before.
const PATIENCE: Duration = Duration::from_secs(4);

pub(crate) fn run(args: &Collect) -> anyhow::Result<Finish> {
    let loaded = args.load()?;
    if args.print_config {
        return crate::print(loaded.to_string().as_bytes());
    }
    let config = &loaded.config;
    let signals = Signals::catch()?;
    let opened = open(config)?;
    let _hold = hold(config);
    // Before any thread, those of recorders included, and before files are begun, which would be
    // root's.
    confine(&loaded)?;
    let belts = belts(config, opened)?;
    let collector = Collector::start(Setup {
        belts,
        rows: rows(config)?,
        flags: config.events.flags,
        retransmissions: config.events.retransmissions,
        queue: config.events.queue,
        interfaces: config.source.interfaces.clone(),
        now,
    })?;
    eprintln!("vtap: collecting from {}", description(config));
    let mut service = Service::from_environment();
    service.ready(&description(config)).context("cannot tell the service manager")?;
    let mut log = Every::new(config.telemetry.log_every);
    while !signals.stop() && !collector.is_over() {
        thread::sleep(LOOK);
        // If it is not heard, the service manager kills this process and says so.
        let _ = service.watchdog(now());
        if signals.tell.swap(false, Ordering::Relaxed) {
            eprintln!("{:#?}", collector.accounting());
        }
        if log.is_due() {
            tracing::info!("{:?}", collector.accounting().rows);
        }
    }
    let _ = service.stopping();
    finish(collector.stop(PATIENCE))
}

/// Gives up what takes privileges, and says what holds from now on.
fn confine(loaded: &Loaded) -> anyhow::Result<()> {
    let confined = privileges::give_up(&loaded.config.privileges, &Reach::of(loaded))?;
    if confined.landlock.falls_short() {
        tracing::warn!("{confined}");
    } else {
        tracing::info!("{confined}");
    }
    Ok(())
}

/// As tcpdump says what it listens on.
fn description(config: &Config) -> String {
    let Source { kind, interfaces, ports, plain, .. } = &config.source;
    let interfaces = if interfaces.is_empty() { "any".to_owned() } else { interfaces.join(", ") };
    let ports: Vec<_> = ports.iter().map(ToString::to_string).collect();
    let everything = if *plain { ", and what is not mirrored" } else { "" };
    format!("{interfaces}, source {kind}, UDP port {}{everything}", ports.join(", "))
}

fn open(config: &Config) -> anyhow::Result<Vec<Opened>> {
    let source = &config.source;
    let live = live::Config {
        kind: source.kind,
        interfaces: source.interfaces.clone(),
        ports: source.ports.clone(),
        filter: source.filter.clone(),
        plain: source.plain,
        buffer: source.buffer,
        snaplen: source.snaplen,
        promiscuous: source.promiscuous,
        threads: source.threads,
    };
    let opened = live::open(&live)?;
    if let [Opened::Udp(udp)] = opened.as_slice()
        && udp.granted() < source.buffer
    {
        tracing::warn!(
            "the kernel grants {} bytes of socket buffer, not {}; sysctl -w net.core.rmem_max={}",
            udp.granted(),
            source.buffer,
            source.buffer,
        );
    }
    Ok(opened)
}

/// Each source with its belt, and the ring of captures beside it.
fn belts(
    config: &Config,
    opened: Vec<Opened>,
) -> anyhow::Result<Vec<(Opened, Pipeline, Option<Recording>)>> {
    let threads = opened.len();
    (0..)
        .zip(opened)
        .map(|(thread, source)| {
            let recording = recording(config, (threads > 1).then_some(thread))?;
            Ok((source, belt(config)?, recording))
        })
        .collect()
}

fn belt(config: &Config) -> anyhow::Result<Pipeline> {
    let decap = Decap::new(vtap_decap::Config {
        ports: PortSet::new(config.source.ports.iter().copied()),
        max_depth: config.tracking.max_depth,
        strict_vxlan: config.tracking.strict_vxlan,
        ..vtap_decap::Config::default()
    });
    let mut pipeline = Pipeline::new(decap, Some(Tracker::new(config.tracking.flow)));
    pipeline.intake.plain = config.source.plain;
    pipeline.intake.inner_filter = plan::filter(config.tracking.inner_filter.as_deref())?;
    // Other sources have it in the kernel.
    if config.source.kind == Kind::Udp {
        pipeline.intake.outer_filter = plan::filter(config.source.filter.as_deref())?;
    }
    Ok(pipeline)
}

/// The ring of captures beside the events; one for each thread, in a folder of its own, where there
/// are several.
fn recording(config: &Config, thread: Option<usize>) -> anyhow::Result<Option<Recording>> {
    let record = &config.record;
    let Some(directory) = &record.directory else { return Ok(None) };
    let folder = thread.map_or_else(|| directory.clone(), |at| directory.join(at.to_string()));
    let ring = Ring {
        files: u32::try_from(record.file_count).unwrap_or(u32::MAX),
        bytes: record.file_size,
        adopt: true,
    };
    let limits = Limits {
        bytes_per_packet: record.bytes_per_packet,
        time: None,
        ..Limits::continuous(ring)
    };
    let settings = vtap_recorder::Config {
        name: "collect".to_owned(),
        format: if record.pcapng { Format::Pcapng } else { Format::Pcap },
        filters: Filters::default(),
        limits,
        buffer: record.buffer,
        min_free: record.min_free,
        pressure: Pressure::Drop,
    };
    let recorder = Recorder::start(Destination::Folder(folder), settings, now())?;
    Ok(Some(Recording { recorder, outer: record.outer }))
}

/// Keeps the kernel from answering what is mirrored.
fn hold(config: &Config) -> Option<Hold> {
    if config.source.kind == Kind::Udp {
        return None;
    }
    let (hold, errors) = Hold::bind(&config.source.ports);
    for error in errors {
        // Whoever has the port keeps the kernel from answering.
        tracing::info!("{error}");
    }
    Some(hold)
}

fn rows(config: &Config) -> anyhow::Result<Box<dyn Rows>> {
    let events = &config.events;
    let id = events.resource_id.as_deref();
    let Some(directory) = &events.directory else {
        let mut output = Output::stream(events.format, Box::new(io::stdout()));
        id.into_iter().for_each(|id| output.set_resource_id(id));
        return Ok(Box::new(Stream::new(output)));
    };
    let rotation = Rotation {
        bytes: events.rotate_bytes,
        every: events.rotate_every,
        keep: events.keep,
        compression: events.zstd,
        min_free_bytes: events.min_free,
        ..Rotation::default()
    };
    let mut rotated = Directory::create(directory)?.rotated(events.format, rotation, now())?;
    id.into_iter().for_each(|id| rotated.set_resource_id(id));
    Ok(Box::new(Files::new(rotated)))
}

/// Tells how it ended: the last counters, and what failed.
fn finish(ended: Ended) -> anyhow::Result<Finish> {
    let Ended { accounting, sources, rows, written } = ended;
    tell(&accounting);
    if !written {
        tracing::warn!("the output takes no rows; those that waited for it are given up");
    }
    for error in &sources {
        eprintln!("vtap: {error}");
    }
    match rows {
        Some(error) => Err(error.into()),
        None if sources.is_empty() => Ok(Finish::Whole),
        None => Ok(Finish::Damaged),
    }
}

fn tell(accounting: &Accounting) {
    eprintln!("{accounting:#?}");
}

/// What was asked from outside.
struct Signals {
    stop: Arc<AtomicBool>,
    tell: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
}

impl Signals {
    fn catch() -> anyhow::Result<Self> {
        let caught = Self { stop: Arc::default(), tell: Arc::default(), reload: Arc::default() };
        let flags = [
            (SIGTERM, &caught.stop),
            (SIGINT, &caught.stop),
            (SIGUSR1, &caught.tell),
            (SIGHUP, &caught.reload),
        ];
        for (signal, flag) in flags {
            signal_hook::flag::register(signal, Arc::clone(flag))
                .context("cannot catch signals")?;
        }
        Ok(caught)
    }

    fn stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Something that is due again and again.
struct Every {
    span: Option<Duration>,
    next: Timestamp,
}

impl Every {
    fn new(span: Option<Duration>) -> Self {
        Self { span, next: now() + span.unwrap_or_default() }
    }

    fn is_due(&mut self) -> bool {
        let Some(span) = self.span else { return false };
        let time = now();
        // Also where the clock was set back by more than the span.
        if time < self.next && self.next.since(time) <= span {
            return false;
        }
        self.next = time + span;
        true
    }
}

#[expect(clippy::disallowed_methods, reason = "a collector runs by the clock")]
fn now() -> Timestamp {
    Timestamp::EPOCH + SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
