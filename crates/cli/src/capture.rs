//! `vtap capture`: a packet-capture session, live or on captures.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
#[cfg(feature = "live")]
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use vtap_capture::write::{Format, MAX_INTERFACES};
use vtap_capture::{Interface, Source};
use vtap_packet::{Packet, Timestamp};
use vtap_pipeline::{Pace, Pipeline};
use vtap_recorder::{Config, Destination, Filters, Pressure, Recorder, Recording, StopReason};

use crate::args::{self, Speed};
use crate::progress::Clock;
use crate::summary::Summary;
use crate::{Finish, Silent, plan};

mod status;

#[cfg(feature = "live")]
use status::Kernel;
use status::Outcome;

/// How often signals, limits and the status file are looked after while no packet comes.
#[cfg(feature = "live")]
const LOOK: Duration = Duration::from_millis(100);

/// How often a status file is written.
#[cfg(feature = "live")]
const STATUS: Duration = Duration::from_secs(5);

/// Packets between two looks at the bar.
const PROGRESS_EVERY: u64 = 8192;

pub(crate) fn run(args: &args::Capture) -> anyhow::Result<Finish> {
    let signals = Signals::catch()?;
    #[cfg(feature = "live")]
    if args.read.is_empty() {
        return live(args, &signals);
    }
    read(args, &signals)
}

/// A session on captures: their packets, and their time.
fn read(args: &args::Capture, signals: &Signals) -> anyhow::Result<Finish> {
    let outputs: Vec<_> = args.status.path().into_iter().chain(args.output.as_deref()).collect();
    let input = args::Input {
        files: args.read.clone(),
        #[cfg(feature = "live")]
        filter: None,
    };
    let mut inputs = plan::inputs(&input, &outputs)?;
    let mut clock = Clock::start(Speed::Max);
    let mut session: Option<Session> = None;
    let mut packets = 0_u64;
    let mut failed = None;
    let reason = loop {
        if signals.stop() {
            break StopReason::UserStopped;
        }
        match inputs.next() {
            Ok(Some(packet)) => {
                let session = match &mut session {
                    Some(session) => session,
                    // It starts with the first packet.
                    none => none.insert(Session::start(args, Pressure::Wait, packet.time)?),
                };
                if session.wants_name(packet.interface) {
                    // Asking for it takes the packet back.
                    let Packet { number, time, link, interface, wire_len, tunnel, data } = packet;
                    let data = &data.to_vec();
                    session.name_interface(interface, inputs.interface(interface));
                    let packet = Packet { number, time, link, interface, wire_len, tunnel, data };
                    session.packet(packet, time);
                } else {
                    session.packet(packet, packet.time);
                }
            }
            Ok(None) => break StopReason::SourceEnded,
            Err(error) => {
                failed = Some(error);
                break StopReason::SourceFailed;
            }
        }
        packets += 1;
        let Some(session) = &mut session else { continue };
        if let Some(reason) = session.recording.recorder.stop_reason() {
            break reason;
        }
        if packets.is_multiple_of(PROGRESS_EVERY) {
            clock.progress(packets, inputs.progress());
        }
    };
    clock.clear();
    let session = match session {
        Some(session) => session,
        None => Session::start(args, Pressure::Wait, Timestamp::EPOCH)?,
    };
    let outcome = session.stop(reason)?;
    if outcome.status.closed {
        return Ok(Finish::Whole);
    }
    outcome.write(&args.status)?;
    let summary = Summary::new(&outcome.report, &inputs, failed.as_ref(), clock.elapsed());
    summary.write_damage();
    Ok(match summary.finish() {
        Finish::Whole => outcome.finish(),
        other => other,
    })
}

/// A session on packets as they come.
#[cfg(feature = "live")]
fn live(args: &args::Capture, signals: &Signals) -> anyhow::Result<Finish> {
    use vtap_capture::live::{self, Hold, Kind, Live};

    let args::Live { interfaces, source, buffer, promiscuous } = &args.live;
    let config = live::Config {
        kind: *source,
        interfaces: interfaces.clone(),
        plain: args.plain,
        buffer: usize::try_from(*buffer).context("--buffer")?,
        promiscuous: *promiscuous,
        ..live::Config::default()
    };
    let config = match args.envelope.ports.as_slice() {
        [] => config,
        ports => live::Config { ports: ports.to_vec(), ..config },
    };
    // One thread has one.
    let mut source = live::open(&config)?.pop().context("no source")?;
    let _hold = (config.kind != Kind::Udp).then(|| Hold::bind(&config.ports));
    let clock = Wall::start();
    let mut session = Session::start(args, Pressure::Drop, clock.now())?;
    for id in 0..u32::try_from(interfaces.len().max(1)).unwrap_or(1) {
        session.name_interface(id, source.interface(id));
    }
    let mut shown = clock.now();
    session.show(&args.status)?;
    let mut failed = None;
    let reason = loop {
        if signals.stop() {
            break StopReason::UserStopped;
        }
        if let Some(reason) = session.recording.recorder.stop_reason() {
            break reason;
        }
        let now = clock.now();
        if let Err(error) = source.poll(LOOK, |packet| session.packet(packet, now)) {
            failed = Some(error);
            break StopReason::SourceFailed;
        }
        let now = clock.now();
        session.recording.recorder.tick(now);
        if now.since(shown) >= STATUS {
            shown = now;
            session.show(&args.status)?;
        }
    };
    if reason == StopReason::UserStopped {
        // What had come before the signal.
        let now = clock.now();
        for _ in 0..64 {
            match source.poll(Duration::ZERO, |packet| session.packet(packet, now)) {
                Ok(1..) => {}
                _ => break,
            }
        }
    }
    let kernel = source.counters().ok();
    let mut outcome = session.stop(reason)?;
    outcome.kernel =
        kernel.map(|live::Counters { received, dropped, .. }| Kernel { received, dropped });
    if outcome.status.closed {
        return Ok(Finish::Whole);
    }
    outcome.write(&args.status)?;
    match failed {
        Some(error) => {
            eprintln!("vtap: {error}");
            Ok(Finish::Damaged)
        }
        None => Ok(outcome.finish()),
    }
}

