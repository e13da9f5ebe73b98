//! From values to a [`Config`]: what each key may be.

use std::time::Duration;

use toml_edit::Table;
use tracing::Level;
use vtap_capture::live::{self, Kind};
use vtap_export::Format;
use vtap_flow::{Checksum, Copies, Profile};

use super::section::{Refused, Section, number};
use super::{Config, Events, Privileges, Record, Telemetry, Tracking};

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
        Ok(Self {
            source: source(section("source")?)?,
            tracking: tracking(section("tracking")?)?,
            events: events(section("events")?)?,
            record: record(section("record")?)?,
            telemetry: telemetry(section("telemetry")?)?,
            privileges: privileges(section("privileges")?)?,
        })
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
        rotate_bytes: section.optional_size("rotate_bytes", 64 * KIB..=TIB)?,
        rotate_every: section.optional_span("rotate_every", SECOND..=31 * DAY)?,
        keep: section.optional_number("keep", 1..=1_000_000)?,
        zstd: section.optional_number("zstd", 1..=MAX_ZSTD)?,
        min_free: section.size("min_free", 0..=1024 * TIB)?,
        queue: section.number("queue", 256..=1 << 24)?,
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
        file_count: section.number("file_count", 1..=1_000_000)?,
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
