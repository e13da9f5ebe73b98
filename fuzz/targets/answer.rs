//! DNS responses, as they come in the payload of a datagram.
//!
//! Laws: an answer has a name and addresses, all of them bounded, in order, once each, and text
//! that can be printed; it is that of the moment. The records that it was read from, written anew the
//! other way round and nothing else, are the same answer.

#![no_main]

use libfuzzer_sys::fuzz_target;
use simple_dns::Packet;
use simple_dns::rdata::RData;
use vtap_flow::Answer;
use vtap_packet::Timestamp;

const TIME: Timestamp = Timestamp::from_nanos(7);

fuzz_target!(|bytes: &[u8]| {
    let Some(answer) = Answer::read(TIME, bytes) else { return };
    assert_eq!(answer.time, TIME);
    let names: Vec<&str> =
        std::iter::once(&answer.name).chain(&answer.aliases).map(|name| &**name).collect();
    assert!(names.len() <= 1 + Answer::MAX_ALIASES);
    for (index, name) in names.iter().enumerate() {
        assert!((1..=Answer::MAX_NAME_BYTES).contains(&name.len()));
        assert!(name.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase()));
        assert!(!names[..index].contains(name), "a loop: {names:?}");
    }
    assert!((1..=Answer::MAX_ADDRESSES).contains(&answer.addresses.len()));
    assert!(answer.addresses.is_sorted_by(|(a, _), (b, _)| a < b));
    for (address, ttl) in &answer.addresses {
        assert!(!address.is_unspecified() && !address.is_loopback() && !address.is_multicast());
        assert!(i32::try_from(*ttl).is_ok());
    }

    let mut packet = Packet::parse(bytes).expect("an answer was read from it");
    // Of other types the library does not write back all that it reads.
    packet
        .answers
        .retain(|record| matches!(record.rdata, RData::A(_) | RData::AAAA(_) | RData::CNAME(_)));
    packet.answers.reverse();
    packet.name_servers.clear();
    packet.additional_records.clear();
    *packet.opt_mut() = None;
    let reversed = packet.build_bytes_vec().expect("these records can be written");
    assert_eq!(Answer::read(TIME, &reversed), Some(answer));
});
