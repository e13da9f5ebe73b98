//! The same packets make the same events: dealt out to several files and merged by time, and
//! replayed again with other hash seeds.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails loudly")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use vtap_capture::write::buffered;
use vtap_capture::{PcapWriter, PcapngWriter};
use vtap_decap::Decap;
use vtap_flow::{Config, Copies, Event, Profile, Tracker};
use vtap_packet::tcp::Flags;
use vtap_packet::{LinkType, Timestamp};
use vtap_pipeline::Pipeline;
use vtap_testkit::{Conversation, TcpFrame, frame, traffic};

/// What the next packet of a connection is.
#[derive(Clone, Copy, Debug)]
enum Step {
    Handshake,
    Request(usize),
    Response(usize),
    Close,
    Reset,
    /// The packet before this one, again.
    Again,
    /// A segment far out of the window.
    Stray,
    /// A bare packet that belongs to nothing.
    Unknown,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Handshake),
        3 => (0..1200_usize).prop_map(Step::Request),
        3 => (0..1200_usize).prop_map(Step::Response),
        2 => Just(Step::Close),
        1 => Just(Step::Reset),
        1 => Just(Step::Again),
        1 => Just(Step::Stray),
        1 => Just(Step::Unknown),
    ]
}

/// A packet of the capture: to which file it goes, when it came, and what it is.
#[derive(Clone, Debug)]
struct Captured {
    file: usize,
    time: Timestamp,
    frame: Vec<u8>,
}

const FILES: usize = 2;
const CONNECTIONS: usize = 4;

/// Steps of a few connections; each packet comes some time after the one before, now and then so
/// long after it that flows have expired.
fn capture() -> impl Strategy<Value = Vec<Captured>> {
    let gap = prop_oneof![8 => 1..5_000_000_u64, 1 => 1..700_000_000_000_u64];
    let step = (0..CONNECTIONS, step(), any::<bool>());
    let deal = proptest::collection::vec((0..FILES, gap), 4..5);
    proptest::collection::vec((step, deal), 1..40).prop_map(|steps| {
        let mut talks: Vec<_> = (0..CONNECTIONS).map(traffic::conversation).collect();
        let mut nanos = 1_700_000_000_000_000_000;
        let mut capture: Vec<Captured> = Vec::new();
        for ((index, step, is_mirrored), deal) in steps {
            let frames = frames(&mut talks[index], step);
            let frames: Vec<_> = if frames.is_empty() {
                capture.last().map(|last| last.frame.clone()).into_iter().collect()
            } else {
                // Plain packets among them.
                let wrap = |frame: TcpFrame| match is_mirrored {
                    true => frame::mirrored([27, 28][index % 2], &frame.build()),
                    false => frame.build(),
                };
                frames.into_iter().map(wrap).collect()
            };
            for (frame, (file, gap)) in frames.into_iter().zip(deal) {
                nanos += gap;
                capture.push(Captured { file, time: Timestamp::from_nanos(nanos), frame });
            }
        }
        capture
    })
}

fn frames(talk: &mut Conversation, step: Step) -> Vec<TcpFrame> {
    match step {
        Step::Handshake => talk.handshake().into(),
        Step::Request(len) => vec![talk.request(len)],
        Step::Response(len) => vec![talk.response(len)],
        Step::Close => talk.close().into(),
        Step::Reset => vec![talk.from_server(Flags::RST | Flags::ACK, 0)],
        Step::Again => Vec::new(),
        Step::Stray => {
            let frame = talk.from_server(Flags::ACK, 0);
            vec![TcpFrame { seq: frame.seq.wrapping_add(1 << 30), ..frame }]
        }
        Step::Unknown => {
            let (src, dst) = ("10.9.9.9:1", "10.9.9.8:2");
            vec![TcpFrame::new(src, dst, Flags::FIN | Flags::ACK, 1, 1)]
        }
    }
}

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static FOLDERS: AtomicU32 = AtomicU32::new(0);
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("interleaving-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Writes the packets that `is_in` chooses as pcap, or as pcapng.
    fn write(
        &self,
        name: &str,
        packets: &[Captured],
        is_in: impl Fn(&Captured) -> bool,
    ) -> PathBuf {
        let path = self.0.join(name);
        let file = buffered(fs::File::create(&path).unwrap());
        let packets = packets.iter().filter(|packet| is_in(packet));
        let packets = packets.map(|packet| frame::packet(1, packet.time, &packet.frame));
        if name.ends_with(".pcapng") {
            let mut writer = PcapngWriter::new(file).unwrap();
            writer.add_interface("eth0", None, LinkType::ETHERNET).unwrap();
            for packet in packets {
                writer.write(0, &packet).unwrap();
            }
            writer.finish().unwrap();
        } else {
            let mut writer = PcapWriter::new(file, LinkType::ETHERNET).unwrap();
            for packet in packets {
                writer.write(&packet).unwrap();
            }
            writer.finish().unwrap();
        }
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The events of these files, and every counter.
fn replay(files: &[PathBuf], config: Config) -> (Vec<Event>, String) {
    // Files are places of capture, and what is dealt to two of them would be a copy.
    let copies = Copies { window: Duration::ZERO, ..config.copies };
    let config = Config { copies, ..config };
    let mut source = vtap_capture::open(files).unwrap();
    let decap = Decap::new(vtap_decap::Config::default());
    let mut pipeline = Pipeline::new(decap, Some(Tracker::new(config)));
    pipeline.intake.plain = true;
    let mut events = Vec::new();
    let report = vtap_pipeline::run(&mut source, &mut pipeline, &mut events, &mut ()).unwrap();
    (events, format!("{report:?}"))
}

fn config() -> impl Strategy<Value = Config> {
    let profile = prop_oneof![Just(Profile::Azure), Just(Profile::Linux)];
    let max_flows = prop_oneof![Just(1000_usize), 1..4_usize];
    (profile, max_flows, any::<bool>()).prop_map(|(profile, max_flows, fold_vni)| Config {
        max_flows,
        fold_vni,
        ..Config::new(profile)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn files_merged_by_time_replay_like_the_one_they_were_dealt_from(
        packets in capture(),
        config in config(),
    ) {
        let folder = Folder::new();
        let whole = folder.write("whole.pcap", &packets, |_| true);
        let a = folder.write("a.pcap", &packets, |packet| packet.file == 0);
        let b = folder.write("b.pcapng", &packets, |packet| packet.file != 0);
        let whole = replay(&[whole], config);
        prop_assert_eq!(&replay(&[a.clone(), b.clone()], config), &whole);
        prop_assert_eq!(&replay(&[b, a], config), &whole);
    }

    #[test]
    fn a_capture_replayed_again_gives_identical_events(packets in capture(), config in config()) {
        let folder = Folder::new();
        let files = [folder.write("whole.pcap", &packets, |_| true)];
        // Each tracker has a hash seed of its own.
        let first = replay(&files, config);
        for _ in 0..3 {
            prop_assert_eq!(&replay(&files, config), &first);
        }
    }
}

/// The property says something only where there is something to tell.
#[test]
fn the_generated_captures_have_events_of_every_kind() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let packets = capture().new_tree(&mut runner).unwrap().current();
        let folder = Folder::new();
        let file = folder.write("whole.pcap", &packets, |_| true);
        let (events, _) = replay(&[file], Config::new(Profile::Azure));
        seen.extend(events.iter().map(|event| event.flag));
    }
    assert_eq!(seen.len(), 7, "{seen:?}");
}
