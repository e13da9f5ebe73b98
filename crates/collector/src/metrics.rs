//! The counters of a collector for Prometheus, in its text format 0.0.4.
//!
//! Names follow <https://prometheus.io/docs/practices/naming/>. A counter by reason is there from
//! the start with 0, as a rate needs a first value. `docs/metrics.md` explains each.

mod family;
mod logs;

use prometheus::TextEncoder;
use prometheus::proto::MetricType;
use vtap_export::report;
use vtap_flow::Reason;

use crate::Accounting;
use family::Families;

/// Taps that have numbers of their own, those seen first; the others are one, called `other`.
pub const MAX_TAPS: usize = 256;

/// The media type of [`text`].
pub const MEDIA_TYPE: &str = prometheus::TEXT_FORMAT;

/// All counters.
pub fn text(all: &Accounting) -> String {
    let mut families = Families::default();
    families.collector(all);
    families.rows(all);
    families.flows(all);
    families.uploads(all);
    families.machine(all);
    families.belt(all);
    families.tracking(all);
    families.taps(all);
    let mut text = String::new();
    // It fails for a family without a name or a metric, and there are none.
    let encoded = TextEncoder::new().encode_utf8(&families.0, &mut text);
    debug_assert!(encoded.is_ok(), "{encoded:?}");
    text
}

/// One of a tap's counters.
type Counts = fn(&vtap_flow::Tap) -> u64;

impl Families {
    fn collector(&mut self, all: &Accounting) {
        let version = [(vec![("version", env!("CARGO_PKG_VERSION").to_owned())], 1.0)];
        self.add("vtap_build_info", "The version that runs; always 1.", MetricType::GAUGE, version);
        let since = all.since.nanos() as f64 / 1e9;
        self.gauge("vtap_start_time_seconds", "When the collector started, in Unix time.", since);
        let process = &all.process;
        self.gauge(
            "process_resident_memory_bytes",
            "Memory that is resident.",
            process.resident as f64,
        );
        self.gauge("process_threads", "Threads.", process.threads as f64);
        self.gauge("process_open_fds", "Open files and sockets.", process.open_files as f64);
        let cpu = [(Vec::new(), process.cpu.as_secs_f64())];
        let help = "Processor time of all threads.";
        self.add("process_cpu_seconds_total", help, MetricType::COUNTER, cpu);
    }

    fn machine(&mut self, all: &Accounting) {
        let nics = |counter: fn(&crate::host::Nic) -> u64| {
            all.nics.iter().map(move |(name, nic)| (name.clone(), counter(nic)))
        };
        let mut nic = |name, help, counter| self.by(name, help, "interface", nics(counter));
        nic(
            "vtap_nic_received_total",
            "Packets that the network card received, of all traffic.",
            |nic| nic.received,
        );
        nic(
            "vtap_nic_dropped_total",
            "Packets that the kernel had no room or use for, of all traffic.",
            |nic| nic.dropped,
        );
        nic(
            "vtap_nic_missed_total",
            "Packets that the network card had no room for, of all traffic.",
            |nic| nic.missed,
        );
        nic("vtap_nic_errors_total", "Packets that were damaged, of all traffic.", |nic| {
            nic.errors
        });
        let softnet = &all.softnet;
        self.counters([
            (
                "vtap_softnet_processed_total",
                "Packets that the kernel's backlog passed on, of all traffic.",
                softnet.processed,
            ),
            (
                "vtap_softnet_dropped_total",
                "Packets dropped because the kernel's backlog was full, of all traffic.",
                softnet.dropped,
            ),
            (
                "vtap_softnet_squeezed_total",
                "Times that the kernel stopped with packets left.",
                softnet.squeezed,
            ),
            (
                "vtap_source_received_total",
                "Packets that passed the kernel's filter, those dropped included.",
                all.source.received,
            ),
            (
                "vtap_source_dropped_total",
                "Packets dropped because the ring or socket buffer was full.",
                all.source.dropped,
            ),
            (
                "vtap_source_freezes_total",
                "Times that the ring was full and stood still.",
                all.source.freezes,
            ),
            (
                "vtap_source_interface_dropped_total",
                "Packets that the interface dropped, as libpcap tells it.",
                all.source.interface_dropped,
            ),
        ]);
        let recorder = &all.recorder;
        self.counters([
            ("vtap_recorder_offered_total", "Packets that were to be recorded.", recorder.offered),
            (
                "vtap_recorder_filtered_total",
                "Packets that no filter of the recorder let pass.",
                recorder.filtered,
            ),
            (
                "vtap_recorder_left_out_total",
                "Packets of another link type than the first, in pcap.",
                recorder.left_out,
            ),
            (
                "vtap_recorder_over_limit_total",
                "Packets behind a limit of the recorder.",
                recorder.over_limit,
            ),
            (
                "vtap_recorder_dropped_total",
                "Packets that the disk was too slow or too full to record.",
                recorder.dropped,
            ),
            (
                "vtap_recorder_dropped_bytes_total",
                "Bytes of the packets that were not recorded.",
                recorder.dropped_bytes,
            ),
            ("vtap_recorder_recorded_total", "Packets recorded.", recorder.recorded),
            (
                "vtap_recorder_recorded_bytes_total",
                "Bytes of the packets recorded.",
                recorder.recorded_bytes,
            ),
        ]);
        let unread = all.unread() as f64;
        self.gauge("vtap_source_unread", "Packets in the ring or socket buffer.", unread);
    }

