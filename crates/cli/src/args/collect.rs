//! What can be typed for `vtap collect`: a flag for each key of its configuration.
//!
//! What a key means, its default and what it may be stand in the collector's `default.toml` alone.
//! The help of a flag is the first paragraph there.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use vtap_collector::config::{self, Given, Loaded, Setting};

use super::SummaryTo;

#[derive(Clone, Debug)]
pub(crate) struct Collect {
    /// The file, if one was named.
    file: Option<PathBuf>,
    /// Whether to print the configuration instead of collecting.
    pub(crate) print_config: bool,
    /// Where the last counters go.
    pub(crate) summary: SummaryTo,
    given: Vec<Given>,
}

impl Collect {
    /// The defaults, with the file and then the flags laid over them.
    pub(crate) fn load(&self) -> Result<Loaded, config::Error> {
        Loaded::load(self.file.as_deref(), &self.given)
    }
}

/// Each key with its flag, and how its value is named: as the values, where these are names.
const FLAGS: [(&str, &str, &str); 72] = [
    ("source.kind", "source", "pcap|ring|udp"),
    ("source.interfaces", "interface", "IF"),
    ("source.ports", "port", "PORT"),
    ("source.filter", "filter", "BPF"),
    ("source.plain", "plain", SWITCH),
    ("source.buffer", "buffer", "SIZE"),
    ("source.snaplen", "snaplen", "BYTES"),
    ("source.promiscuous", "promiscuous", SWITCH),
    ("source.threads", "threads", "N"),
    ("tracking.profile", "profile", "azure|linux"),
    ("tracking.pickup", "pickup", "on|off"),
    ("tracking.checksum", "checksum", "verify|offload-aware|off"),
    ("tracking.warm_up", "warm-up", "SPAN"),
    ("tracking.max_flows", "max-flows", "N"),
    ("tracking.invalid_limit", "invalid-limit", "N"),
    ("tracking.fold_vni", "fold-vni", SWITCH),
    ("tracking.dedup_window", "dedup-window", "SPAN"),
    ("tracking.dedup_packets", "dedup-packets", "N"),
    ("tracking.reorder_window", "reorder-window", "SPAN"),
    ("tracking.max_depth", "max-depth", "N"),
    ("tracking.strict_vxlan", "strict-vxlan", SWITCH),
    ("tracking.inner_filter", "inner-filter", "BPF"),
    ("events.format", "format", "text|json|azure|none"),
    ("events.directory", "out", "DIR"),
    ("events.flags", "flags", "FLAGS"),
    ("events.retransmissions", "retransmissions", SWITCH),
    ("events.resource_id", "resource-id", "ID"),
    ("events.rotate_bytes", "rotate-bytes", "SIZE"),
    ("events.rotate_every", "rotate-every", "SPAN"),
    ("events.keep", "keep", "N"),
    ("events.zstd", "zstd", "LEVEL"),
    ("events.min_free", "min-free", "SIZE"),
    ("events.queue", "queue", "N"),
    ("flows.directory", "flows", "DIR"),
    ("flows.format", "flows-format", "json|text"),
    ("flows.rotate_bytes", "flows-rotate-bytes", "SIZE"),
    ("flows.rotate_every", "flows-rotate-every", "SPAN"),
    ("flows.keep", "flows-keep", "N"),
    ("flows.zstd", "flows-zstd", "LEVEL"),
    ("flows.min_free", "flows-min-free", "SIZE"),
    ("flows.queue", "flows-queue", "N"),
    ("networks.file", "networks", "FILE"),
    ("vnet_flow_log.directory", "vnet-flow-log", "DIR"),
    ("vnet_flow_log.subscription", "subscription", "GUID"),
    ("vnet_flow_log.resource_group", "resource-group", "NAME"),
    ("vnet_flow_log.network_watcher", "network-watcher", "NAME"),
    ("vnet_flow_log.flow_log", "flow-log", "NAME"),
    ("vnet_flow_log.guid", "flow-log-guid", "GUID"),
    ("vnet_flow_log.target_resource", "target-resource", "ID"),
    ("traffic_analytics.directory", "traffic-analytics", "DIR"),
    ("traffic_analytics.interval", "interval", "10m|1h"),
    ("record.directory", "record", "DIR"),
    ("record.outer", "record-outer", SWITCH),
    ("record.pcapng", "record-pcapng", SWITCH),
    ("record.bytes_per_packet", "record-bytes-per-packet", "BYTES"),
    ("record.file_count", "record-file-count", "N"),
    ("record.file_size", "record-file-size", "SIZE"),
    ("record.buffer", "record-buffer", "SIZE"),
    ("record.min_free", "record-min-free", "SIZE"),
    ("upload.url", "upload", "URL"),
    ("upload.credentials_file", "credentials-file", "FILE"),
    ("upload.after", "upload-after", "remove|keep"),
    ("upload.refresh", "upload-refresh", "SPAN"),
    ("upload.parallel", "upload-parallel", "N"),
    ("upload.remove_after", "upload-remove-after", "SPAN"),
    ("upload.scan_every", "upload-scan-every", "SPAN"),
    ("upload.drain", "upload-drain", "SPAN"),
    ("telemetry.listen", "metrics", "ADDR:PORT"),
    ("telemetry.log_every", "log-every", "SPAN"),
    ("telemetry.log_level", "log-level", "error|warn|info|debug|trace"),
    ("privileges.user", "user", "USER"),
    ("privileges.landlock", "landlock", SWITCH),
];

/// May be left out: the flag alone says true.
const SWITCH: &str = "true|false";

