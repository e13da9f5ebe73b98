//! From values to a [`Config`]: what each key may be.

use std::time::Duration;

use toml_edit::Table;
use tracing::Level;
use vtap_capture::live::{self, Kind};
use vtap_export::Format;
use vtap_files::Rotation;
use vtap_flow::{Checksum, Copies, Profile};
use vtap_flowlog::{Ids, Interval};

use super::section::{Refused, Section, number};
use super::{
    After, Config, Events, Flows, Privileges, Record, Telemetry, Tracking, TrafficAnalytics,
    Upload, VnetFlowLog,
};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// The most that libpcap can be asked for: it takes an `int`.
const MAX_BUFFER: u64 = 2047 * MIB;

/// The most that libpcap takes of a packet (`MAXIMUM_SNAPLEN`).
const MAX_SNAPLEN: i64 = 262_144;

/// The largest level of zstd.
const MAX_ZSTD: i64 = 22;

impl Config {
    /// Of the template, with what was laid over it.
    pub(super) fn read(document: &Table) -> Result<Self, Refused> {
        let section = |name: &'static str| {
            let table = document.get(name).and_then(toml_edit::Item::as_table);
            let missing =
                || Refused { section: name, key: "", wrong: "not in the template".into() };
            table.map(|table| Section { name, table }).ok_or_else(missing)
        };
        let mut config = Self {
            source: source(section("source")?)?,
            tracking: tracking(section("tracking")?)?,
            events: events(section("events")?)?,
            flows: flows(section("flows")?)?,
            networks: section("networks")?.optional("file")?.map(Into::into),
            vnet_flow_log: vnet_flow_log(section("vnet_flow_log")?)?,
            traffic_analytics: traffic_analytics(section("traffic_analytics")?)?,
            record: record(section("record")?)?,
            upload: upload(section("upload")?)?,
            telemetry: telemetry(section("telemetry")?)?,
            privileges: privileges(section("privileges")?)?,
        };
        config.tracking.flow.records = config.tells_flows();
        match config.upload_conflict() {
            Some(wrong) => Err(section("upload")?.refuse("url", wrong)),
            None => Ok(config),
        }
    }
}

fn source(section: Section<'_>) -> Result<live::Config, Refused> {
    let kinds = [("pcap", Kind::Pcap), ("ring", Kind::Ring), ("udp", Kind::Udp)];
    let kind = section.choice("kind", &kinds)?;
    let name = |value: &toml_edit::Value| {
        value.as_str().filter(|name| !name.is_empty()).map(ToOwned::to_owned)
    };
    let port = |value: &toml_edit::Value| number(value, &(1..=65_535));
    let threads = section.number("threads", 1..=64)?;
    if threads > 1 && kind != Kind::Ring {
        let wrong = format!("expected 1: source {kind} cannot share its packets, but ring can");
        return Err(section.refuse("threads", wrong));
    }
    Ok(live::Config {
        kind,
        interfaces: section.list("interfaces", "expected names, as in [\"eth0\"]", name)?,
        ports: section.list("ports", "expected ports from 1 to 65535, as in [4789]", port)?,
        filter: section.optional("filter")?,
        plain: section.switch("plain")?,
        buffer: section.size("buffer", 64 * KIB..=MAX_BUFFER)?,
        snaplen: section.number("snaplen", 64..=MAX_SNAPLEN)?,
        promiscuous: section.switch("promiscuous")?,
        threads,
    })
}

fn tracking(section: Section<'_>) -> Result<Tracking, Refused> {
    let profile =
        section.choice("profile", &[("azure", Profile::Azure), ("linux", Profile::Linux)])?;
    let own = vtap_flow::Config::new(profile);
    let checksums = [
        ("verify", Checksum::Verify),
        ("offload-aware", Checksum::OffloadAware),
        ("off", Checksum::Off),
    ];
    Ok(Tracking {
        flow: vtap_flow::Config {
            profile,
            pickup: section
                .optional_choice("pickup", &[("on", true), ("off", false)])?
                .unwrap_or(own.pickup),
            checksum: section.optional_choice("checksum", &checksums)?.unwrap_or(own.checksum),
            warm_up: section.span_or_empty("warm_up", DAY)?.unwrap_or(own.warm_up),
            max_flows: section.number("max_flows", 1..=100_000_000)?,
            invalid_limit: section.number("invalid_limit", 0..=u32::MAX.into())?,
            fold_vni: section.switch("fold_vni")?,
            copies: Copies {
                window: section.span("dedup_window", Duration::ZERO..=MINUTE)?,
                packets: section.number("dedup_packets", 1..=1 << 24)?,
            },
            reordering: section.span_or_empty("reorder_window", SECOND)?.unwrap_or(own.reordering),
            records: own.records,
        },
        max_depth: section.number("max_depth", 1..=16)?,
        strict_vxlan: section.switch("strict_vxlan")?,
        inner_filter: section.optional("inner_filter")?,
    })
}

