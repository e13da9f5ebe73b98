//! One line of a flow log: a flow that begins, goes on or is over.
//!
//! Thirteen fields with commas: time in milliseconds, addresses, ports, protocol number,
//! direction, state, encryption, then packets and bytes sent and received since the tuple before.

use std::fmt::Write;

use vtap_flow::Record;
use vtap_flow::record::Traffic;
use vtap_networks::Direction;
use vtap_packet::Timestamp;

/// The cloud's word for traffic of a network without encryption. One with encryption has no tap.
const ENCRYPTION: &str = "NX";

/// What a tuple says of its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It has begun; nothing is counted.
    Begin,
    /// It goes on.
    Continue,
    /// It is over.
    End,
}

impl State {
    const fn letter(self) -> char {
        match self {
            Self::Begin => 'B',
            Self::Continue => 'C',
            Self::End => 'E',
        }
    }
}

/// Appends the tuple as an element of a JSON array, a comma in front of all but the first.
///
/// A begin has the time of the first packet, the others that of the last packet they count: the
/// times of a flow never go back.
pub(crate) fn push(out: &mut String, record: &Record, direction: Direction, state: State) {
    let (time, sent, received) = match state {
        State::Begin => (record.start, Traffic::default(), Traffic::default()),
        State::Continue | State::End => {
            (record.end, record.to_server.since, record.to_client.since)
        }
    };
    let comma = if out.is_empty() { "" } else { "," };
    let direction = match direction {
        Direction::Inbound => 'I',
        Direction::Outbound => 'O',
    };
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "{comma}\"{},{},{},{},{},{},{direction},{},{ENCRYPTION},{},{},{},{}\"",
        milliseconds(time),
        record.client.ip(),
        record.server.ip(),
        record.client.port(),
        record.server.port(),
        record.protocol.0,
        state.letter(),
        sent.packets,
        sent.bytes,
        received.packets,
        received.bytes,
    );
}

const fn milliseconds(time: Timestamp) -> u64 {
    time.nanos() / 1_000_000
}
