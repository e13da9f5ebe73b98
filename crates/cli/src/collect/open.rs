//! From a configuration to what a collector is made of.

use std::io;

use vtap_capture::live::{self, Hold, Kind, Opened};
use vtap_capture::write::Format;
use vtap_collector::config::Config;
use vtap_collector::places::{Files, Stream};
use vtap_collector::{FlowLogs, Rows, Tuning};
use vtap_decap::{Decap, PortSet};
use vtap_export::{Directory, Log, Output};
use vtap_flow::Tracker;
use vtap_flowlog::{Analytics, VnetFlowLog};
use vtap_networks::Describer;
use vtap_pipeline::Pipeline;
use vtap_recorder::{Destination, Filters, Limits, Pressure, Recorder, Recording, Ring};

use super::now;
use crate::plan;

/// Opens the source, or the several that share its packets out.
pub(super) fn source(config: &Config) -> anyhow::Result<Vec<Opened>> {
    let source = &config.source;
    let opened = live::open(source)?;
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
pub(super) fn belts(
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
    let files = record.file_count.and_then(|files| u32::try_from(files).ok());
    let ring = Ring {
        // Without a limit: whoever takes files away sees to them.
        files: files.unwrap_or(u32::MAX),
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
pub(super) fn hold(config: &Config) -> Option<Hold> {
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

pub(super) fn rows(config: &Config) -> anyhow::Result<Box<dyn Rows>> {
    let events = &config.events;
    let id = events.resource_id.as_deref();
    let Some(directory) = &events.directory else {
        let mut output = Output::stream(events.format, Log::Events, Box::new(io::stdout()));
        id.into_iter().for_each(|id| output.set_resource_id(id));
        return Ok(Box::new(Stream::new(output)));
    };
    let rotation = events.rotation.clone();
    let mut rotated =
        Directory::create(directory)?.rotated(events.format, Log::Events, rotation, now())?;
    id.into_iter().for_each(|id| rotated.set_resource_id(id));
    Ok(Box::new(Files::new(rotated)))
}

/// What names addresses in the logs of flows; `None` where there are none.
pub(super) fn describer(config: &Config) -> anyhow::Result<Option<Describer>> {
    if !config.tells_flows() {
        return Ok(None);
    }
    Ok(Some(plan::describer(config.networks.as_deref())?))
}

/// The logs of flows.
pub(super) fn flows(
    config: &Config,
    describer: Describer,
) -> anyhow::Result<Box<dyn vtap_collector::flows::Flows>> {
    let Config { flows, vnet_flow_log, traffic_analytics, .. } = config;
    let rows = |directory| {
        let rotation = flows.rotation.clone();
        Directory::create(directory)?.rotated(flows.format, Log::Flows, rotation, now())
    };
    let ids = &vnet_flow_log.ids;
    let rows = flows.directory.as_ref().map(rows).transpose()?;
    let vnet = vnet_flow_log.directory.as_ref().map(|at| VnetFlowLog::open(at, ids));
    let sums = traffic_analytics.directory.as_ref();
    let sums = sums.map(|at| Analytics::open(at, ids, traffic_analytics.interval));
    Ok(Box::new(FlowLogs::new(describer, rows, vnet.transpose()?, sums.transpose()?)))
}

/// What of it can change while it runs.
pub(super) fn tuning(config: &Config) -> Tuning {
    let Config { events, flows, .. } = config;
    Tuning {
        flags: events.flags,
        retransmissions: events.retransmissions,
        rotation: events.rotation.clone(),
        flow_rotation: flows.rotation.clone(),
    }
}
