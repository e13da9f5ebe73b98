//! Which events are wanted.

use std::fmt;
use std::str::FromStr;

use vtap_flow::{Answer, Event, EventFlag, Gap, Record, Sink};

/// A set of event flags, written as their names with commas between: `SYN-ACK,RST`, or `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlagSet(u8);

impl FlagSet {
    /// All seven.
    pub const ALL: Self = Self::of(&EventFlag::ALL);

    /// The five that the firewall's flow trace has: neither SYN nor the ACK that completes the
    /// handshake.
    pub const AZURE: Self = Self::of(&[
        EventFlag::SynAck,
        EventFlag::Fin,
        EventFlag::FinAck,
        EventFlag::Rst,
        EventFlag::Invalid,
    ]);

    /// The set of these flags.
    pub const fn of(mut flags: &[EventFlag]) -> Self {
        let mut bits = 0;
        while let [flag, rest @ ..] = flags {
            bits |= 1 << *flag as u8;
            flags = rest;
        }
        Self(bits)
    }

    /// Whether `flag` is in the set.
    pub const fn contains(self, flag: EventFlag) -> bool {
        self.0 >> flag as u8 & 1 == 1
    }
}

/// In the order of a connection's life; `all` for all seven, `none` for none.
impl fmt::Display for FlagSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ALL => f.write_str("all"),
            Self(0) => f.write_str("none"),
            set => {
                let mut comma = "";
                for flag in EventFlag::ALL.into_iter().filter(|flag| set.contains(*flag)) {
                    write!(f, "{comma}{flag}")?;
                    comma = ",";
                }
                Ok(())
            }
        }
    }
}

/// Case does not matter; spaces around a name are ignored.
impl FromStr for FlagSet {
    type Err = UnknownFlag;

    fn from_str(names: &str) -> Result<Self, UnknownFlag> {
        names.split(',').map(str::trim).try_fold(Self(0), |set, name| {
            let is = |known: &str| known.eq_ignore_ascii_case(name);
            let found = if is("all") {
                Self::ALL
            } else if is("none") {
                Self(0)
            } else {
                let flag = EventFlag::ALL.into_iter().find(|flag| is(flag.name()));
                Self::of(&[flag.ok_or_else(|| UnknownFlag(name.into()))?])
            };
            Ok(Self(set.0 | found.0))
        })
    }
}

/// A name that is no flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFlag(String);

impl fmt::Display for UnknownFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no such flag: `{}`; there are ", self.0)?;
        for flag in EventFlag::ALL {
            write!(f, "{flag}, ")?;
        }
        f.write_str("all and none")
    }
}

impl std::error::Error for UnknownFlag {}

/// Passes on the events that were asked for.
#[derive(Clone, Copy, Debug)]
pub struct Filtered<S> {
    /// Where they go.
    pub sink: S,
    /// Which pass.
    pub flags: FlagSet,
    /// Whether repeated segments pass as well, if their flag does.
    pub retransmissions: bool,
}

impl<S> Filtered<S> {
    /// Passes `flags` to `sink`, and no retransmissions.
    pub const fn new(sink: S, flags: FlagSet) -> Self {
        Self { sink, flags, retransmissions: false }
    }
}

impl<S: Sink> Sink for Filtered<S> {
    type Error = S::Error;

    fn event(&mut self, event: &Event) -> Result<(), S::Error> {
        let wanted =
            self.flags.contains(event.flag) && (self.retransmissions || !event.retransmission);
        if wanted { self.sink.event(event) } else { Ok(()) }
    }

    fn gap(&mut self, gap: &Gap) -> Result<(), S::Error> {
        self.sink.gap(gap)
    }

    fn record(&mut self, record: &Record) -> Result<(), S::Error> {
        self.sink.record(record)
    }

    fn answer(&mut self, answer: &Answer) -> Result<(), S::Error> {
        self.sink.answer(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn names_are_read_in_any_case_and_order() {
        let set: FlagSet = "invalid, Syn-Ack,RST".parse().unwrap();
        assert_eq!(set, FlagSet::of(&[EventFlag::SynAck, EventFlag::Rst, EventFlag::Invalid]));
        assert_eq!("ALL".parse(), Ok(FlagSet::ALL));
        assert_eq!("none".parse(), Ok(FlagSet::of(&[])));
    }

    #[test]
    fn what_is_printed_reads_back() {
        assert_eq!(FlagSet::AZURE.to_string(), "SYN-ACK,FIN,FIN-ACK,RST,INVALID");
        for bits in 0..1 << EventFlag::ALL.len() {
            assert_eq!(FlagSet(bits).to_string().parse(), Ok(FlagSet(bits)));
        }
    }

    #[test]
    fn a_wrong_name_is_answered_with_the_right_ones() {
        for (names, wrong) in
            [("SYN,SYNACK", "SYNACK"), ("", ""), ("RST,", ""), ("SYN ACK", "SYN ACK")]
        {
            assert_eq!(
                names.parse::<FlagSet>().unwrap_err().to_string(),
                format!(
                    "no such flag: `{wrong}`; there are SYN, SYN-ACK, ACK, FIN, FIN-ACK, RST, INVALID, all and none"
                ),
            );
        }
    }

    #[test]
    fn only_what_was_asked_for_passes() {
        let mut sink = Filtered::new(Vec::new(), FlagSet::AZURE);
        for event in [sample::syn(), sample::syn_ack(), sample::retransmission()] {
            sink.event(&event).unwrap();
        }
        assert_eq!(sink.sink, [sample::syn_ack()]);
        sink.retransmissions = true;
        sink.event(&Event { flag: EventFlag::Syn, ..sample::retransmission() }).unwrap();
        sink.event(&sample::retransmission()).unwrap();
        assert_eq!(sink.sink, [sample::syn_ack(), sample::retransmission()]);
    }
}
