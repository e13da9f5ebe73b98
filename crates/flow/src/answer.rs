//! Names that the traffic itself gives to addresses: DNS responses (RFC 1035 section 4).
//!
//! Read is what a resolver tells of one name's addresses, A or AAAA, with the canonical names in
//! between. Anything else is no [`Answer`]: a query, an error, another type or class, a message
//! that is cut, names that loop or that nobody could print.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, OPCODE, Packet, PacketFlag, QCLASS, QTYPE, RCODE, TYPE};
use simple_dns::{ResourceRecord, header_buffer as header};
use vtap_packet::Timestamp;

/// What one DNS response says: a name and the addresses behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Time of the response.
    pub time: Timestamp,
    /// The name that was asked for, without the last dot, in lower case.
    pub name: Box<str>,
    /// The canonical names on the way from that name to the addresses (CNAME), in order.
    pub aliases: Vec<Box<str>>,
    /// The addresses, in their order as numbers, and how long each holds, in seconds: the least TTL
    /// of the records that lead to it.
    pub addresses: Vec<(IpAddr, u32)>,
}

impl Answer {
    /// Canonical names between the name and its addresses; a longer chain is refused. Resolvers
    /// stop at 8 to 16.
    pub const MAX_ALIASES: usize = 16;
    /// Addresses that are kept, the lowest.
    pub const MAX_ADDRESSES: usize = 64;
    /// Records of a message, in all its sections; one that claims more is refused unread.
    pub const MAX_RECORDS: u16 = 256;
    /// Bytes of a name (RFC 1035 section 2.3.4: 255 on the wire, with two lengths around it).
    pub const MAX_NAME_BYTES: usize = 253;

    /// Reads the whole payload of a UDP datagram from port 53; `None` where it answers no question
    /// for addresses.
    ///
    /// Records may come in any order, as resolvers rotate them. Names are printable ASCII; a
    /// message that has to do with any other is refused. Addresses that are nobody's (0.0.0.0, with
    /// which filters deny a name, loopback, multicast) are left out.
    pub fn read(time: Timestamp, payload: &[u8]) -> Option<Self> {
        if !is_answer(payload)? {
            return None;
        }
        let packet = Packet::parse(payload).ok()?;
        let [question] = packet.questions.as_slice() else { return None };
        let QTYPE::TYPE(asked @ (TYPE::A | TYPE::AAAA)) = question.qtype else { return None };
        if packet.rcode() != RCODE::NoError || question.qclass != QCLASS::CLASS(CLASS::IN) {
            return None;
        }
        let name = text(&question.qname)?;
        let (aliases, holds) = aliases(&name, canonical_names(&packet.answers)?)?;
        let owner = aliases.last().unwrap_or(&name);
        let mut addresses = Vec::new();
        for record in &packet.answers {
            if let Some(address) = address(record, asked)
                && text(&record.name)? == *owner
            {
                addresses.push((address, holds.min(ttl(record))));
            }
        }
        addresses.sort_unstable();
        addresses.dedup_by_key(|(address, _)| *address);
        addresses.truncate(Self::MAX_ADDRESSES);
        (!addresses.is_empty()).then_some(Self { time, name, aliases, addresses })
    }
}

/// What the header says: a response without an error, to one question, with answers.
fn is_answer(payload: &[u8]) -> Option<bool> {
    let answers = header::answers(payload).ok()?;
    let others = [header::name_servers(payload).ok()?, header::additional_records(payload).ok()?];
    let records = others.into_iter().fold(answers, u16::saturating_add);
    Some(
        header::has_flags(payload, PacketFlag::RESPONSE).ok()?
            && header::opcode(payload).ok()? == OPCODE::StandardQuery
            && header::rcode(payload).ok()? == RCODE::NoError
            && header::questions(payload).ok()? == 1
            && (1..=Answer::MAX_RECORDS).contains(&records)
            && answers > 0,
    )
}

/// From each alias to its canonical name, and for how many seconds.
type CanonicalNames = BTreeMap<Box<str>, (Box<str>, u32)>;

