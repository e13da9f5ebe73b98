//! Events for the tests of the formats.

use vtap_flow::event::MAX_TAPS;
use vtap_flow::gap::Cause;
use vtap_flow::{Event, EventFlag, Gap, Reason, Side, State};
use vtap_packet::{Timestamp, Tunnel, Vni};

/// A mirrored SYN.
pub(crate) fn syn() -> Event {
    Event {
        time: Timestamp::new(1_764_547_200, 123_456_789),
        packet: 1,
        flag: EventFlag::Syn,
        src: "10.0.1.4:50000".parse().unwrap(),
        dst: "10.0.2.5:443".parse().unwrap(),
        tunnel: Some(Tunnel {
            src: [10, 9, 0, 4].into(),
            dst: [10, 9, 0, 5].into(),
            src_port: 51111,
            dst_port: 4789,
            vni: Vni::new(27),
            depth: 1,
        }),
        state: Some(State::SynSent),
        side: Some(Side::Client),
        reason: None,
        missing: None,
        retransmission: false,
        taps: [None; MAX_TAPS],
        egress_only: false,
        suppressed: 0,
    }
}

/// Its answer.
pub(crate) fn syn_ack() -> Event {
    let syn = syn();
    Event {
        packet: 2,
        flag: EventFlag::SynAck,
        src: syn.dst,
        dst: syn.src,
        state: Some(State::SynRecv),
        side: Some(Side::Server),
        ..syn
    }
}

/// The answer once more.
pub(crate) fn retransmission() -> Event {
    Event { packet: 3, retransmission: true, ..syn_ack() }
}

/// A FIN over IPv6 that was not mirrored.
pub(crate) fn plain_v6() -> Event {
    Event {
        packet: 4,
        flag: EventFlag::Fin,
        src: "[fd00::1:0:0:1]:50000".parse().unwrap(),
        dst: "[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:443".parse().unwrap(),
        tunnel: None,
        state: Some(State::FinWait),
        ..syn()
    }
}

/// A packet of no known flow.
pub(crate) fn invalid() -> Event {
    Event {
        packet: 5,
        flag: EventFlag::Invalid,
        state: None,
        side: None,
        reason: Some(Reason::NoState),
        ..syn()
    }
}

/// A flow whose server is not seen.
pub(crate) fn asymmetric() -> Event {
    Event {
        packet: 6,
        side: Some(Side::Client),
        state: Some(State::SynSent),
        reason: Some(Reason::Asymmetric),
        missing: Some(Side::Server),
        ..invalid()
    }
}

/// Twelve more packets of no known flow.
pub(crate) fn suppressed() -> Event {
    Event { packet: 99, suppressed: 12, ..invalid() }
}

/// A mirror that showed nothing for ten seconds.
pub(crate) fn gap() -> Gap {
    Gap {
        tap: [10, 9, 0, 4].into(),
        start: Timestamp::new(1_764_547_202, 250_000_000),
        end: Timestamp::new(1_764_547_212, 300_000_000),
        cause: Cause::Silence,
    }
}
