//! Frames of any link type through decapsulation, under several configurations.
//!
//! Input: a byte of configuration, then frames: link type, bytes cut off the end, seconds since
//! the frame before, length (2, little-endian), bytes.
//!
//! Laws: every packet ends in one counter, and what came back is the counter that moved. A
//! mirrored frame lies inside the packet, unless its envelope was put together; it looks like a
//! frame; its depth is between 1 and the limit; it is not longer than it was on the wire. Plain
//! packets come back as they were. Taking envelopes off one by one ends at the same frame. What a
//! snaplen cuts off a packet changes no frame but for its end.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vtap_decap::{Config, Decap, PortSet, Skip, Stats, Stripped, policy};
use vtap_fuzz::Bytes;
use vtap_fuzz::bytes::pick;
use vtap_packet::reassembly::Limits;
use vtap_packet::{LinkType, Packet, Timestamp};

const LINKS: [LinkType; 9] = [
    LinkType::ETHERNET,
    LinkType::LINUX_SLL,
    LinkType::LINUX_SLL2,
    LinkType::RAW,
    LinkType::NULL,
    LinkType::LOOP,
    LinkType::IPV4,
    LinkType::IPV6,
    LinkType(147),
];

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = Bytes(bytes);
    let config = config(bytes.byte());
    let mut decap = Decap::new(config.clone());
    let mut single = Decap::new(Config { max_depth: 1, ..config.clone() });
    let (mut secs, mut number) = (1_700_000_000, 0);
    while !bytes.is_empty() {
        let [link, cut, step, low, high] = bytes.chunk();
        let data = bytes.take(u16::from_le_bytes([low, high & 0x0f]).into());
        secs += u64::from(step);
        number += 1;
        let packet = Packet {
            number,
            time: Timestamp::new(secs, 0),
            link: pick(&LINKS, link),
            interface: 0,
            wire_len: data.len() as u32 + u32::from(cut),
            data,
            tunnel: None,
        };
        let before = decap.stats();
        let stripped = decap.strip(packet);
        let kept = keep(&stripped, &packet);
        judge(&stripped, &packet, &config);
        let after = decap.stats();
        let put_together = account(&kept, &before, &after);
        let (Kept::Mirrored(frame) | Kept::PutTogether(frame)) = &kept else {
            single.strip(packet);
            continue;
        };
        assert_eq!(put_together, matches!(kept, Kept::PutTogether(_)));
        one_by_one(packet, frame, &mut single, &config);
        if !put_together && cut == 0 && after.fragments.seen == before.fragments.seen {
            snaplen(packet, frame, usize::from(step), &config);
        }
    }
    decap.finish();
    let stats = decap.stats();
    assert!(stats.balances());
    let fragments = stats.fragments;
    assert_eq!(fragments.seen, fragments.completed + fragments.absorbed);
    let lost = fragments.timed_out + fragments.overlapped + fragments.evicted;
    assert!(lost <= fragments.absorbed, "{fragments:?}");
});

fn config(byte: u8) -> Config {
    let ports = if byte & 1 == 0 { PortSet::default() } else { PortSet::new([4789, 8472]) };
    let fragments = match byte >> 1 & 1 {
        0 => Limits::default(),
        _ => Limits { datagrams: 2, bytes: 512, ..Limits::default() },
    };
    Config { ports, max_depth: 1 + (byte >> 2 & 3), strict_vxlan: byte & 0x10 != 0, fragments }
}

/// A result that outlives the loan.
enum Kept {
    Mirrored(Frame),
    PutTogether(Frame),
    Plain,
    Absorbed,
    Skipped(Skip),
}

struct Frame {
    link: LinkType,
    data: Vec<u8>,
    wire_len: u32,
    vni: u32,
    depth: u8,
}

impl Frame {
    fn of(packet: &Packet<'_>) -> Self {
        let tunnel = packet.tunnel.expect("a mirrored frame has a tunnel");
        Self {
            link: packet.link,
            data: packet.data.to_vec(),
            wire_len: packet.wire_len,
            vni: tunnel.vni.get(),
            depth: tunnel.depth,
        }
    }
}

