//! The shortcut for usual packets, against the long way.
#![allow(clippy::cast_possible_truncation, reason = "tests build small things from big types")]

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

/// All that a packet says.
type Told = (u64, Timestamp, LinkType, u32, u32, Vec<u8>);

fn tell(packet: Packet<'_>) -> Told {
    let Packet { number, time, link, interface, wire_len, data, .. } = packet;
    (number, time, link, interface, wire_len, data.to_vec())
}

struct Taken(Vec<Told>);

impl Taker for Taken {
    type Stop = std::convert::Infallible;

    fn take(&mut self, packet: Packet<'_>) -> ControlFlow<Self::Stop> {
        self.0.push(tell(packet));
        ControlFlow::Continue(())
    }
}

/// The packets, the damage, and how many packets the shortcut found, where it is taken.
fn drain(bytes: &[u8], shortcut: bool) -> (Vec<Told>, Vec<Damage>, usize) {
    let mut file = File::from_bytes(bytes.to_vec()).unwrap();
    let (mut told, mut usual) = (Vec::new(), 0);
    loop {
        if shortcut {
            let mut taken = Taken(Vec::new());
            let ControlFlow::Continue(()) = file.each_at_hand(&mut taken);
            usual += taken.0.len();
            told.append(&mut taken.0);
        }
        let Some(found) = file.look().unwrap() else { break };
        file.number += 1;
        told.push(tell(file.lend(&found, file.number)));
    }
    (told, file.log.listed().to_vec(), usual)
}

#[derive(Clone, Debug)]
struct Record {
    fraction: u32,
    /// What the length on the wire is more than the packet.
    beyond: i32,
    data: Vec<u8>,
    odd: Odd,
}

/// What is odd about a record or a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Odd {
    Nothing,
    /// A time of zero, or in a block an interface that there is not.
    Origin,
    /// A captured length that is greater than what there is.
    Captured,
    /// In a block, lengths that differ.
    Trailer,
    /// In a block, a length that is no multiple of four.
    Unaligned,
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    let fraction =
        prop_oneof![8 => 0..1_000_000_u32, 1 => 999_999..1_000_002_u32, 1 => any::<u32>()];
    let beyond = prop_oneof![8 => Just(0), 1 => -2..3, 1 => 0..100_000];
    let data = prop_oneof![6 => prop::collection::vec(any::<u8>(), 0..80), 1 => Just(Vec::new())];
    let odd = prop_oneof![
        8 => Just(Odd::Nothing),
        2 => select(vec![Odd::Origin, Odd::Captured, Odd::Trailer, Odd::Unaligned]),
    ];
    let record = (fraction, beyond, data, odd).prop_map(|(fraction, beyond, data, odd)| Record {
        fraction,
        beyond,
        data,
        odd,
    });
    prop::collection::vec(record, 0..12)
}

/// A file in one byte order.
struct Built {
    big: bool,
    bytes: Vec<u8>,
}

impl Built {
    fn u16(&mut self, value: u16) {
        self.bytes.extend(if self.big { value.to_be_bytes() } else { value.to_le_bytes() });
    }

    fn u32s(&mut self, values: &[u32]) {
        for value in values {
            self.bytes.extend(if self.big { value.to_be_bytes() } else { value.to_le_bytes() });
        }
    }
}

/// Magic number, minor version, snaplen, link type.
type Header = (u32, u16, u32, u32);

const PLAIN: Header = (0xa1b2_c3d4, 4, 262_144, 1);

fn pcap(records: &[Record], big: bool, (magic, minor, snaplen, link): Header) -> Vec<u8> {
    let mut file = Built { big, bytes: Vec::new() };
    file.u32s(&[magic]);
    file.u16(2);
    file.u16(minor);
    file.u32s(&[0, 0, snaplen, link]);
    for Record { fraction, beyond, data, odd } in records {
        let len = data.len() as u32;
        let on_wire = len.saturating_add_signed(*beyond);
        let seconds = if *odd == Odd::Origin { 0 } else { 1_764_547_200 };
        let fraction = if *odd == Odd::Origin { fraction & 1 } else { *fraction };
        let (captured, on_wire) =
            if *odd == Odd::Captured { (len + 5, on_wire + 7) } else { (len, on_wire) };
        file.u32s(&[seconds, fraction, captured, on_wire]);
        if magic == 0xa1b2_cd34 {
            file.bytes.extend([0xee; 8]);
        }
        file.bytes.extend(data);
    }
    file.bytes
}

