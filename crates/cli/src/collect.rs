//! `vtap collect`: events and flows of what is mirrored to this machine, for as long as it runs.

mod open;
mod outside;
#[cfg(feature = "upload")]
mod upload;
#[cfg(not(feature = "upload"))]
#[path = "collect/without_upload.rs"]
mod upload;

use std::io::Write;
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use vtap_capture::live;
use vtap_collector::config::Loaded;
use vtap_collector::http::Server;
use vtap_collector::privileges::{self, Reach};
use vtap_collector::service::Service;
use vtap_collector::{Accounting, Collector, Config, Ended, Setup, Table};
use vtap_packet::Timestamp;

use crate::args::{Collect, SummaryTo};
use crate::{Finish, Log, plan};
use outside::{Every, Signals};
use upload::{Store, Uploading};

/// How often signals are looked for.
const LOOK: Duration = Duration::from_millis(100);

/// How long the last rows may take, once reading was stopped; the ring is drained before.
const PATIENCE: Duration = Duration::from_secs(4);

/// The same where every open flow is told of at the end.
const FLOW_PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn run(args: &Collect, log: &Log) -> anyhow::Result<Finish> {
    let mut loaded = args.load()?;
    if args.print_config {
        return crate::print(loaded.to_string().as_bytes());
    }
    let config = &loaded.config;
    log.set(config.telemetry.log_level);
    let signals = Signals::catch()?;
    let sources = open::source(config)?;
    let _hold = open::hold(config);
    let listener = listener(config)?;
    // At the end it could not be made any more.
    let summary = args.summary.path().map(plan::file).transpose()?;
    let describer = open::describer(config)?;
    let store = upload::open(config)?;
    // Before any thread, those of recorders included, and before files are begun, which would be
    // root's.
    confine(&loaded, store.as_ref())?;
    let rows = open::rows(config)?;
    let flows = describer.map(|describer| open::flows(config, describer)).transpose()?;
    let belts = open::belts(config, sources)?;
    // Once all directories are there.
    let uploading = store.map(|store| store.start(config)).transpose()?;
    let collector = Collector::start(Setup {
        belts,
        rows,
        flows,
        uploads: uploading.as_ref().map(Uploading::counters),
        tuning: open::tuning(config),
        queue: config.events.queue,
        flow_queue: config.flows.queue,
        interfaces: config.source.interfaces.clone(),
        now,
    })?;
    let server = listener.map(|listener| Server::start(listener, collector.watch())).transpose()?;
    let description = description(config);
    eprintln!("vtap: collecting from {description}");
    let mut service = Service::from_environment();
    service.ready(&description).context("cannot tell the service manager")?;
    let log_every = Every::new(config.telemetry.log_every);
    let mut running = Running { log: log_every, before: None, shown: None };
    while !signals.stop() && !collector.is_over() {
        thread::sleep(LOOK);
        if service.watchdog_every().is_some() && collector.watch().health().is_ok() {
            // If it is not heard, the service manager kills this process and says so.
            let _ = service.watchdog(now());
        }
        if signals.tell() {
            running.show(&collector);
        }
        if signals.reload() {
            let _ = service.reloading();
            reload(&mut loaded, &collector, log);
            running.log = Every::new(loaded.config.telemetry.log_every);
            let _ = service.ready(&description);
        }
        running.log(&collector, &service);
        uploading.iter().for_each(Uploading::tell);
    }
    let _ = service.stopping();
    let patience = if loaded.config.tells_flows() { FLOW_PATIENCE } else { PATIENCE };
    let mut ended = collector.stop(patience);
    if let Some(uploading) = &uploading {
        ended.accounting.uploads = uploading.drain(&signals);
        ended.accounting.at = now();
    }
    drop(server);
    finish(ended, &args.summary, summary)
}

/// What is told while it runs, again and again or on request.
struct Running {
    log: Every,
    /// The counters that were logged last.
    before: Option<Accounting>,
    /// Those that were asked for last.
    shown: Option<Accounting>,
}

