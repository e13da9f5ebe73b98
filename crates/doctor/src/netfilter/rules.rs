//! Rules of a packet filter, as far as they concern one packet: mirrored, to the VXLAN port.

/// The packet that rules are asked about. Of its sender nothing is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe<'a> {
    pub(crate) port: u16,
    /// The NICs that it may come in by.
    pub(crate) interfaces: &'a [String],
    /// Whether conntrack sees it: its state is then `new`, for nothing answers, else `untracked`.
    pub(crate) tracked: bool,
}

/// Whether a packet fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Match {
    Never,
    /// It depends on what is not known, or the condition is not understood.
    Perhaps,
    Always,
}

impl Match {
    pub(crate) const fn of(fits: bool) -> Self {
        if fits { Self::Always } else { Self::Never }
    }

    pub(crate) const fn not(self) -> Self {
        match self {
            Self::Never => Self::Always,
            Self::Perhaps => Self::Perhaps,
            Self::Always => Self::Never,
        }
    }
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Accept,
    /// Or reject.
    Drop,
    Jump(String),
    Goto(String),
    Return,
    Notrack,
}

/// A rule. It has several arms if it looks its verdict up in a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// As it is listed.
    pub(crate) text: String,
    pub(crate) arms: Vec<(Match, Action)>,
}

/// Where the kernel enters a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) hook: String,
    pub(crate) priority: i32,
    /// Whether what no rule decides is dropped.
    pub(crate) drops: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    /// With its family, as nft has them: `inet filter`, `ip filter`.
    pub(crate) table: String,
    pub(crate) name: String,
    /// Absent for a chain that only rules jump to.
    pub(crate) base: Option<Base>,
    pub(crate) rules: Vec<Rule>,
}

/// What becomes of the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accepted,
    /// By what.
    Dropped(String),
    /// What it depends on.
    Unsure(String),
}

/// What a chain said until it ended.
#[derive(Debug, Default)]
struct Walk {
    /// What surely ended it.
    end: Option<Ended>,
    /// The first rule that may drop the packet, and the first that may accept it.
    may_drop: Option<String>,
    may_accept: Option<String>,
    notrack: Option<Match>,
}

#[derive(Debug)]
enum Ended {
    Accepted,
    Dropped(String),
    Returned,
}

/// What a base chain says of the packet.
pub(crate) fn verdict(chains: &[Chain], base: &Chain) -> Verdict {
    let walk = walk(chains, base, 0);
    let dropped = match walk.end {
        Some(Ended::Accepted) => None,
        Some(Ended::Dropped(rule)) => Some(rule),
        Some(Ended::Returned) | None => base
            .base
            .as_ref()
            .filter(|base| base.drops)
            .map(|_| format!("policy drop of {} {}", base.table, base.name)),
    };
    match (dropped, walk.may_drop, walk.may_accept) {
        (None, None, _) => Verdict::Accepted,
        (None, Some(rule), _) => Verdict::Unsure(rule),
        (Some(_), _, Some(rule)) => Verdict::Unsure(rule),
        (Some(rule), ..) => Verdict::Dropped(rule),
    }
}

/// Whether a base chain takes the packet out of conntrack.
pub(crate) fn notrack(chains: &[Chain], base: &Chain) -> Match {
    walk(chains, base, 0).notrack.unwrap_or(Match::Never)
}

fn walk(chains: &[Chain], chain: &Chain, depth: u8) -> Walk {
    let mut walk = Walk::default();
    // The kernel refuses loops, and jumps deeper than this.
    if depth > 16 {
        return walk;
    }
    for rule in &chain.rules {
        let quote = || format!("{} {}: {}", chain.table, chain.name, rule.text);
        for (fits, action) in &rule.arms {
            let surely = match fits {
                Match::Never => continue,
                Match::Perhaps => false,
                Match::Always => true,
            };
            match action {
                Action::Notrack => walk.notrack = walk.notrack.max(Some(*fits)),
                Action::Accept if surely => walk.end = Some(Ended::Accepted),
                Action::Drop if surely => walk.end = Some(Ended::Dropped(quote())),
                Action::Return if surely => walk.end = Some(Ended::Returned),
                Action::Accept => note(&mut walk.may_accept, quote()),
                Action::Drop => note(&mut walk.may_drop, quote()),
                // What comes behind it then counts only perhaps, which is how it is taken anyway
                // where it differs.
                Action::Return => {}
                Action::Jump(name) | Action::Goto(name) => {
                    let there = |it: &&Chain| it.table == chain.table && it.name == *name;
                    let Some(target) = chains.iter().find(there) else { continue };
                    walk.jump(self::walk(chains, target, depth + 1), surely);
                    if surely && matches!(action, Action::Goto(_)) && walk.end.is_none() {
                        walk.end = Some(Ended::Returned);
                    }
                }
            }
            if walk.end.is_some() {
                return walk;
            }
        }
    }
    walk
}

impl Walk {
    /// Takes over what another chain said, which the packet surely, or perhaps, went through.
    fn jump(&mut self, other: Self, surely: bool) {
        if let Some(rule) = other.may_drop {
            note(&mut self.may_drop, rule);
        }
        if let Some(rule) = other.may_accept {
            note(&mut self.may_accept, rule);
        }
        let weaker = |fits: Match| if surely { fits } else { fits.min(Match::Perhaps) };
        self.notrack = self.notrack.max(other.notrack.map(weaker));
        match other.end {
            Some(Ended::Accepted) if surely => self.end = Some(Ended::Accepted),
            Some(Ended::Dropped(rule)) if surely => self.end = Some(Ended::Dropped(rule)),
            Some(Ended::Accepted) => note(&mut self.may_accept, "a chain that is jumped to".into()),
            Some(Ended::Dropped(rule)) => note(&mut self.may_drop, rule),
            Some(Ended::Returned) | None => {}
        }
    }
}

fn note(first: &mut Option<String>, rule: String) {
    first.get_or_insert(rule);
}

/// Whether a port is one of `4789`, `4000-5000`, `4000:5000`, or of a list of these.
pub(crate) fn port_fits(port: u16, value: &str) -> Match {
    let (first, last) = value.split_once(['-', ':']).unwrap_or((value, value));
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) => Match::of((first..=last).contains(&port)),
        _ if value == "vxlan" => Match::of(port == 4789),
        // A service by its name, or a set by its.
        _ if value.starts_with('@') => Match::Perhaps,
        _ => Match::Never,
    }
}

impl Probe<'_> {
    /// Whether it comes in by this NIC; a name may end in a wildcard.
    pub(crate) fn interface_fits(&self, name: &str, wildcard: char) -> Match {
        let fits = |interface: &&String| match name.strip_suffix(wildcard) {
            Some(prefix) => interface.starts_with(prefix),
            None => *interface == name,
        };
        match self.interfaces.iter().filter(fits).count() {
            0 if !self.interfaces.is_empty() => Match::Never,
            n if n == self.interfaces.len() && n > 0 => Match::Always,
            _ => Match::Perhaps,
        }
    }

    /// Whether this is its state in conntrack.
    pub(crate) fn state_fits(&self, state: &str) -> Match {
        match state.to_ascii_lowercase().as_str() {
            "new" => Match::of(self.tracked),
            "untracked" => Match::of(!self.tracked),
            _ => Match::Never,
        }
    }
}