/// A pipeline that only decapsulates, and the recorder behind it.
struct Session {
    pipeline: Pipeline,
    recording: Recording,
    /// Capture interfaces whose names the recorder was told; `None` where it writes none.
    named: Option<BTreeSet<u32>>,
}

impl Session {
    fn start(args: &args::Capture, pressure: Pressure, now: Timestamp) -> anyhow::Result<Self> {
        let mut pipeline = Pipeline::new(plan::decap(&args.envelope), None);
        pipeline.intake.plain = args.plain;
        let config = Config {
            name: args.name()?,
            format: args.format(),
            filters: args.filters.iter().cloned().collect::<Filters>(),
            limits: args.limits()?,
            buffer: vtap_recorder::recorder::BUFFER,
            min_free: args.min_free,
            pressure,
        };
        let names = config.format == Format::Pcapng && (args.outer || args.plain);
        let recorder = Recorder::start(destination(args)?, config, now)?;
        let recording = Recording { recorder, outer: args.outer };
        Ok(Self { pipeline, recording, named: names.then(BTreeSet::new) })
    }

    fn wants_name(&self, interface: u32) -> bool {
        let wanted =
            |named: &BTreeSet<u32>| named.len() < MAX_INTERFACES && !named.contains(&interface);
        self.named.as_ref().is_some_and(wanted)
    }

    fn name_interface(&mut self, id: u32, interface: Option<&Interface>) {
        if let Some(named) = &mut self.named {
            named.insert(id);
            self.recording
                .recorder
                .name_interface(id, interface.map_or("", |interface| &interface.name));
        }
    }

    fn packet(&mut self, packet: Packet<'_>, now: Timestamp) {
        let taken = self.pipeline.intake.take(packet);
        self.recording.take(&packet, &taken, now);
    }

    /// Writes the status as it is now, if it goes to a file.
    #[cfg(feature = "live")]
    fn show(&self, to: &args::SummaryTo) -> anyhow::Result<()> {
        let Some(path) = to.path() else { return Ok(()) };
        let (status, report) = (self.recording.recorder.status(), self.pipeline.report());
        status::replace(path, &Outcome { status, report, kernel: None })
    }

    fn stop(mut self, reason: StopReason) -> anyhow::Result<Outcome> {
        let report = self.pipeline.finish(&mut Silent)?;
        let status = self.recording.recorder.stop(reason);
        Ok(Outcome { status, report, kernel: None })
    }
}

/// What was typed, as something to write to. What is no regular file is written as a stream.
fn destination(args: &args::Capture) -> anyhow::Result<Destination> {
    if let Some(folder) = &args.out {
        return Ok(Destination::Folder(folder.clone()));
    }
    let path = args.place()?;
    if path == Path::new("-") {
        return Ok(Destination::Stream("standard output".into(), Box::new(io::stdout())));
    }
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            anyhow::bail!("{}: is a folder; name a file, or use --out", path.display())
        }
        Ok(metadata) if !metadata.is_file() => {
            let opened = OpenOptions::new().write(true).open(path);
            let stream = opened.with_context(|| format!("{}: cannot open", path.display()))?;
            Ok(Destination::Stream(path.to_owned(), Box::new(stream)))
        }
        _ => Ok(Destination::File(path.to_owned())),
    }
}

/// The first SIGINT or SIGTERM ends the session. One that comes more than a second later ends the
/// process, should the session not end: a pipe that it reads says nothing, or a disk hangs. Until
/// then it is the same one again: timeout(1) sends each signal twice.
struct Signals(Arc<AtomicBool>);

impl Signals {
    fn catch() -> anyhow::Result<Self> {
        let (stop, armed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&armed))
                .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
                .context("cannot catch signals")?;
        }
        let stopped = Arc::clone(&stop);
        thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(100));
            }
            thread::sleep(Duration::from_secs(1));
            armed.store(true, Ordering::Relaxed);
        });
        Ok(Self(stop))
    }

    fn stop(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The time of day when the session started, and what has passed since: nobody can set it back.
#[cfg(feature = "live")]
struct Wall {
    began: Timestamp,
    at: Instant,
}

#[cfg(feature = "live")]
impl Wall {
    #[expect(clippy::disallowed_methods, reason = "a live session runs by the clock")]
    fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { began: Timestamp::EPOCH + since_epoch, at: Instant::now() }
    }

    fn now(&self) -> Timestamp {
        self.began + self.at.elapsed()
    }
}
