//! Which member of a fanout group gets a packet: a hash of the innermost addresses and ports that
//! is the same for both directions.
//!
//! The outer headers cannot decide. A VXLAN sender hashes each direction of a flow to a source port
//! of its own, and both ends of a flow may be mirrored by different taps. So the program walks to
//! the customer's packet as decapsulation does, and sums source and destination.
//!
//! | packet | goes by |
//! |---|---|
//! | TCP, UDP, SCTP, not a fragment | addresses and ports |
//! | anything else over IP; IPv6 with extension headers | addresses |
//! | a fragment: outer of IPv6, or inner | addresses |
//! | an ICMP error | addresses of the error itself, not of the packet that it quotes |
//! | not IP, or cut before what has to be read | member 0 |
//!
//! Not in the hash: the VNI and all that is outer, so that copies of a packet from two taps meet.
//!
//! All fragments of a datagram carry the same addresses, the ports only the first: going by
//! addresses, they meet on one member and can be reassembled there, but it need not be the one
//! that has the flow's other packets. Going by addresses alone would mend that and put all flows
//! between two hosts on one thread. TCP does not send fragments; routers make them only of
//! packets that permit it, which TCP's do not by default.
//!
//! Outer fragments of IPv4 are put together by the kernel beforehand (`PACKET_FANOUT_FLAG_DEFRAG`),
//! since only the first has the inner headers.

use libc::sock_filter;

use super::program::Arithmetic::{Add, AddX, And, Multiply, ShiftLeft, ShiftRight, XorX};
use super::program::Size::{Byte, Half, Word};
use super::program::Test::{AnyOf, Equal};
use super::program::{Fact, Label, Memory, Program};

/// Envelopes that are walked through; as many as decapsulation takes off by default.
const MAX_DEPTH: usize = 4;

/// VLAN tags that are walked in a row. The kernel takes the first outer one out of the frame.
const MAX_VLAN_TAGS: usize = 4;

/// Where the IP header begins.
const HEADER: Memory = Memory(0);
/// The sum of what is hashed.
const SUM: Memory = Memory(1);
/// What has to outlive a change of X.
const KEPT: Memory = Memory(2);

/// Ends of the program, for each way of hashing.
#[derive(Clone, Copy)]
struct Ends {
    ipv4: Label,
    ipv6: Label,
    /// Neither: member 0.
    other: Label,
}

/// UDP ports of envelopes, and where to go on with what is inside.
#[derive(Clone, Copy)]
struct Envelopes<'a> {
    ports: &'a [u16],
    inside: Label,
}

/// The program for mirrored packets that come to one of these UDP ports, and for plain ones.
pub(super) fn program(vxlan_ports: &[u16]) -> Vec<sock_filter> {
    let mut program = Program::default();
    let ends = Ends { ipv4: program.label(), ipv6: program.label(), other: program.label() };
    find_network(&mut program);
    let depth = if vxlan_ports.is_empty() { 0 } else { MAX_DEPTH };
    for _ in 0..depth {
        let inside = program.label();
        level(&mut program, ends, Some(Envelopes { ports: vxlan_ports, inside }));
        program.place(inside);
    }
    level(&mut program, ends, None);
    finish(&mut program, ends);
    program.finish()
}

/// A = the EtherType, X = where its payload begins.
///
/// A fanout program sees a packet that came in from its network header on, and one that goes out
/// from its link layer on. (Offsets from `SKF_NET_OFF` would be the same for both, but before
/// Linux 6.16 they reach only those bytes that the driver put into the linear part of the packet.)
fn find_network(program: &mut Program) {
    let (goes_out, framed, found) = (program.label(), program.label(), program.label());
    program.set_x(0);
    program.load_fact(Fact::PacketType);
    program.jump_if(Equal(libc::PACKET_OUTGOING.into()), goes_out);
    program.jump(found);
    program.place(goes_out);
    program.load_fact(Fact::Hardware);
    program.jump_if(Equal(libc::ARPHRD_ETHER.into()), framed);
    program.jump_if(Equal(libc::ARPHRD_LOOPBACK.into()), framed);
    program.jump(found);
    program.place(framed);
    program.set_x(14);
    program.place(found);
    program.load_fact(Fact::EtherType);
}