fn keep(stripped: &Stripped<'_>, packet: &Packet<'_>) -> Kept {
    match stripped {
        Stripped::Mirrored(frame) if lies_in(frame.data, packet.data) => {
            Kept::Mirrored(Frame::of(frame))
        }
        Stripped::Mirrored(frame) => Kept::PutTogether(Frame::of(frame)),
        Stripped::Plain(_) => Kept::Plain,
        Stripped::Absorbed => Kept::Absorbed,
        Stripped::Skipped(skip) => Kept::Skipped(*skip),
    }
}

fn lies_in(part: &[u8], whole: &[u8]) -> bool {
    let (part, whole) = (part.as_ptr_range(), whole.as_ptr_range());
    whole.start <= part.start && part.end <= whole.end
}

fn judge(stripped: &Stripped<'_>, packet: &Packet<'_>, config: &Config) {
    match stripped {
        Stripped::Mirrored(frame) => {
            let tunnel = frame.tunnel.expect("a mirrored frame has a tunnel");
            assert!((1..=config.max_depth).contains(&tunnel.depth), "depth {}", tunnel.depth);
            assert!(config.ports.contains(tunnel.dst_port));
            assert!(frame.data.len() <= frame.wire_len as usize);
            assert_eq!((frame.number, frame.time), (packet.number, packet.time));
            let looks = policy::plausible(frame.link, frame.data, frame.wire_len as usize);
            assert_eq!(looks, Ok(()));
        }
        Stripped::Plain(same) => {
            assert!(std::ptr::eq(same.data, packet.data) && same.tunnel.is_none());
            assert_eq!((same.link, same.wire_len), (packet.link, packet.wire_len));
        }
        Stripped::Absorbed | Stripped::Skipped(_) => {}
    }
}

/// Which counter moved; says whether an envelope was put together.
fn account(kept: &Kept, before: &Stats, after: &Stats) -> bool {
    assert!(after.balances(), "{after:?}");
    assert_eq!(after.packets, before.packets + 1);
    let moved = |of: fn(&Stats) -> u64| of(after) - of(before);
    let expected = match kept {
        Kept::Mirrored(_) | Kept::PutTogether(_) => [1, 0, 0],
        Kept::Plain => [0, 1, 0],
        Kept::Absorbed => [0, 0, 1],
        Kept::Skipped(skip) => {
            assert_eq!(after.skipped(*skip), before.skipped(*skip) + 1);
            [0; 3]
        }
    };
    let found = [
        moved(|stats| stats.decapsulated),
        moved(|stats| stats.plain),
        moved(|stats| stats.fragments.absorbed),
    ];
    assert_eq!(found, expected);
    if let Kept::Mirrored(frame) | Kept::PutTogether(frame) = kept {
        assert_eq!(moved(|stats| stats.inner_bytes), frame.wire_len.into());
    }
    moved(|stats| stats.fragments.completed) > 0
}

/// `single` has seen every packet so far and takes one envelope off each.
fn one_by_one(packet: Packet<'_>, frame: &Frame, single: &mut Decap, config: &Config) {
    let Stripped::Mirrored(mut rest) = single.strip(packet) else {
        panic!("stripped to depth {}, but not to 1", frame.depth);
    };
    let mut steps: Vec<_> =
        (1..frame.depth).map(|_| Decap::new(Config { max_depth: 1, ..config.clone() })).collect();
    for step in &mut steps {
        assert_eq!(rest.tunnel.map(|tunnel| tunnel.depth), Some(1));
        let Stripped::Mirrored(inner) = step.strip(rest) else {
            panic!("an envelope that depth {} takes off is none by itself", frame.depth);
        };
        rest = inner;
    }
    assert_eq!((rest.link, rest.wire_len), (frame.link, frame.wire_len));
    assert_eq!(rest.tunnel.map(|tunnel| tunnel.vni.get()), Some(frame.vni));
    assert!(rest.data == frame.data, "another frame");
}

fn snaplen(packet: Packet<'_>, frame: &Frame, cut: usize, config: &Config) {
    let kept = packet.data.len().saturating_sub(cut);
    let cut = Packet { data: &packet.data[..kept], ..packet };
    let mut decap = Decap::new(config.clone());
    if let Stripped::Mirrored(beginning) = decap.strip(cut) {
        let tunnel = beginning.tunnel.expect("a mirrored frame has a tunnel");
        assert!(tunnel.depth <= frame.depth);
        if tunnel.depth == frame.depth {
            assert!(frame.data.starts_with(beginning.data));
            assert_eq!((tunnel.vni.get(), beginning.wire_len), (frame.vni, frame.wire_len));
        }
    }
}
