//! Ten minutes of an office whose branches reach its servers over a VPN gateway and a firewall.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use vtap_flow::gap::Cause;
use vtap_flow::record::{ConnState, Ending, Phase};
use vtap_flow::{Answer, Config, Gap, Record, Side, Stats, Tracker};
use vtap_networks::{Description, End, FlowType, Way};
use vtap_packet::tcp::Flags;
use vtap_packet::{Protocol, Timestamp};
use vtap_pipeline::Report;
use vtap_report::{Digest, Run};
use vtap_testkit::frame::{self, TcpFrame};

use crate::sample;

struct Server {
    address: [u8; 4],
    port: u16,
    protocol: Protocol,
    name: &'static str,
    subnet: &'static str,
    /// Mean bytes to the client.
    bytes: u64,
    /// Of a hundred flows.
    share: u64,
}

const SERVERS: [Server; 8] = [
    server([10, 1, 2, 4], 443, "app.contoso.example", "hub/web", 84_000, 34),
    server([10, 1, 2, 5], 80, "legacy.contoso.example", "hub/web", 21_000, 8),
    server([10, 1, 3, 10], 5432, "postgresql.internal", "hub/data", 310_000, 12),
    server([10, 1, 3, 11], 6379, "cache.internal", "hub/data", 4_000, 14),
    server([10, 1, 3, 20], 445, "files.internal", "hub/data", 900_000, 6),
    server([10, 1, 4, 4], 22, "jump.internal", "hub/admin", 12_000, 3),
    server([20, 60, 128, 4], 443, "store.blob.core.windows.net", "", 1_300_000, 5),
    server([10, 1, 0, 4], 53, "", "hub/dns", 220, 18),
];

const fn server(
    address: [u8; 4],
    port: u16,
    name: &'static str,
    subnet: &'static str,
    bytes: u64,
    share: u64,
) -> Server {
    let protocol = if port == 53 { Protocol::UDP } else { Protocol::TCP };
    Server { address, port, protocol, name, subnet, bytes, share }
}

/// Numbers that look like chance, and are the same every time (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

pub(crate) fn page() -> String {
    let mut digest = Digest::default();
    let begin = Timestamp::new(1_764_583_200, 0);
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut counters = Report::default();
    let mut flow = strays(&mut digest, begin);
    counters.packets += flow.packets;
    counters.decap.decapsulated += flow.packets;
    for server in &SERVERS {
        if !server.name.is_empty() {
            let addresses = vec![(IpAddr::from(server.address), 300)];
            let name = server.name.into();
            digest.answer(&Answer { time: begin, name, aliases: Vec::new(), addresses });
        }
    }
    let gap = Gap {
        tap: IpAddr::from([10, 1, 2, 4]),
        start: begin + Duration::from_secs(402),
        end: begin + Duration::from_secs(431),
        cause: Cause::Silence,
    };
    digest.gap(&gap);
    for packet in 1..=2_400 {
        let at = loop {
            let at = begin + Duration::from_millis(dice.below(600_000));
            if at < gap.start || at > gap.end {
                break at;
            }
        };
        let (record, description) = conversation(packet, at, &mut dice);
        let packets = record.to_server.total.packets + record.to_client.total.packets;
        counters.packets += packets;
        counters.decap.decapsulated += packets;
        match record.tcp {
            Some(_) => flow.tcp_segments += packets,
            None => flow.other += packets,
        }
        flow.flows += 1;
        flow.midstream += u64::from(record.midstream);
        flow.one_way += u64::from(record.missing.is_some());
        counters.bytes +=
            record.to_server.total.bytes + record.to_client.total.bytes + 66 * packets;
        digest.record(&record, &description);
    }
    flow.gaps = 1;
    flow.duplicates = 1_204;
    flow.offloaded = 88_120;
    counters.not_mirrored = 318;
    counters.packets += 318 + flow.duplicates;
    counters.decap.decapsulated += flow.duplicates;
    counters.flow = Some(flow);
    counters.assert_laws();
    let run = Run {
        inputs: &["collector-vm/tap-2025-12-01T10.pcapng".to_owned()],
        damage: &[],
        counters: &counters,
        networks: true,
        made_by: "vtap",
    };
    vtap_report::page(&digest, &run)
}

/// Segments that belong to no connection, and what a tracker says of them.
fn strays(digest: &mut Digest, begin: Timestamp) -> Stats {
    let mut tracker = Tracker::new(Config::default());
    let mut events = Vec::new();
    for n in 0..57_u32 {
        let flags = if n % 3 == 0 { Flags::SYN | Flags::FIN } else { Flags::RST };
        let client = format!("10.1.5.9:{}", 40_000 + n);
        let frame = TcpFrame::new(&client, "10.1.2.4:443", flags, n, 0).build();
        let time = begin + Duration::from_millis(u64::from(n * n) * 180);
        tracker.push(&frame::packet(u64::from(n) + 1, time, &frame), &mut events).unwrap();
    }
    tracker.finish(&mut events).unwrap();
    events.iter().for_each(|event| digest.event(event));
    tracker.stats()
}