/// From an EtherType (A) and its payload (X) to the sum of the ports, or into an envelope.
fn level(program: &mut Program, ends: Ends, envelopes: Option<Envelopes<'_>>) {
    let (ipv4, ipv6) = (program.label(), program.label());
    for _ in 0..MAX_VLAN_TAGS {
        let tag = program.label();
        program.jump_if(Equal(0x0800), ipv4);
        program.jump_if(Equal(0x86dd), ipv6);
        for vlan in [0x8100, 0x88a8, 0x9100] {
            program.jump_if(Equal(vlan), tag);
        }
        program.jump(ends.other);
        program.place(tag);
        program.load(Half, 2);
        advance(program, 4);
    }
    program.jump_if(Equal(0x0800), ipv4);
    program.jump_if(Equal(0x86dd), ipv6);
    program.jump(ends.other);

    program.place(ipv4);
    let fragment = program.label();
    program.store_x(HEADER);
    program.load(Half, 6);
    program.jump_if(AnyOf(0x3fff), fragment);
    program.load(Byte, 9);
    program.store(KEPT);
    program.load(Byte, 0);
    program.compute(And(0xf));
    program.compute(ShiftLeft(2));
    program.compute(AddX);
    program.move_to_x();
    program.recall(KEPT);
    transport(program, ends.ipv4, envelopes);
    program.place(fragment);
    program.set(0);
    program.store(SUM);
    program.jump(ends.ipv4);

    program.place(ipv6);
    program.store_x(HEADER);
    program.load(Byte, 6);
    advance(program, 40);
    transport(program, ends.ipv6, envelopes);
}

/// From an IP protocol (A) and its header (X) to the sum of the ports, or into an envelope.
fn transport(program: &mut Program, end: Label, envelopes: Option<Envelopes<'_>>) {
    let (udp, has_ports, envelope) = (program.label(), program.label(), program.label());
    program.jump_if(Equal(6), has_ports);
    program.jump_if(Equal(17), udp);
    program.jump_if(Equal(132), has_ports);
    program.set(0);
    program.store(SUM);
    program.jump(end);

    program.place(udp);
    if let Some(Envelopes { ports, .. }) = envelopes {
        program.load(Half, 2);
        for port in ports {
            program.jump_if(Equal((*port).into()), envelope);
        }
    }
    program.place(has_ports);
    program.load(Half, 0);
    program.store(KEPT);
    program.load(Half, 2);
    program.recall_x(KEPT);
    program.compute(AddX);
    // Apart from the addresses: neighbours with neighbouring ports are many.
    program.compute(Multiply(0x9e37_79b1));
    program.store(SUM);
    program.jump(end);

    if let Some(Envelopes { inside, .. }) = envelopes {
        program.place(envelope);
        open(program, inside);
    }
}

/// From a UDP header (X) before VXLAN or VXLAN-GPE to the EtherType (A) and payload (X) inside.
fn open(program: &mut Program, inside: Label) {
    let (generic, ethernet) = (program.label(), program.label());
    let (ipv4, ipv6) = (program.label(), program.label());
    program.load(Byte, 8);
    // The P flag: the fourth byte says what is inside.
    program.jump_if(AnyOf(0x04), generic);
    program.jump(ethernet);
    program.place(generic);
    program.load(Byte, 11);
    program.jump_if(Equal(3), ethernet);
    advance(program, 16);
    program.jump_if(Equal(1), ipv4);
    program.jump_if(Equal(2), ipv6);
    program.answer(0);
    program.place(ipv4);
    program.set(0x0800);
    program.jump(inside);
    program.place(ipv6);
    program.set(0x86dd);
    program.jump(inside);
    program.place(ethernet);
    program.load(Half, 16 + 12);
    advance(program, 16 + 14);
    program.jump(inside);
}

/// X += `bytes`, and A stays.
fn advance(program: &mut Program, bytes: u32) {
    program.store(KEPT);
    program.move_from_x();
    program.compute(Add(bytes));
    program.move_to_x();
    program.recall(KEPT);
}

/// Adds the addresses to the sum of the ports, and mixes.
fn finish(program: &mut Program, ends: Ends) {
    let mix = program.label();
    program.place(ends.ipv4);
    add_pair(program, 12, 16);
    program.jump(mix);
    program.place(ends.ipv6);
    for word in 0..4 {
        add_pair(program, 8 + 4 * word, 24 + 4 * word);
    }
    // The last step of MurmurHash3: each bit of the sum changes each bit of the answer, of which
    // the kernel takes the remainder by the number of members.
    program.place(mix);
    program.recall(SUM);
    for (shift, factor) in [(16, Some(0x85eb_ca6b)), (13, Some(0xc2b2_ae35)), (16, None)] {
        program.move_to_x();
        program.compute(ShiftRight(shift));
        program.compute(XorX);
        if let Some(factor) = factor {
            program.compute(Multiply(factor));
        }
    }
    program.answer_a();
    program.place(ends.other);
    program.answer(0);
}

/// Sum = sum * 31 + the words at these two offsets of the IP header.
fn add_pair(program: &mut Program, source: u32, destination: u32) {
    program.recall_x(HEADER);
    program.load(Word, source);
    program.store(KEPT);
    program.load(Word, destination);
    program.recall_x(KEPT);
    program.compute(AddX);
    program.store(KEPT);
    program.recall(SUM);
    program.compute(Multiply(31));
    program.recall_x(KEPT);
    program.compute(AddX);
    program.store(SUM);
}

#[cfg(test)]
mod tests;
