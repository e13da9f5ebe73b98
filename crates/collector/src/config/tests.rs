use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use vtap_capture::live;
use vtap_export::{FlagSet, Format};
use vtap_flow::{Checksum, Profile};
use vtap_flowlog::{Ids, Interval};

use super::loaded::{RELOADABLE, template};
use super::*;

/// A value for each key that is not the default.
const OTHER: [(&str, &str); 72] = [
    ("source.kind", "udp"),
    ("source.interfaces", "eth0"),
    ("source.ports", "8472"),
    ("source.filter", "src host 10.0.0.4"),
    ("source.plain", "true"),
    ("source.buffer", "128MiB"),
    ("source.snaplen", "256"),
    ("source.promiscuous", "true"),
    ("source.threads", "1"),
    ("tracking.profile", "linux"),
    ("tracking.pickup", "on"),
    ("tracking.checksum", "off"),
    ("tracking.warm_up", "90"),
    ("tracking.max_flows", "5"),
    ("tracking.invalid_limit", "0"),
    ("tracking.fold_vni", "true"),
    ("tracking.dedup_window", "0"),
    ("tracking.dedup_packets", "65536"),
    ("tracking.reorder_window", "20ms"),
    ("tracking.max_depth", "1"),
    ("tracking.strict_vxlan", "true"),
    ("tracking.inner_filter", "tcp port 443"),
    ("events.format", "azure"),
    ("events.directory", "/var/log/vtap"),
    ("events.flags", "RST,INVALID"),
    ("events.retransmissions", "true"),
    ("events.resource_id", "/subscriptions/1"),
    ("events.rotate_bytes", "0"),
    ("events.rotate_every", "1d"),
    ("events.keep", "0"),
    ("events.zstd", "3"),
    ("events.min_free", "0"),
    ("events.queue", "1024"),
    ("flows.directory", "/var/log/flows"),
    ("flows.format", "text"),
    ("flows.rotate_bytes", "1GiB"),
    ("flows.rotate_every", "10m"),
    ("flows.keep", "0"),
    ("flows.zstd", "19"),
    ("flows.min_free", "0"),
    ("flows.queue", "512"),
    ("networks.file", "/etc/vtap/networks.toml"),
    ("vnet_flow_log.directory", "/srv/logs"),
    ("vnet_flow_log.subscription", "1"),
    ("vnet_flow_log.resource_group", "RG"),
    ("vnet_flow_log.network_watcher", "NetworkWatcher_westeurope"),
    ("vnet_flow_log.flow_log", "mine"),
    ("vnet_flow_log.guid", "2"),
    ("vnet_flow_log.target_resource", "/subscriptions/1"),
    ("traffic_analytics.directory", "/srv/logs"),
    ("traffic_analytics.interval", "10m"),
    ("record.directory", "/data"),
    ("record.outer", "true"),
    ("record.pcapng", "false"),
    ("record.bytes_per_packet", "128"),
    ("record.file_count", "3"),
    ("record.file_size", "1GiB"),
    ("record.buffer", "1MiB"),
    ("record.min_free", "1"),
    ("upload.url", "file:///mnt/share"),
    ("upload.credentials_file", "/etc/vtap/credentials"),
    ("upload.after", "keep"),
    ("upload.refresh", "15m"),
    ("upload.parallel", "8"),
    ("upload.remove_after", "1m"),
    ("upload.scan_every", "1s"),
    ("upload.drain", "0"),
    ("telemetry.listen", "[::1]:9789"),
    ("telemetry.log_every", "0"),
    ("telemetry.log_level", "debug"),
    ("privileges.user", "vtap"),
    ("privileges.landlock", "false"),
];