fn conversation(packet: u64, start: Timestamp, dice: &mut Dice) -> (Record, Description) {
    let mut die = dice.below(100);
    let server = SERVERS
        .iter()
        .find(|server| match die.checked_sub(server.share) {
            Some(less) => {
                die = less;
                false
            }
            None => true,
        })
        .unwrap_or(&SERVERS[0]);
    let branch = dice.below(3);
    let host = 10 + dice.below(40) as u8;
    let client = match branch {
        0 => [192, 168, 20, host],
        1 => [192, 168, 30, host],
        _ => [10, 1, 5, host],
    };
    let client = SocketAddr::from((client, 32_768 + (packet % 28_000) as u16));
    let server_address = SocketAddr::from((server.address, server.port));
    let mut record = sample::tcp(packet, &client.to_string(), &server_address.to_string());
    record.start = start;
    record.protocol = server.protocol;
    let down = server.bytes / 4 + dice.below(server.bytes * 3 / 2);
    let up = 400 + dice.below(down / 6 + 1);
    carry(&mut record, up, down);
    record.end = start + Duration::from_millis(20 + dice.below(9_000));
    record.to_client.retransmissions = (dice.below(12) / 11 * dice.below(4)) as u32;
    if let Some(tcp) = &mut record.tcp {
        let answer = Duration::from_micros(180 + dice.below(400) + server.bytes / 2_000);
        let client_way = if branch == 2 { 300 } else { 18_000 + branch * 9_000 };
        tcp.syn_ack = Some(answer);
        tcp.handshake = Some(answer + Duration::from_micros(client_way + dice.below(2_500)));
    }
    if server.protocol == Protocol::UDP {
        record.tcp = None;
        record.history = sample::history("Dd");
    } else {
        mishap(&mut record, server, packet, dice);
    }
    record.told = record.end + Duration::from_secs(2);
    (record, described(server, branch, packet))
}

fn carry(record: &mut Record, up: u64, down: u64) {
    for (half, bytes) in [(&mut record.to_server, up), (&mut record.to_client, down)] {
        half.total.bytes = bytes;
        half.total.packets = if bytes == 0 { 0 } else { 1 + bytes / 900 };
        half.total.payload = bytes.saturating_sub(40 * half.total.packets);
        half.since = half.total;
    }
}

fn mishap(record: &mut Record, server: &Server, packet: u64, dice: &mut Dice) {
    let mut never = |state, letters, down| {
        record.conn_state = state;
        record.history = sample::history(letters);
        record.to_client.retransmissions = 0;
        carry(record, 120, down);
        record.end = record.start + Duration::from_millis(3_000);
        if let Some(tcp) = &mut record.tcp {
            tcp.handshake = None;
            tcp.syn_ack = None;
        }
    };
    match (server.port, dice.below(100)) {
        (5432, 0..18) => never(ConnState::Rej, "Sr", 40),
        (445, 0..30) => never(ConnState::S0, "ST", 0),
        (22, 0..20) => never(ConnState::RstOs0, "SR", 0),
        (443, 0) => {
            record.missing = Some(Side::Client);
            record.midstream = true;
            record.conn_state = ConnState::Oth;
            record.history = sample::history("ad");
        }
        (_, 5..=9) => {
            record.conn_state = ConnState::RstR;
            record.history = sample::history("ShADadr");
            record.phase = Phase::End(Ending::Rst);
        }
        (_, 10) if packet.is_multiple_of(2) => {
            record.history = sample::history("ShADadIFf");
            if let Some(tcp) = &mut record.tcp {
                tcp.invalid = 1 + (packet % 5) as u32;
            }
        }
        _ => {}
    }
}

fn described(server: &Server, branch: u64, packet: u64) -> Description {
    let known = |text: &str| (!text.is_empty()).then(|| Arc::<str>::from(text));
    let via = |name: Option<&str>| Way { via: name.map(Arc::from) };
    let there = match branch {
        0 => Some("vpn-gateway"),
        1 => Some("expressroute"),
        _ if server.subnet == "hub/data" => Some("firewall"),
        _ => None,
    };
    // Answers to one branch do not pass its gateway in this direction.
    let back = if branch == 1 && packet.is_multiple_of(3) { Some("firewall") } else { there };
    let (vnet, subnet) = server.subnet.split_once('/').unwrap_or_default();
    Description {
        client: End {
            vnet: (branch == 2).then(|| Arc::from("hub")),
            subnet: (branch == 2).then(|| Arc::from("desktops")),
            on_premises: branch != 2,
            ..End::default()
        },
        server: End {
            name: known(server.name),
            vnet: known(vnet),
            subnet: known(subnet),
            ..End::default()
        },
        flow_type: match branch {
            2 if vnet.is_empty() => FlowType::AzurePublic,
            2 => FlowType::IntraVNet,
            _ => FlowType::S2S,
        },
        to_server: via(there),
        to_client: via(back),
        asymmetric_path: there != back,
        ..Description::default()
    }
}

/// With a name that would be a script, and one that would be a picture, had they not been escaped.
pub(crate) fn hostile_page() -> String {
    const NAMES: [&str; 3] = [
        "</script><img src=x onerror=window.hacked=1>",
        "\" onmouseover=\"window.hacked=1",
        "<script>window.hacked=1</script>",
    ];
    let mut digest = Digest::default();
    for (n, name) in (1..).zip(NAMES) {
        let record = sample::tcp(n, "10.0.0.1:40000", &format!("10.0.0.{n}:443"));
        let mut description = sample::named(name);
        let known = Some(Arc::from(name));
        description.server.vnet.clone_from(&known);
        description.to_server.via.clone_from(&known);
        description.to_client.via = known;
        digest.record(&record, &description);
    }
    let counters = Report::default();
    let inputs = NAMES.map(str::to_owned);
    let run = Run {
        inputs: &inputs,
        damage: &inputs,
        counters: &counters,
        networks: true,
        made_by: "vtap",
    };
    vtap_report::page(&digest, &run)
}
