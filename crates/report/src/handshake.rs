//! Which handshakes failed, and how.

use std::time::Duration;

use vtap_flow::Record;
use vtap_flow::record::{ConnState, Ending, Phase};

/// How a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failure {
    /// The SYN was not answered.
    NoAnswer,
    /// The SYN was answered by a reset.
    Refused,
    /// The client gave up, by a reset or a FIN, before any answer.
    Abandoned,
    /// The SYN-ACK was sent, and no ACK came.
    Incomplete,
    /// The SYN-ACK was sent, and then one side reset the connection.
    Reset,
}

/// A SYN is repeated after a second (RFC 6298 section 2). One that is younger at the end of the
/// capture may still be answered.
const PATIENCE: Duration = Duration::from_secs(1);

impl Failure {
    /// Every one.
    pub const ALL: [Self; 5] =
        [Self::NoAnswer, Self::Refused, Self::Abandoned, Self::Incomplete, Self::Reset];

    /// In a word or two, for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoAnswer => "no answer",
            Self::Refused => "refused",
            Self::Abandoned => "abandoned",
            Self::Incomplete => "incomplete",
            Self::Reset => "reset",
        }
    }

    /// What was seen, and where to look.
    pub const fn words(self) -> &'static str {
        match self {
            Self::NoAnswer => {
                "SYN, and nothing came back: a rule drops it, no route leads there or back, or the \
                 host is down"
            }
            Self::Refused => {
                "SYN answered by RST: the host is up, and nothing listens on that port or a \
                 device rejects it"
            }
            Self::Abandoned => {
                "SYN, then RST or FIN by the client, which did not wait for an answer"
            }
            Self::Incomplete => {
                "SYN and SYN-ACK, and no ACK: the SYN-ACK is lost, or goes another way, between \
                 here and the client"
            }
            Self::Reset => "SYN and SYN-ACK, and then RST in place of the connection",
        }
    }

    /// How the handshake of a flow that is over failed. `None` where it did not; where its SYN was
    /// not seen; and where the tap does not show the other side, which tells nothing.
    pub fn of(record: &Record) -> Option<Self> {
        let Phase::End(ending) = record.phase else { return None };
        if !was_tried(record) {
            return None;
        }
        let pending = ending == Ending::CaptureEnd && record.told.since(record.start) < PATIENCE;
        let failure = match record.conn_state {
            ConnState::S0 if pending => return None,
            ConnState::S0 => Self::NoAnswer,
            ConnState::Rej => Self::Refused,
            ConnState::RstOs0 | ConnState::Sh => Self::Abandoned,
            _ if is_complete(record) => return None,
            ConnState::RstO | ConnState::RstR => Self::Reset,
            _ if pending => return None,
            _ => Self::Incomplete,
        };
        Some(failure)
    }
}

/// Whether a flow is a connection whose opening was seen, where answers would be seen as well.
pub(crate) const fn was_tried(record: &Record) -> bool {
    record.tcp.is_some()
        && !record.midstream
        && !record.egress_only
        && record.missing.is_none()
        && !matches!(record.conn_state, ConnState::Oth | ConnState::RstRh | ConnState::Shr)
}

/// Whether the client has acknowledged the SYN-ACK, or sent what follows it.
fn is_complete(record: &Record) -> bool {
    record.tcp.is_some_and(|tcp| tcp.handshake.is_some())
        || record.history.as_str().contains(['A', 'D', 'F', 'd'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn each_way_to_fail_has_its_name() {
        let of = |conn_state, history| {
            let mut record = sample::tcp(1, "10.0.0.1:4000", "10.0.0.2:443");
            record.conn_state = conn_state;
            record.history = sample::history(history);
            record.tcp.as_mut().unwrap().handshake = None;
            Failure::of(&record)
        };
        assert_eq!(of(ConnState::S0, "S"), Some(Failure::NoAnswer));
        assert_eq!(of(ConnState::Rej, "Sr"), Some(Failure::Refused));
        assert_eq!(of(ConnState::RstOs0, "SR"), Some(Failure::Abandoned));
        assert_eq!(of(ConnState::S1, "Sh"), Some(Failure::Incomplete));
        assert_eq!(of(ConnState::RstO, "ShR"), Some(Failure::Reset));
        assert_eq!(of(ConnState::RstR, "ShADdr"), None);
        assert_eq!(of(ConnState::SF, "ShADadFf"), None);
        assert_eq!(of(ConnState::Oth, "Aa"), None);
    }

    #[test]
    fn a_syn_just_before_the_end_of_the_capture_has_not_failed() {
        let mut record = sample::tcp(1, "10.0.0.1:4000", "10.0.0.2:443");
        record.conn_state = ConnState::S0;
        record.phase = Phase::End(Ending::CaptureEnd);
        record.told = record.start + Duration::from_millis(900);
        assert_eq!(Failure::of(&record), None);
        record.told = record.start + Duration::from_secs(2);
        assert_eq!(Failure::of(&record), Some(Failure::NoAnswer));
    }

    #[test]
    fn what_the_tap_does_not_show_is_no_failure() {
        let mut record = sample::tcp(1, "10.0.0.1:4000", "10.0.0.2:443");
        record.conn_state = ConnState::S0;
        assert_eq!(Failure::of(&record), Some(Failure::NoAnswer));
        assert_eq!(Failure::of(&Record { egress_only: true, ..record.clone() }), None);
        let missing = Some(vtap_flow::Side::Server);
        assert_eq!(Failure::of(&Record { missing, ..record.clone() }), None);
        assert_eq!(Failure::of(&Record { midstream: true, ..record }), None);
    }
}
