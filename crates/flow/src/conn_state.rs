//! What a connection came to, by the rules of Zeek.

use vtap_packet::Protocol;

use crate::letters::Letters;
use crate::record::ConnState;

/// What was seen of one side.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// Nothing, or no beginning.
    NoBeginning,
    /// A SYN or SYN-ACK that nothing has answered.
    Began,
    Established,
    Closed,
    Reset,
}

/// Of what client and server have sent; `packets` tells whether they sent anything.
pub(crate) fn of(protocol: Protocol, letters: [Letters; 2], packets: [bool; 2]) -> ConnState {
    match protocol {
        Protocol::TCP => tcp(letters),
        Protocol::ICMP | Protocol::ICMPV6 => ConnState::Oth,
        _ => match packets {
            [true, true] => ConnState::SF,
            [true, false] => ConnState::S0,
            [false, true] => ConnState::Shr,
            [false, false] => ConnState::Oth,
        },
    }
}

fn tcp([client, server]: [Letters; 2]) -> ConnState {
    let begun = |side: Letters| side.has(Letters::SYN) || side.has(Letters::SYN_ACK);
    let established =
        begun(client) && server.has(Letters::SYN_ACK) || begun(client) && begun(server);
    let seen = |side: Letters| match () {
        () if side.has(Letters::RST) => Seen::Reset,
        () if side.has(Letters::FIN) => Seen::Closed,
        () if established => Seen::Established,
        () if begun(side) => Seen::Began,
        () => Seen::NoBeginning,
    };
    // Before it ended, if it did.
    let unheard = |side: Letters| !begun(side);
    match (seen(client), seen(server)) {
        (Seen::Began, Seen::Reset) => ConnState::Rej,
        (Seen::Reset, Seen::Reset) if !server.has(Letters::SYN_ACK) && begun(client) => {
            ConnState::Rej
        }
        (_, Seen::Reset) if unheard(client) => ConnState::RstRh,
        (_, Seen::Reset) => ConnState::RstR,
        (Seen::Reset, _) if unheard(server) => ConnState::RstOs0,
        (Seen::Reset, _) => ConnState::RstO,
        (Seen::Closed, Seen::Closed) => ConnState::SF,
        (Seen::Closed, _) if unheard(server) => ConnState::Sh,
        (Seen::Closed, _) => ConnState::S2,
        (_, Seen::Closed) if unheard(client) => ConnState::Shr,
        (_, Seen::Closed) => ConnState::S3,
        (Seen::Began, _) if !server.tell() => ConnState::S0,
        (Seen::Established, Seen::Established) => ConnState::S1,
        _ => ConnState::Oth,
    }
}