fn pcapng(records: &[Record], big: bool) -> Vec<u8> {
    let mut file = Built { big, bytes: Vec::new() };
    file.u32s(&[0x0a0d_0d0a, 28, 0x1a2b_3c4d]);
    file.u16(1);
    file.u16(0);
    file.u32s(&[u32::MAX, u32::MAX, 28, 1, 20]);
    file.u16(1);
    file.u16(0);
    file.u32s(&[0, 20]);
    for Record { fraction, beyond, data, odd } in records {
        let (len, padded) = (data.len() as u32, data.len().next_multiple_of(4));
        let on_wire = len.saturating_add_signed(*beyond);
        let interface = u32::from(*odd == Odd::Origin);
        let captured = if *odd == Odd::Captured { padded as u32 + 1 } else { len };
        let padded = if *odd == Odd::Unaligned { data.len() + 1 } else { padded };
        let whole = 32 + padded as u32;
        file.u32s(&[6, whole, interface, 400_000, *fraction, captured, on_wire]);
        file.bytes.extend(data);
        file.bytes.resize(file.bytes.len() + padded - data.len(), 0);
        file.u32s(&[if *odd == Odd::Trailer { whole + 4 } else { whole }]);
    }
    file.bytes
}

/// Files of all layouts, whole or with some bytes changed.
fn files() -> impl Strategy<Value = Vec<u8>> {
    let magic = select(vec![0xa1b2_c3d4_u32, 0xa1b2_c3d4, 0xa1b2_3c4d, 0xa1b2_cd34]);
    let minor = select(vec![4_u16, 4, 4, 4, 3, 2]);
    let snaplen = prop_oneof![2 => Just(262_144_u32), 1 => Just(0), 2 => 1..60_u32];
    let link = select(vec![1_u32, 1, 1, 0x2400_0001]);
    let header = prop::option::weighted(0.6, (magic, minor, snaplen, link));
    let changes = prop_oneof![
        Just(Vec::new()),
        prop::collection::vec((any::<Index>(), prop_oneof![0..8_u8, any::<u8>()]), 1..4),
    ];
    (records(), any::<bool>(), header, changes).prop_map(|(records, big, header, changes)| {
        let mut file = match header {
            Some(header) => pcap(&records, big, header),
            None => pcapng(&records, big),
        };
        for (at, byte) in changes {
            // The header makes it a capture.
            let at = at.index(file.len()).max(23);
            file[at] = byte;
        }
        file
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_shortcut_finds_what_the_long_way_finds(bytes in files()) {
        let (short, damage, _) = drain(&bytes, true);
        let (long, same_damage, usual) = drain(&bytes, false);
        prop_assert_eq!(usual, 0);
        prop_assert_eq!(short, long);
        prop_assert_eq!(damage, same_damage);
    }
}

fn record(at: u32, odd: Odd) -> Record {
    Record { fraction: at, beyond: at as i32, data: vec![at as u8; 60], odd }
}

#[test]
fn ordinary_packets_take_the_shortcut() {
    let records: Vec<_> = (0..9).map(|at| record(at, Odd::Nothing)).collect();
    for big in [false, true] {
        let (told, damage, usual) = drain(&pcap(&records, big, PLAIN), true);
        assert_eq!((told.len(), damage.len(), usual), (9, 0, 9));
        // The section and the interface before the first are no packets, so it is looked for.
        let (told, damage, usual) = drain(&pcapng(&records, big), true);
        assert_eq!((told.len(), damage.len(), usual), (9, 0, 8));
    }
}

/// Behind damage, only packets within a year of the last one are believed.
#[test]
fn the_shortcut_remembers_the_time() {
    let mut bytes = pcap(&[record(1, Odd::Nothing)], false, PLAIN);
    bytes.extend([0xff; 16]);
    bytes.extend(&pcap(&[1, 2, 3].map(|at| record(at, Odd::Origin)), false, PLAIN)[24..]);
    let (told, damage, usual) = drain(&bytes, true);
    assert_eq!((told.len(), damage.len(), usual), (1, 1, 1));
    assert_eq!(drain(&bytes, false).0, told);
}
