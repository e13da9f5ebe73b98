//! Names of addresses, as DNS answers give them.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;
use vtap_flow::Answer;
use vtap_packet::Timestamp;

/// Addresses whose names are kept. Each keeps two names of 253 bytes at most, so all of it stays
/// below 50 MiB.
pub(crate) const MAX_ADDRESSES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(65_535);
/// A name holds this long even if its TTL is shorter: clients keep addresses longer than they may,
/// and connect anew.
pub(crate) const MIN_TTL: Duration = Duration::from_secs(3600);
/// And no longer than this, as resolvers have it (RFC 8767 section 4).
pub(crate) const MAX_TTL: Duration = Duration::from_secs(7 * 86_400);

/// What addresses are called, and since when.
#[derive(Debug)]
pub(crate) struct Names(LruCache<IpAddr, Named>);

/// The newest name of an address, and the one before it.
#[derive(Debug)]
struct Named {
    newest: Span,
    before: Option<Span>,
}

/// A name, and the time in which flows may have begun by it.
#[derive(Clone, Debug)]
struct Span {
    name: Arc<str>,
    from: Timestamp,
    until: Timestamp,
}

impl Span {
    fn holds(&self, at: Timestamp) -> bool {
        self.from <= at && at <= self.until
    }
}

impl Names {
    pub(crate) fn new() -> Self {
        Self(LruCache::new(MAX_ADDRESSES))
    }

    /// Takes in an answer: the name that was asked for names its addresses from now on.
    pub(crate) fn answer(&mut self, answer: &Answer) {
        let name: Arc<str> = answer.name.as_ref().into();
        for (address, ttl) in &answer.addresses {
            let ttl = Duration::from_secs(u64::from(*ttl)).clamp(MIN_TTL, MAX_TTL);
            let span = Span { name: name.clone(), from: answer.time, until: answer.time + ttl };
            match self.0.get_mut(address) {
                Some(named) => named.rename(span),
                None => {
                    self.0.put(*address, Named { newest: span, before: None });
                }
            }
        }
    }

    /// The name of an address for a flow that began at a time.
    ///
    /// The newest that had been given by then and still held. A flow that began before any answer
    /// has the first that came, as it was looked up before the capture began.
    pub(crate) fn name(&mut self, address: IpAddr, began: Timestamp) -> Option<&Arc<str>> {
        let Named { newest, before } = self.0.get(&address)?;
        let held = [Some(newest), before.as_ref()].into_iter().flatten();
        let first = before.as_ref().unwrap_or(newest);
        let span = held.into_iter().find(|span| span.holds(began));
        span.or_else(|| (began < first.from).then_some(first)).map(|span| &span.name)
    }
}

impl Named {
    fn rename(&mut self, span: Span) {
        let again = self.newest.name == span.name && span.from <= self.newest.until;
        if again && self.newest.from <= span.from {
            self.newest.until = self.newest.until.max(span.until);
        } else {
            self.before = Some(std::mem::replace(&mut self.newest, span));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(secs: u64, name: &str, ttl: u32, address: u32) -> Answer {
        Answer {
            time: Timestamp::new(secs, 0),
            name: name.into(),
            aliases: vec!["canonical.example".into()],
            addresses: vec![(address.to_be_bytes().into(), ttl)],
        }
    }

    fn name(names: &mut Names, address: u32, secs: u64) -> Option<String> {
        let name = names.name(address.to_be_bytes().into(), Timestamp::new(secs, 0));
        name.map(|name| name.to_string())
    }

    #[test]
    fn a_flow_has_the_name_that_held_when_it_began() {
        let mut names = Names::new();
        names.answer(&answer(10_000, "a.example", 60, 1));
        names.answer(&answer(20_000, "b.example", 60, 1));
        let at = |names: &mut Names, secs| name(names, 1, secs);
        assert_eq!(at(&mut names, 10_000).as_deref(), Some("a.example"));
        assert_eq!(at(&mut names, 13_600).as_deref(), Some("a.example"), "the floor");
        assert_eq!(at(&mut names, 13_601), None, "expired");
        assert_eq!(at(&mut names, 20_000).as_deref(), Some("b.example"));
        assert_eq!(at(&mut names, 5).as_deref(), Some("a.example"), "before any answer");
        assert_eq!(name(&mut names, 2, 10_000), None);
    }

    #[test]
    fn the_newest_answer_wins_while_both_hold() {
        let mut names = Names::new();
        names.answer(&answer(100, "a.example", 60, 1));
        names.answer(&answer(200, "b.example", 60, 1));
        assert_eq!(name(&mut names, 1, 150).as_deref(), Some("a.example"));
        assert_eq!(name(&mut names, 1, 200).as_deref(), Some("b.example"));
    }

    #[test]
    fn an_answer_that_comes_again_prolongs_its_name() {
        let mut names = Names::new();
        names.answer(&answer(0, "old.example", 60, 1));
        for secs in (100..20_000).step_by(60) {
            names.answer(&answer(secs, "a.example", 60, 1));
        }
        assert_eq!(name(&mut names, 1, 12_345).as_deref(), Some("a.example"));
        assert_eq!(name(&mut names, 1, 50).as_deref(), Some("old.example"));
    }

    #[test]
    fn a_ttl_of_years_ends_within_a_week() {
        let mut names = Names::new();
        names.answer(&answer(0, "a.example", i32::MAX.cast_unsigned(), 1));
        assert_eq!(name(&mut names, 1, 7 * 86_400).as_deref(), Some("a.example"));
        assert_eq!(name(&mut names, 1, 7 * 86_400 + 1), None);
    }

    #[test]
    fn a_flood_of_answers_forgets_what_was_not_asked_for_longest() {
        let mut names = Names::new();
        names.answer(&answer(0, "kept.example", 60, 1));
        for n in 0..200_000u32 {
            names.answer(&answer(0, "flood.example", 60, 0x0a00_0000 + n));
            if n % 1000 == 0 {
                assert!(name(&mut names, 1, 0).is_some());
            }
        }
        assert_eq!(names.0.len(), MAX_ADDRESSES.get());
        assert_eq!(name(&mut names, 1, 0).as_deref(), Some("kept.example"));
        assert_eq!(name(&mut names, 0x0a00_0000, 0), None);
    }

    proptest! {
        #[test]
        fn a_name_is_one_that_was_given_to_the_address(
            answers in proptest::collection::vec((0u64..20_000, 0u32..4, 0u32..4, 0u32..9000), 0..40),
            asked in proptest::collection::vec((0u32..4, 0u64..40_000), 1..20),
        ) {
            let mut names = Names::new();
            for (secs, given, address, ttl) in &answers {
                names.answer(&answer(*secs, &format!("n{given}.example"), *ttl, *address));
            }
            for (address, secs) in asked {
                let Some(name) = name(&mut names, address, secs) else { continue };
                let given = answers.iter().any(|(at, given, of, ttl)| {
                    let until = at + u64::from(*ttl).max(MIN_TTL.as_secs());
                    *of == address && name == format!("n{given}.example") && secs <= until
                });
                prop_assert!(given);
            }
        }
    }
}