fn events(section: Section<'_>) -> Result<Events, Refused> {
    let directory = section.optional("directory")?;
    let usual = if directory.is_some() { Format::Json } else { Format::Text };
    let formats = Format::ALL.map(|format| (format.name(), format));
    let format = section.optional_choice("format", &formats)?.unwrap_or(usual);
    Ok(Events {
        format,
        directory: directory.map(Into::into),
        flags: section.parsed("flags", "")?.unwrap_or_else(|| format.flags()),
        retransmissions: section.switch("retransmissions")?,
        resource_id: section.optional("resource_id")?,
        rotation: rotation(&section)?,
        queue: section.number("queue", 256..=1 << 24)?,
    })
}

fn rotation(section: &Section<'_>) -> Result<Rotation, Refused> {
    Ok(Rotation {
        bytes: section.optional_size("rotate_bytes", 64 * KIB..=TIB)?,
        every: section.optional_span("rotate_every", SECOND..=31 * DAY)?,
        keep: section.optional_number("keep", 1..=1_000_000)?,
        compression: section.optional_number("zstd", 1..=MAX_ZSTD)?,
        min_free_bytes: section.size("min_free", 0..=1024 * TIB)?,
        ..Rotation::default()
    })
}

fn flows(section: Section<'_>) -> Result<Flows, Refused> {
    Ok(Flows {
        directory: section.optional("directory")?.map(Into::into),
        format: section.choice("format", &[("json", Format::Json), ("text", Format::Text)])?,
        rotation: rotation(&section)?,
        queue: section.number("queue", 256..=1 << 24)?,
    })
}

fn vnet_flow_log(section: Section<'_>) -> Result<VnetFlowLog, Refused> {
    let name = |key| {
        let name = section.text(key)?;
        if Ids::is_name(name) {
            return Ok(name.to_owned());
        }
        Err(section.refuse(key, "expected letters, digits and -_.() alone: it is part of a path"))
    };
    Ok(VnetFlowLog {
        directory: section.optional("directory")?.map(Into::into),
        ids: Ids {
            subscription: name("subscription")?,
            resource_group: name("resource_group")?,
            network_watcher: name("network_watcher")?,
            flow_log: name("flow_log")?,
            guid: section.text("guid")?.to_owned(),
            target_resource: section.text("target_resource")?.to_owned(),
        },
    })
}

fn traffic_analytics(section: Section<'_>) -> Result<TrafficAnalytics, Refused> {
    let intervals = [("10m", Interval::TenMinutes), ("1h", Interval::Hour)];
    Ok(TrafficAnalytics {
        directory: section.optional("directory")?.map(Into::into),
        interval: section.choice("interval", &intervals)?,
    })
}

fn upload(section: Section<'_>) -> Result<Upload, Refused> {
    Ok(Upload {
        url: section.optional("url")?,
        credentials_file: section.optional("credentials_file")?.map(Into::into),
        after: section.choice("after", &[("remove", After::Remove), ("keep", After::Keep)])?,
        refresh: section.span("refresh", MINUTE..=60 * MINUTE)?,
        parallel: section.number("parallel", 1..=64)?,
        remove_after: section.span("remove_after", SECOND..=DAY)?,
        scan_every: section.span("scan_every", SECOND..=60 * MINUTE)?,
        drain: section.span("drain", Duration::ZERO..=10 * MINUTE)?,
    })
}

fn record(section: Section<'_>) -> Result<Record, Refused> {
    Ok(Record {
        directory: section.optional("directory")?.map(Into::into),
        outer: section.switch("outer")?,
        pcapng: section.switch("pcapng")?,
        bytes_per_packet: section
            .optional_number("bytes_per_packet", 64..=MAX_SNAPLEN)?
            .unwrap_or_default(),
        file_count: section.optional_number("file_count", 1..=1_000_000)?,
        file_size: section.size("file_size", 64 * KIB..=TIB)?,
        buffer: section.size("buffer", MIB..=16 * GIB)?,
        min_free: section.size("min_free", 0..=1024 * TIB)?,
    })
}

fn telemetry(section: Section<'_>) -> Result<Telemetry, Refused> {
    let levels = [
        ("error", Level::ERROR),
        ("warn", Level::WARN),
        ("info", Level::INFO),
        ("debug", Level::DEBUG),
        ("trace", Level::TRACE),
    ];
    Ok(Telemetry {
        listen: section
            .parsed("listen", "; expected an address and a port, as in \"127.0.0.1:9789\"")?,
        log_every: section.optional_span("log_every", SECOND..=DAY)?,
        log_level: section.choice("log_level", &levels)?,
    })
}

fn privileges(section: Section<'_>) -> Result<Privileges, Refused> {
    Ok(Privileges { user: section.optional("user")?, landlock: section.switch("landlock")? })
}