fn file(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("collect.toml");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn load(text: &str) -> Result<Loaded, Error> {
    let (_folder, path) = file(text);
    Loaded::load(Some(&path), &[])
}

fn given(key: &str, value: &str) -> Given {
    Given { key: key.into(), flag: "--flag".into(), values: vec![value.into()] }
}

/// What is said of a file, without its directory.
fn wrong(text: &str) -> String {
    let (folder, path) = file(text);
    let error = Loaded::load(Some(&path), &[]).unwrap_err().to_string();
    error.replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn the_template_says_the_defaults_of_the_crates_that_have_them() {
    let config = Loaded::load(None, &[]).unwrap().config;
    assert!(!config.tells_flows() && config.spools().is_empty() && config.networks.is_none());
    let Config { source, tracking, events, record, flows, upload, .. } = config;
    let live = live::Config::default();
    assert_eq!((source.kind, source.ports, source.filter), (live.kind, live.ports, live.filter));
    assert_eq!(source.interfaces, ["any"]);
    assert_eq!((source.plain, source.buffer), (live.plain, live.buffer));
    assert_eq!((source.snaplen, source.promiscuous), (live.snaplen, live.promiscuous));
    assert_eq!(source.threads, 1);
    assert_eq!(tracking.flow, vtap_flow::Config::default());
    assert_eq!(tracking.max_depth, vtap_decap::config::MAX_DEPTH);
    assert_eq!((events.format, events.directory, events.flags), (Format::Text, None, FlagSet::ALL));
    let Rotation { bytes, every, keep, compression, min_free_bytes, .. } = events.rotation;
    assert_eq!(every, Some(Duration::from_secs(3600)));
    assert_eq!((bytes, keep, compression), (Some(256 << 20), Some(168), None));
    assert_eq!((record.directory, record.pcapng, record.outer), (None, true, false));
    assert_eq!((record.file_count, record.file_size), (Some(10), 100_000_000));
    assert_eq!((flows.format, &flows.rotation), (Format::Json, &events.rotation));
    assert_eq!((config.vnet_flow_log.ids, upload.after), (Ids::default(), After::Remove));
    assert_eq!(config.traffic_analytics.interval, Interval::default());
    let (telemetry, privileges) = (config.telemetry, config.privileges);
    assert!(record.min_free > min_free_bytes, "on a disk they share, recording stops first");
    assert_eq!((telemetry.listen, telemetry.log_every), (None, Some(Duration::from_secs(60))));
    assert_eq!((privileges.user, privileges.landlock), (None, true));
}

#[test]
fn every_key_is_documented_and_can_be_set_by_a_file_and_by_a_flag() {
    let settings = settings();
    let keys: Vec<_> = settings.iter().map(|setting| setting.key.as_str()).collect();
    assert_eq!(keys, OTHER.map(|(key, _)| key));
    let usual = Loaded::load(None, &[]).unwrap().config;
    for (setting, (key, value)) in settings.iter().zip(OTHER) {
        assert!(setting.summary.len() > 20 && !setting.summary.ends_with('.'), "{setting:?}");
        let by_flag = Loaded::load(None, &[given(key, value)]).unwrap();
        assert!(key == "source.threads" || by_flag.config != usual, "{key} changes nothing");
        let by_file = load(&by_flag.to_string()).unwrap();
        assert_eq!(by_file.config, by_flag.config, "{key}");
    }
}

#[test]
fn what_is_printed_loads_to_the_same_and_keeps_the_comments() {
    let all: Vec<_> = OTHER.iter().map(|(key, value)| given(key, value)).collect();
    for given in [&[][..], &all] {
        let loaded = Loaded::load(None, given).unwrap();
        let printed = loaded.to_string();
        let again = load(&printed).unwrap();
        assert_eq!((&again.config, again.to_string()), (&loaded.config, printed.clone()));
        let comments = |text: &str| {
            let lines = text.lines().filter(|line| line.starts_with('#'));
            lines.map(ToOwned::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(comments(&printed), comments(include_str!("default.toml")));
    }
    assert_eq!(Loaded::load(None, &[]).unwrap().to_string(), include_str!("default.toml"));
}

#[test]
fn a_file_goes_before_the_template_and_the_command_line_before_the_file() {
    let (_folder, path) = file("[source]\nports = [1, 2] # both\nbuffer = 65536\n[record]\n");
    let flag = Given { values: vec!["3".into(), "4".into()], ..given("source.ports", "") };
    let loaded = Loaded::load(Some(&path), std::slice::from_ref(&flag)).unwrap();
    assert_eq!((loaded.config.source.ports, loaded.config.source.buffer), (vec![3, 4], 65_536));
    let loaded = Loaded::load(Some(&path), &[]).unwrap();
    assert_eq!(loaded.config.source.ports, [1, 2]);
    assert!(loaded.to_string().contains("\nports = [1, 2]\n"), "{loaded}");
    assert_eq!(
        loaded.config.source.interfaces,
        ["any"],
        "what a file leaves out keeps its default"
    );
}

#[test]
fn what_is_left_empty_follows_what_it_belongs_to() {
    let linux = load("[tracking]\nprofile = \"linux\"").unwrap().config.tracking.flow;
    assert_eq!(linux, vtap_flow::Config::new(Profile::Linux));
    let mixed = load("[tracking]\nprofile = \"linux\"\nchecksum = \"off\"\nwarm_up = \"1m\"");
    let mixed = mixed.unwrap().config.tracking.flow;
    assert_eq!((mixed.pickup, mixed.checksum), (true, Checksum::Off));
    assert_eq!(mixed.warm_up, Duration::from_secs(60));
    let files = load("[events]\ndirectory = \"out\"").unwrap().config.events;
    assert_eq!((files.format, files.flags), (Format::Json, FlagSet::ALL));
    let azure = load("[events]\nformat = \"azure\"").unwrap().config.events;
    assert_eq!(azure.flags, FlagSet::AZURE);
}

#[test]
fn packets_are_shared_out_among_threads_by_the_ring_alone() {
    let ring = load("[source]\nkind = \"ring\"\nthreads = 4").unwrap().config.source;
    assert_eq!((ring.kind, ring.threads), (live::Kind::Ring, 4));
    assert_eq!(
        wrong("[source]\nthreads = 4"),
        "collect.toml:2: source.threads = 4: expected 1: source pcap cannot share its packets, but ring can"
    );
}

#[test]
fn sizes_and_spans_are_numbers_or_have_units() {
    let source =
        |buffer: &str| load(&format!("[source]\nbuffer = {buffer}")).map(|l| l.config.source);
    for (text, bytes) in
        [("1000000", 1_000_000), ("\"64KiB\"", 65_536), ("\"100 MB\"", 100_000_000)]
    {
        assert_eq!(source(text).unwrap().buffer, bytes, "{text}");
    }
    let window = |text: &str| load(&format!("[tracking]\ndedup_window = {text}"));
    for (text, millis) in
        [("1", 1000), ("0.5", 500), ("\"0.5\"", 500), ("\"250ms\"", 250), ("\"1m\"", 60_000)]
    {
        let window = window(text).unwrap().config.tracking.flow.copies.window;
        assert_eq!(window, Duration::from_millis(millis), "{text}");
    }
    assert!(window("-1").is_err() && window("\"1 parsec\"").is_err() && window("inf").is_err());
}

#[test]
fn an_unknown_name_is_refused_with_the_nearest_one() {
    for (text, said) in [
        (
            "\n[source]\nthread = 2",
            "collect.toml:3: source.thread: no such key; did you mean threads?",
        ),
        ("[record]\nkeep = 2", "collect.toml:2: record.keep: no such key; keep is in [events]"),
        (
            "[source]\ncolour = 2",
            "collect.toml:2: source.colour: no such key; vtap collect --print-config shows all",
        ),
        ("[event]", "collect.toml:1: [event]: no such section; did you mean [events]?"),
        (
            "[zoo]",
            "collect.toml:1: [zoo]: no such section; there are [source], [tracking], [events], [flows], [networks], [vnet_flow_log], [traffic_analytics], [record], [upload], [telemetry], [privileges]",
        ),
        ("threads = 2", "collect.toml:1: threads: keys stand in sections; threads is in [source]"),
        ("sauce = 2", "collect.toml:1: sauce: keys stand in sections; did you mean [source]?"),
        ("[[source]]", "collect.toml:1: source: a section stands in single brackets"),
        ("[source.filter]\nx = 1", "collect.toml:1: source.filter: is a key, not a section"),
    ] {
        assert_eq!(wrong(text), said);
    }
}

#[test]
fn a_value_that_cannot_be_is_refused_with_what_can() {
    for (text, said) in [
        (
            "[source]\nkind = \"dpdk\"",
            "collect.toml:2: source.kind = \"dpdk\": expected \"pcap\", \"ring\" or \"udp\"",
        ),
        (
            "[source]\nthreads = 0",
            "collect.toml:2: source.threads = 0: expected a whole number from 1 to 64",
        ),
        (
            "[source]\nplain = \"yes\"",
            "collect.toml:2: source.plain = \"yes\": expected true or false",
        ),
        (
            "[source]\nports = [0]",
            "collect.toml:2: source.ports = [0]: expected ports from 1 to 65535, as in [4789]",
        ),
        (
            "[source]\nports = []",
            "collect.toml:2: source.ports = []: expected ports from 1 to 65535, as in [4789]",
        ),
        (
            "[source]\ninterfaces = \"eth0\"",
            "collect.toml:2: source.interfaces = \"eth0\": expected names, as in [\"eth0\"]",
        ),
        (
            "[source]\nbuffer = \"1KiB\"",
            "collect.toml:2: source.buffer = \"1KiB\": expected a size from 64KiB to 2047MiB, such as \"64MiB\"",
        ),
        ("[source]\nfilter = 1", "collect.toml:2: source.filter = 1: expected text in quotes"),
        (
            "[tracking]\nwarm_up = \"2days\"",
            "collect.toml:2: tracking.warm_up = \"2days\": expected a span from 0 to 1d, such as \"250ms\" or \"1h\"",
        ),
        (
            "[tracking]\npickup = true",
            "collect.toml:2: tracking.pickup = true: expected \"on\", \"off\" or \"\"",
        ),
        (
            "[events]\nflags = \"SYNACK\"",
            "collect.toml:2: events.flags = \"SYNACK\": no such flag: `SYNACK`; there are SYN, SYN-ACK, ACK, FIN, FIN-ACK, RST, INVALID, all and none",
        ),
        (
            "[events]\nkeep = -1",
            "collect.toml:2: events.keep = -1: expected a whole number from 1 to 1000000, or 0 for none",
        ),
        (
            "[events]\nrotate_every = \"1ms\"",
            "collect.toml:2: events.rotate_every = \"1ms\": expected a span from 1s to 31d, such as \"250ms\" or \"1h\", or 0 for none",
        ),
        (
            "[telemetry]\nlisten = \"9789\"",
            "collect.toml:2: telemetry.listen = \"9789\": invalid socket address syntax; expected an address and a port, as in \"127.0.0.1:9789\"",
        ),
        ("[source\nx", "collect.toml:1: not TOML: unclosed table, expected `]`"),
    ] {
        assert_eq!(wrong(text), said);
    }
}

#[test]
fn all_mistakes_are_told_at_once_and_those_of_flags_by_their_flags() {
    let (_folder, path) = file("[source]\nsnaplen = 1\nports = [0]\ncolour = 1");
    let typed = [given("record.file_count", "many"), given("source.ports", "70000")];
    let error = Loaded::load(Some(&path), &typed).unwrap_err();
    let Error::Wrong(mistakes) = &error else { panic!("{error}") };
    let said: Vec<_> = mistakes.iter().map(|mistake| mistake.said.as_str()).collect();
    assert_eq!(said, ["source.snaplen = 1", "source.colour", "--flag 70000", "--flag many"]);
    let unread = Loaded::load(Some(Path::new("/nowhere/x.toml")), &[]).unwrap_err().to_string();
    assert!(unread.starts_with("/nowhere/x.toml: cannot read: No such file"), "{unread}");
}

#[test]
fn a_reload_brings_in_force_what_can_change_and_tells_what_cannot() {
    let (_folder, path) = file("[events]\nformat = \"azure\"\n");
    let mut loaded = Loaded::load(Some(&path), &[given("events.zstd", "3")]).unwrap();
    assert_eq!(loaded.reload().unwrap(), []);

    std::fs::write(&path, "[events]\nflags = \"RST\"\n[source]\nbuffer = \"1MiB\"\n").unwrap();
    let change = |key: &str, from: &str, to: &str, applied| Change {
        key: key.into(),
        from: from.into(),
        to: to.into(),
        applied,
    };
    let changes = [
        change("source.buffer", "\"64MiB\"", "\"1MiB\"", false),
        change("events.format", "\"azure\"", "\"\"", false),
        change("events.flags", "\"\"", "\"RST\"", true),
    ];
    assert_eq!(loaded.reload().unwrap(), changes);
    let events = &loaded.config.events;
    assert_eq!((events.format, events.flags.to_string()), (Format::Azure, "RST".to_owned()));
    assert_eq!((loaded.config.source.buffer, events.rotation.compression), (64 << 20, Some(3)));
    assert_eq!(loaded.reload().unwrap(), changes[..2], "what waits for a restart is told again");

    let before = loaded.config.clone();
    std::fs::write(&path, "[events]\nflags = \"SYN\"\nkeep = -1").unwrap();
    assert!(loaded.reload().is_err());
    assert_eq!(loaded.config, before, "a file with a mistake changes nothing");
}

#[test]
fn a_limit_of_files_waits_for_a_restart_while_uploads_remove_them() {
    let logs = "[events]\ndirectory = \"/e\"\n";
    let (_folder, path) = file(&format!("[upload]\nurl = \"file:///mnt\"\n{logs}keep = 0\n"));
    let mut loaded = Loaded::load(Some(&path), &[]).unwrap();
    std::fs::write(&path, logs).unwrap();
    let changes = loaded.reload().unwrap();
    let told: Vec<_> = changes.iter().map(|change| (change.key.as_str(), change.applied)).collect();
    assert_eq!(told, [("events.keep", false), ("upload.url", false)]);
    assert_eq!(loaded.config.events.rotation.keep, None);
}

#[test]
fn the_template_names_the_keys_that_a_reload_changes() {
    let text = template().to_string();
    let head = text.split("[source]").next().unwrap();
    for key in RELOADABLE {
        assert!(head.contains(key), "{key}");
        assert!(settings().iter().any(|setting| setting.key == key), "{key}");
    }
    assert_eq!(
        ["events.", "flows.", "telemetry."]
            .map(|section| head.matches(section).count())
            .iter()
            .sum::<usize>(),
        RELOADABLE.len()
    );
}

#[test]
fn a_row_that_waits_has_about_the_size_that_the_template_says() {
    assert!(include_str!("default.toml").contains("16777216, at some 200 bytes each"));
    assert!((150..250).contains(&size_of::<crate::rows::Row>()));
    assert!(include_str!("default.toml").contains("16777216, at some 500 bytes each"));
    let told = size_of::<crate::flows::Told>() + size_of::<vtap_flow::Record>();
    assert!((400..600).contains(&told), "{told}");
}

#[test]
fn records_are_told_where_a_log_of_flows_is_written_and_nowhere_else() {
    assert!(!load("[events]\ndirectory = \"out\"").unwrap().config.tracking.flow.records);
    for section in ["flows", "vnet_flow_log", "traffic_analytics"] {
        let config = load(&format!("[{section}]\ndirectory = \"out\"")).unwrap().config;
        assert!(config.tracking.flow.records && config.tells_flows(), "{section}");
        assert_eq!(config.outputs().collect::<Vec<_>>(), [Path::new("out")], "{section}");
    }
}

#[test]
fn directories_that_are_written_are_spools_and_the_flow_log_keeps_the_clouds_paths() {
    let text = "[upload]\nurl = \"file:///mnt\"\n[events]\ndirectory = \"/l/e\"\nkeep = 0\n\
                [flows]\ndirectory = \"/l/f\"\nkeep = 0\n[vnet_flow_log]\ndirectory = \"/l\"\n\
                [traffic_analytics]\ndirectory = \"/l\"\n\
                [record]\ndirectory = \"/l/r\"\nfile_count = 0\n";
    let spools = load(text).unwrap().config.spools();
    let spools: Vec<_> =
        spools.iter().map(|spool| (spool.directory.to_str().unwrap(), spool.prefix)).collect();
    let wanted = [
        ("/l/e", "events"),
        ("/l/f", "flows"),
        ("/l/vnet-flow-log", ""),
        ("/l/traffic-analytics", "traffic-analytics"),
        ("/l/r", "captures"),
    ];
    assert_eq!(spools, wanted);
}

#[test]
fn uploads_are_refused_where_files_would_go_twice_or_be_removed_before() {
    let url = "[upload]\nurl = \"file:///mnt\"\n";
    let said = "collect.toml:2: upload.url = \"file:///mnt\": ";
    assert_eq!(
        wrong(&format!(
            "{url}[events]\ndirectory = \"/l\"\nkeep = 0\n[vnet_flow_log]\ndirectory = \"/l/\""
        )),
        format!(
            "{said}/l/vnet-flow-log of vnet_flow_log.directory lies in /l of events.directory, and its files would go twice; give each a directory of its own, as /var/log/vtap/events and /var/log/vtap/flows"
        )
    );
    let limited = "[events]\ndirectory = \"/e\"\n[record]\ndirectory = \"/r\"\n";
    assert_eq!(
        wrong(&format!("{url}{limited}")),
        format!(
            "{said}events.keep and record.file_count would remove files before the store has them; set events.keep and record.file_count to 0 (uploads remove files, min_free guards the disk), or upload.after to \"keep\""
        )
    );
    assert!(load(&format!("{url}after = \"keep\"\n{limited}")).is_ok());
    assert!(load(limited).is_ok());
}

#[test]
fn a_name_that_cannot_be_part_of_a_path_is_refused() {
    assert_eq!(
        wrong("[vnet_flow_log]\nflow_log = \"a/b\""),
        "collect.toml:2: vnet_flow_log.flow_log = \"a/b\": expected letters, digits and -_.() alone: it is part of a path"
    );
}