/// `None` where an alias has two canonical names.
fn canonical_names(records: &[ResourceRecord<'_>]) -> Option<CanonicalNames> {
    let mut names = CanonicalNames::new();
    for record in records.iter().filter(|record| record.class == CLASS::IN) {
        let RData::CNAME(target) = &record.rdata else { continue };
        let (target, holds) = (text(target)?, ttl(record));
        let known = names.entry(text(&record.name)?).or_insert_with(|| (target.clone(), holds));
        if known.0 != target {
            return None;
        }
        known.1 = known.1.min(holds);
    }
    Some(names)
}

/// The chain that begins at a name, and how long all of it holds; `None` where it bites its tail.
fn aliases(name: &str, mut names: CanonicalNames) -> Option<(Vec<Box<str>>, u32)> {
    let (mut chain, mut holds) = (Vec::<Box<str>>::new(), u32::MAX);
    while let Some((next, ttl)) = names.remove(chain.last().map_or(name, |last| &**last)) {
        if *next == *name || chain.contains(&next) || chain.len() == Answer::MAX_ALIASES {
            return None;
        }
        chain.push(next);
        holds = holds.min(ttl);
    }
    Some((chain, holds))
}

/// The address in a record of the type that was asked for, where it is somebody's.
fn address(record: &ResourceRecord<'_>, asked: TYPE) -> Option<IpAddr> {
    let address = match &record.rdata {
        RData::A(a) if asked == TYPE::A => IpAddr::from(Ipv4Addr::from(a.address)),
        RData::AAAA(a) if asked == TYPE::AAAA => IpAddr::from(Ipv6Addr::from(a.address)),
        _ => return None,
    };
    let nobody = address.is_unspecified()
        || address.is_loopback()
        || address.is_multicast()
        || address == IpAddr::V4(Ipv4Addr::BROADCAST);
    (record.class == CLASS::IN && !nobody).then_some(address)
}

/// Seconds; a number with the highest bit set stands for zero (RFC 2181 section 8).
fn ttl(record: &ResourceRecord<'_>) -> u32 {
    i32::try_from(record.ttl).map_or(0, i32::cast_unsigned)
}

/// A name as people write it, in lower case; `None` for the root and for what could not be read
/// back: a byte that is not printable ASCII, a dot or a backslash within a label.
fn text(name: &Name<'_>) -> Option<Box<str>> {
    let mut text = String::new();
    for label in name.as_bytes() {
        if !text.is_empty() {
            text.push('.');
        }
        for byte in label {
            if !byte.is_ascii_graphic() || matches!(byte, b'.' | b'\\') {
                return None;
            }
            text.push(char::from(byte.to_ascii_lowercase()));
        }
    }
    (1..=Answer::MAX_NAME_BYTES).contains(&text.len()).then(|| text.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use simple_dns::rdata::{A, AAAA, CNAME, NULL};
    use simple_dns::{Label, Question};

    use super::*;

    const TIME: Timestamp = Timestamp::from_nanos(7);

    /// A response to `QTYPE name` with these answers.
    fn response<'a>(name: &'a str, asked: TYPE, answers: &[ResourceRecord<'a>]) -> Packet<'a> {
        let mut packet = Packet::new_reply(1);
        let qname = Name::new_unchecked(name);
        packet.questions.push(Question::new(qname, asked.into(), CLASS::IN.into(), false));
        packet.answers = answers.to_vec();
        packet
    }

    fn read(packet: &Packet<'_>) -> Option<Answer> {
        let compressed = Answer::read(TIME, &packet.build_bytes_vec_compressed().unwrap());
        let plain = Answer::read(TIME, &packet.build_bytes_vec().unwrap());
        assert_eq!(compressed, plain);
        plain
    }

    fn record<'a>(name: &'a str, ttl: u32, rdata: RData<'a>) -> ResourceRecord<'a> {
        ResourceRecord::new(Name::new_unchecked(name), CLASS::IN, ttl, rdata)
    }

    fn a(name: &str, ttl: u32, address: [u8; 4]) -> ResourceRecord<'_> {
        record(name, ttl, RData::A(A { address: u32::from_be_bytes(address) }))
    }

    fn cname<'a>(name: &'a str, ttl: u32, target: &'a str) -> ResourceRecord<'a> {
        record(name, ttl, RData::CNAME(CNAME(Name::new_unchecked(target))))
    }

    #[test]
    fn a_chain_of_names_leads_to_the_addresses_and_holds_as_long_as_its_shortest_part() {
        let answers = [
            cname(
                "Account.Blob.Core.Windows.net",
                60,
                "blob.tyo22prdstr05a.store.core.windows.net",
            ),
            a("blob.tyo22prdstr05a.store.core.windows.net", 86_400, [20, 150, 7, 4]),
            a("blob.tyo22prdstr05a.store.core.windows.net", 10, [20, 150, 4, 4]),
        ];
        let answer = read(&response("account.blob.core.windows.net", TYPE::A, &answers)).unwrap();
        let expected = Answer {
            time: TIME,
            name: "account.blob.core.windows.net".into(),
            aliases: vec!["blob.tyo22prdstr05a.store.core.windows.net".into()],
            addresses: vec![([20, 150, 4, 4].into(), 10), ([20, 150, 7, 4].into(), 60)],
        };
        assert_eq!(answer, expected);
    }

    #[test]
    fn only_addresses_of_the_type_and_the_name_that_were_asked_for_are_taken() {
        let v6 = RData::AAAA(AAAA { address: 0x2001_0db8 << 96 | 7 });
        let answers = [
            a("a.example", 5, [192, 0, 2, 1]),
            record("a.example", 5, v6),
            a("b.example", 5, [192, 0, 2, 2]),
        ];
        let addresses = |asked| {
            let answer = read(&response("a.example", asked, &answers)).unwrap();
            answer.addresses.iter().map(|(address, _)| address.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(addresses(TYPE::A), ["192.0.2.1"]);
        assert_eq!(addresses(TYPE::AAAA), ["2001:db8::7"]);
        assert_eq!(read(&response("a.example", TYPE::HTTPS, &answers)), None);
        assert_eq!(read(&response("c.example", TYPE::A, &answers)), None);
    }

    #[test]
    fn what_is_no_response_without_error_to_one_question_is_no_answer() {
        let good = response("a.example", TYPE::A, &[a("a.example", 5, [192, 0, 2, 1])]);
        assert!(read(&good).is_some());

        let mut query = good.clone();
        query.remove_flags(PacketFlag::RESPONSE);
        assert_eq!(read(&query), None);
        let mut failed = good.clone();
        *failed.rcode_mut() = RCODE::NameError;
        assert_eq!(read(&failed), None);
        let mut notify = good.clone();
        *notify.opcode_mut() = OPCODE::Notify;
        assert_eq!(read(&notify), None);
        let mut two = good.clone();
        two.questions.push(two.questions[0].clone());
        assert_eq!(read(&two), None);
        let mut chaos = good.clone();
        chaos.questions[0].qclass = CLASS::CH.into();
        assert_eq!(read(&chaos), None);
        let mut foreign = good.clone();
        foreign.answers[0].class = CLASS::CH;
        assert_eq!(read(&foreign), None);
        let bytes = good.build_bytes_vec().unwrap();
        for end in 0..bytes.len() {
            assert_eq!(Answer::read(TIME, &bytes[..end]), None, "cut to {end} bytes");
        }
    }

    #[test]
    fn a_loop_two_canonical_names_and_an_endless_chain_are_refused() {
        let end = a("c.example", 5, [192, 0, 2, 1]);
        let ask = |answers: &[ResourceRecord<'_>]| {
            let packet = response("a.example", TYPE::A, answers).build_bytes_vec().unwrap();
            Answer::read(TIME, &packet)
        };
        let [ab, bc] = [cname("a.example", 5, "b.example"), cname("b.example", 5, "c.example")];
        assert!(ask(&[ab.clone(), bc.clone(), end.clone()]).is_some());
        let ba = cname("b.example", 5, "a.example");
        assert_eq!(ask(&[ab.clone(), ba, a("a.example", 5, [192, 0, 2, 1])]), None);
        let ac = cname("a.example", 5, "c.example");
        assert_eq!(ask(&[ab, bc, ac, end]), None);

        let names: Vec<_> = (0..20).map(|n| format!("n{n}.example")).collect();
        let chain = |links: usize| {
            let links = names.windows(2).take(links).map(|pair| cname(&pair[0], 5, &pair[1]));
            links.collect::<Vec<_>>()
        };
        for (links, fits) in [(Answer::MAX_ALIASES, true), (Answer::MAX_ALIASES + 1, false)] {
            let mut answers = chain(links);
            answers.push(a(&names[links], 5, [192, 0, 2, 1]));
            let answer = read(&response(&names[0], TYPE::A, &answers));
            assert_eq!(answer.is_some(), fits, "{links} links");
        }
    }

    #[test]
    fn names_that_nobody_could_print_are_refused() {
        for label in [&b"caf\xc3\xa9"[..], b"a b", b"a\x1b[31m", b"a.b", b"a\\b", b"\0"] {
            let labels = [Label::new_unchecked(label), Label::new_unchecked(&b"example"[..])];
            let name = Name::new_with_labels(&labels);
            let mut packet = response("x", TYPE::A, &[a("x", 5, [192, 0, 2, 1])]);
            packet.questions[0].qname = name.clone();
            packet.answers[0].name = name;
            assert_eq!(read(&packet), None, "{label:?}");
        }
        assert_eq!(read(&response("", TYPE::A, &[a("", 5, [192, 0, 2, 1])])), None);
    }

    #[test]
    fn addresses_that_are_nobodys_are_left_out() {
        let answers = [[0; 4], [127, 0, 0, 1], [224, 0, 0, 251], [255; 4]];
        let answers = answers.map(|address| a("denied.example", 5, address));
        assert_eq!(read(&response("denied.example", TYPE::A, &answers)), None);
    }

    #[test]
    fn how_much_a_message_says_is_bounded() {
        let of = |count: u32| {
            let many: Vec<_> =
                (0..count).map(|n| a("a.example", 5, (0x0a00_0001 + n).to_be_bytes())).collect();
            read(&response("a.example", TYPE::A, &many))
        };
        let most = u32::from(Answer::MAX_RECORDS);
        assert_eq!(of(most).unwrap().addresses.len(), Answer::MAX_ADDRESSES);
        assert_eq!(of(most + 1), None);
        let mut claims = response("a.example", TYPE::A, &[a("a.example", 5, [192, 0, 2, 1])])
            .build_bytes_vec()
            .unwrap();
        claims[8..10].copy_from_slice(&[0xff, 0xff]);
        assert_eq!(Answer::read(TIME, &claims), None);
    }

    #[test]
    fn a_ttl_with_the_highest_bit_set_is_zero() {
        let answer =
            read(&response("a.example", TYPE::A, &[a("a.example", 1 << 31, [192, 0, 2, 1])]));
        assert_eq!(answer.unwrap().addresses, [([192, 0, 2, 1].into(), 0)]);
    }

    proptest! {
        #[test]
        fn any_order_of_the_records_gives_the_same_answer(
            (links, order) in (0usize..8, 1usize..6).prop_flat_map(|(links, addresses)| {
                let all: Vec<_> = (0..links + addresses + 2).collect();
                (Just(links), Just(all).prop_shuffle())
            })
        ) {
            let names: Vec<_> = (0..=links).map(|n| format!("n{n}.example")).collect();
            let mut answers: Vec<_> = names
                .windows(2)
                .zip(5..)
                .map(|(pair, ttl)| cname(&pair[0], ttl, &pair[1]))
                .collect();
            // The last is there twice, and one is of another name.
            for n in links..order.len() - 1 {
                let n = n as u8;
                answers.push(a(&names[links], n.into(), [10, 0, 0, n]));
            }
            answers.push(answers[order.len() - 2].clone());
            answers[order.len() - 2].ttl = 1;
            answers.push(record("n0.example", 1, RData::NULL(99, NULL::new(b"?").unwrap())));
            let straight = read(&response("n0.example", TYPE::A, &answers));
            let shuffled: Vec<_> = order.iter().map(|n| answers[*n].clone()).collect();
            prop_assert!(straight.is_some());
            prop_assert_eq!(straight, read(&response("n0.example", TYPE::A, &shuffled)));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            Answer::read(TIME, &bytes);
        }

        #[test]
        fn no_change_of_a_message_makes_it_panic(
            changes in proptest::collection::vec((0usize..120, any::<u8>()), 1..6)
        ) {
            let answers = [cname("a.example", 5, "b.example"), a("b.example", 5, [192, 0, 2, 1])];
            let packet = response("a.example", TYPE::A, &answers);
            let mut bytes = packet.build_bytes_vec_compressed().unwrap();
            for (at, byte) in changes {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
            if let Some(answer) = Answer::read(TIME, &bytes) {
                prop_assert!(!answer.addresses.is_empty());
            }
        }
    }
}