const UNITS: &str = "\
Sizes are bytes, or have a unit: 64MiB, 100MB. Spans are seconds, or have a unit: 250ms, 1h, 7d.
What each may be, and what surprises: vtap collect --print-config, which prints a configuration file
with these values in it. Flags go before the file, and the file before the defaults. SIGHUP has the
file read again; SIGINT and SIGTERM write what is left and end.";

impl Args for Collect {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help("Read options from this file (TOML); without, no file is read");
        let print = Arg::new("print-config")
            .long("print-config")
            .action(ArgAction::SetTrue)
            .help("Print the configuration, with all that can be set and why, and end");
        let summary = Arg::new("summary")
            .long("summary")
            .value_name("text|json|FILE")
            .default_value("text")
            .value_parser(clap::value_parser!(SummaryTo))
            .help("Where the counters go at the end: to standard error, or to a file as JSON");
        let settings = config::settings();
        let flags = FLAGS.iter().filter_map(|&(key, name, value)| {
            let setting = settings.iter().find(|setting| setting.key == key)?;
            Some(flag(setting, name, value))
        });
        command.after_help(UNITS).args([file, print, summary]).args(flags.collect::<Vec<_>>())
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn flag(setting: &Setting, name: &'static str, value: &'static str) -> Arg {
    let help = match &setting.default {
        Some(default) => format!("{} [default: {default}]", setting.summary),
        None => setting.summary.clone(),
    };
    let heading = match setting.key.split_once('.') {
        Some(("source", _)) => "Source",
        Some(("tracking", _)) => "Tracking",
        Some(("events", _)) => "Events",
        Some(("flows" | "networks" | "vnet_flow_log" | "traffic_analytics", _)) => "Flows",
        Some(("record", _)) => "Recording",
        Some(("upload", _)) => "Uploads",
        Some(("telemetry", _)) => "Telemetry",
        _ => "Privileges",
    };
    let mut flag = Arg::new(name).long(name).value_name(value).help(help).help_heading(heading);
    if name == "interface" {
        flag = flag.short('i');
    }
    if setting.list {
        flag = flag.action(ArgAction::Append);
    }
    if value.contains('|') {
        let names = PossibleValuesParser::new(value.split('|'));
        flag = flag.value_parser(names).hide_possible_values(true);
    }
    if setting.switch {
        flag = flag.num_args(0..=1).require_equals(true).default_missing_value("true");
    }
    flag
}

impl FromArgMatches for Collect {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let typed = |name: &str| matches.value_source(name) == Some(ValueSource::CommandLine);
        let given = FLAGS.iter().filter(|(_, name, _)| typed(name)).map(|&(key, name, _)| Given {
            key: key.to_owned(),
            flag: format!("--{name}"),
            values: matches.get_many::<String>(name).into_iter().flatten().cloned().collect(),
        });
        Ok(Self {
            file: matches.get_one::<PathBuf>("config").cloned(),
            print_config: matches.get_flag("print-config"),
            summary: matches.get_one("summary").cloned().unwrap_or(SummaryTo::Text),
            given: given.collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Collect, clap::Error> {
        let command = Collect::augment_args(Command::new("collect").no_binary_name(true));
        Collect::from_arg_matches(&command.try_get_matches_from(arguments)?)
    }

    #[test]
    fn every_key_has_a_flag_and_every_flag_a_key() {
        let settings = config::settings();
        let keys: Vec<_> = settings.iter().map(|setting| setting.key.as_str()).collect();
        assert_eq!(keys, FLAGS.map(|(key, ..)| key));
        for (setting, (_, _, value)) in settings.iter().zip(FLAGS) {
            assert_eq!(setting.switch, value == SWITCH, "{}", setting.key);
        }
        Collect::augment_args(Command::new("collect")).debug_assert();
    }

    #[test]
    fn names_that_a_flag_takes_are_those_that_its_key_takes() {
        for (key, name, values) in FLAGS.iter().filter(|(.., value)| value.contains('|')) {
            for value in values.split('|') {
                let collect = parse(&[&format!("--{name}={value}")]).unwrap();
                assert!(collect.load().is_ok(), "{key} {value}");
            }
        }
    }

    #[test]
    fn what_is_typed_goes_before_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("collect.toml");
        std::fs::write(&path, "[source]\nports = [1]\nplain = true\nsnaplen = 128\n").unwrap();
        let path = path.to_str().unwrap();
        let typed =
            ["--config", path, "-i", "eth0", "--interface", "7", "--port", "2", "--plain=false"];
        let source = parse(&typed).unwrap().load().unwrap().config.source;
        assert_eq!((source.interfaces, source.ports), (vec!["eth0".into(), "7".into()], vec![2]));
        assert_eq!((source.plain, source.snaplen), (false, 128));
        assert!(parse(&["--plain"]).unwrap().load().unwrap().config.source.plain);
    }

    #[test]
    fn a_mistake_is_told_by_its_flag() {
        let said = |typed: &[&str]| parse(typed).unwrap().load().unwrap_err().to_string();
        let number = "expected a whole number from 1 to 64";
        assert_eq!(said(&["--threads", "0"]), format!("--threads 0: {number}"));
        assert_eq!(said(&["--threads", "two"]), format!("--threads two: {number}"));
        assert!(
            said(&["--out", "x", "--rotate-every", "5 parsecs"]).starts_with("--rotate-every 5")
        );
        assert!(parse(&["--source", "dpdk"]).unwrap_err().to_string().contains("pcap, ring, udp"));
    }
}