    fn belt(&mut self, all: &Accounting) {
        let report = &all.report;
        let decap = &report.decap;
        self.counters([
            ("vtap_packets_total", "Packets read.", report.packets),
            ("vtap_bytes_total", "Captured bytes of the packets read.", report.bytes),
            (
                "vtap_decapsulated_total",
                "Packets that yielded a mirrored frame.",
                decap.decapsulated,
            ),
            (
                "vtap_inner_bytes_total",
                "Bytes of the mirrored frames on the wire.",
                decap.inner_bytes,
            ),
            ("vtap_plain_total", "Packets that are not mirrored and were tracked.", report.plain),
            (
                "vtap_vxlan_reserved_total",
                "VXLAN headers with reserved bits set.",
                decap.reserved_bits,
            ),
        ]);
        self.by(
            "vtap_skipped_total",
            "Packets set aside before tracking, by reason.",
            "reason",
            report.every_skip(),
        );
        let inner = report.flow.unwrap_or_default().fragments;
        self.fragments("vtap_fragments", "envelopes", &decap.fragments);
        self.fragments("vtap_inner_fragments", "the customer's packets", &inner);
    }

    fn fragments(&mut self, name: &str, of: &str, stats: &vtap_packet::reassembly::Stats) {
        let all = [
            ("seen", format!("Fragments of {of}."), stats.seen),
            ("completed", format!("Datagrams of {of} put together."), stats.completed),
            (
                "absorbed",
                format!("Fragments of {of} that did not complete a datagram."),
                stats.absorbed,
            ),
            ("timed_out", format!("Fragments of {of} that waited too long."), stats.timed_out),
            (
                "overlapped",
                format!("Fragments of {of} refused as they overlap others."),
                stats.overlapped,
            ),
            ("evicted", format!("Fragments of {of} given up to make room."), stats.evicted),
        ];
        for (what, help, value) in all {
            self.counter(&format!("{name}_{what}_total"), &help, value);
        }
    }

    fn tracking(&mut self, all: &Accounting) {
        let report = &all.report;
        let flow = report.flow.unwrap_or_default();
        let recorded = flow.recorded.unwrap_or_default();
        self.gauge("vtap_flows", "Flows in the table.", all.flows as f64);
        self.counters([
            ("vtap_flows_seen_total", "Flows seen, each opening counted.", flow.flows),
            ("vtap_midstream_total", "Flows picked up in mid-stream.", flow.midstream),
            ("vtap_evicted_total", "Flows given up to make room in the table.", flow.evicted),
            ("vtap_recorded_flows_total", "Flows counted for logs.", recorded.flows),
            ("vtap_recorded_packets_total", "Packets counted to them.", recorded.packets),
            ("vtap_unrecorded_packets_total", "Packets in none of them.", flow.unrecorded()),
            ("vtap_one_way_total", "Flows of which one side was found missing.", flow.one_way),
            ("vtap_egress_only_total", "Flows seen only on their way out.", flow.egress_only),
            ("vtap_tcp_segments_total", "TCP segments judged.", flow.tcp_segments),
            ("vtap_other_total", "Packets of other IP protocols.", flow.other),
            (
                "vtap_duplicates_total",
                "Packets that another tap or interface had shown before.",
                flow.duplicates,
            ),
            (
                "vtap_forwarded_total",
                "Packets shown by the same tap before a router sent them on.",
                flow.forwarded,
            ),
            ("vtap_gaps_total", "Gaps of mirrors.", flow.gaps),
            ("vtap_resumed_total", "Flows taken up again behind a gap.", flow.resumed),
            ("vtap_reordered_total", "Segments that others had overtaken.", flow.reordered),
            (
                "vtap_super_packets_total",
                "Packets longer than a network carries.",
                flow.super_packets,
            ),
            ("vtap_offloaded_total", "Segments with checksums left to the NIC.", flow.offloaded),
            ("vtap_truncated_total", "Segments cut by the snaplen.", flow.truncated),
            (
                "vtap_retransmissions_total",
                "Repeated segments that open, close or reset.",
                flow.retransmissions,
            ),
        ]);
        self.by(
            "vtap_flow_skipped_total",
            "Frames set aside by tracking, by reason.",
            "reason",
            report.every_flow_skip(),
        );
        let events = report::events(report);
        self.by("vtap_events_total", "Events by flag, rows or not.", "flag", events);
        let invalid = Reason::ALL.map(|reason| (reason.name(), flow.invalid(reason)));
        self.by(
            "vtap_invalid_total",
            "INVALID segments by reason, rows or not.",
            "reason",
            invalid,
        );
    }

    fn taps(&mut self, all: &Accounting) {
        let mirrored = all.report.taps.iter().filter(|tap| tap.address.is_some());
        let taps: Vec<_> = mirrored.collect();
        let (own, others) = taps.split_at(taps.len().min(MAX_TAPS));
        let counters: [(&str, &str, Counts); 3] = [
            ("packets", "Packets of a tap, copies included.", |tap| tap.packets),
            ("duplicates", "Packets of a tap that another had shown before.", |tap| tap.duplicates),
            ("gaps", "Gaps of a tap's mirror.", |tap| tap.gaps),
        ];
        for (name, help, counter) in counters {
            let own = own.iter().filter_map(|tap| Some((tap.address?.to_string(), counter(tap))));
            let rest = others.iter().map(|tap| counter(tap)).sum();
            let rest = (!others.is_empty()).then(|| ("other".to_owned(), rest));
            self.by(&format!("vtap_tap_{name}_total"), help, "tap", own.chain(rest));
        }
    }
}