impl Running {
    fn show(&mut self, collector: &Collector) {
        let now = collector.accounting();
        let table = Table::new(&now);
        eprintln!("{}", self.shown.as_ref().map_or(table, |shown| table.since(shown)));
        self.shown = Some(now);
    }

    fn log(&mut self, collector: &Collector, service: &Service) {
        if !self.log.is_due() {
            return;
        }
        let now = collector.accounting();
        let table = Table::new(&now);
        let line = self.before.as_ref().map_or(table, |before| table.since(before)).line();
        tracing::info!("{line}");
        let _ = service.status(&line);
        self.before = Some(now);
    }
}

/// Reads the configuration again.
fn reload(loaded: &mut Loaded, collector: &Collector, log: &Log) {
    let changes = match loaded.reload() {
        Ok(changes) => changes,
        Err(error) => return tracing::error!("nothing is changed: {error}"),
    };
    for change in &changes {
        let when = if change.applied { "from now on" } else { "after a restart" };
        tracing::warn!("{} is {} {when}, not {}", change.key, change.to, change.from);
    }
    if changes.is_empty() {
        tracing::info!("the configuration has not changed");
    }
    log.set(loaded.config.telemetry.log_level);
    collector.tune(open::tuning(&loaded.config));
}

/// Where metrics are served; bound while that is still allowed.
fn listener(config: &Config) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = config.telemetry.listen else { return Ok(None) };
    let bound = TcpListener::bind(address);
    Ok(Some(bound.with_context(|| format!("cannot serve metrics at {address}"))?))
}

/// Gives up what takes privileges, and says what holds from now on.
fn confine(loaded: &Loaded, store: Option<&Store>) -> anyhow::Result<()> {
    let mut reach = Reach::of(loaded);
    if let Some(store) = store {
        store.keep(&mut reach);
    }
    let confined = privileges::give_up(&loaded.config.privileges, &reach)?;
    if confined.landlock.falls_short() {
        tracing::warn!("{confined}");
    } else {
        tracing::info!("{confined}");
    }
    Ok(())
}

/// As tcpdump says what it listens on.
fn description(config: &Config) -> String {
    let live::Config { kind, interfaces, ports, plain, .. } = &config.source;
    let interfaces = if interfaces.is_empty() { "any".to_owned() } else { interfaces.join(", ") };
    let ports: Vec<_> = ports.iter().map(ToString::to_string).collect();
    let everything = if *plain { ", and what is not mirrored" } else { "" };
    format!("{interfaces}, source {kind}, UDP port {}{everything}", ports.join(", "))
}

/// Tells how it ended: the last counters, and what failed.
fn finish(
    ended: Ended,
    summary: &SummaryTo,
    file: Option<Box<dyn Write>>,
) -> anyhow::Result<Finish> {
    let Ended { accounting, sources, rows, written } = ended;
    if !written {
        eprintln!("vtap: the output takes no rows; those that waited for it are given up");
    }
    for error in &sources {
        eprintln!("vtap: {error}");
    }
    let reader_gone = rows.as_ref().is_some_and(vtap_export::Error::is_broken_pipe);
    if !reader_gone {
        match (summary, file) {
            (SummaryTo::File(path), Some(file)) => {
                plan::write_json_to(file, path, &accounting.to_json())?;
            }
            (SummaryTo::Json, _) => eprintln!("{:#}", accounting.to_json()),
            (SummaryTo::Text | SummaryTo::File(_), _) => {
                eprint!("\n{}", Table::new(&accounting));
            }
        }
    }
    match rows {
        Some(error) => Err(error.into()),
        None if sources.is_empty() => Ok(Finish::Whole),
        None => Ok(Finish::Damaged),
    }
}

#[expect(clippy::disallowed_methods, reason = "a collector runs by the clock")]
fn now() -> Timestamp {
    Timestamp::EPOCH + SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
