//! What `nft list ruleset` prints, nft(8).

use super::rules::{Action, Base, Chain, Match, Probe, Rule, port_fits};

/// Reads all chains, as they concern one packet.
pub(crate) fn parse(listing: &str, probe: &Probe<'_>) -> Vec<Chain> {
    let mut chains: Vec<Chain> = Vec::new();
    let mut table = String::new();
    // Braces open when a set, map or other object of a table began.
    let mut skipped: Option<i64> = None;
    let (mut depth, mut in_chain) = (0_i64, false);
    for line in statements(listing) {
        let line = line.as_str();
        let before = depth;
        depth += balance(line);
        if let Some(outside) = skipped {
            if depth <= outside {
                skipped = None;
            }
        } else if let Some(name) = line.strip_prefix("table ").filter(|_| before == 0) {
            table = name.trim_end_matches('{').trim().to_owned();
        } else if let Some(name) = line.strip_prefix("chain ").filter(|_| before == 1) {
            let name = name.trim_end_matches('{').trim().to_owned();
            chains.push(Chain { table: table.clone(), name, base: None, rules: Vec::new() });
            in_chain = true;
        } else if line == "}" {
            in_chain = false;
        } else if !in_chain {
            if depth > before {
                skipped = Some(before);
            }
        } else if let Some(chain) = chains.last_mut() {
            if line.starts_with("type ") {
                chain.base = base(line);
            } else {
                chain.rules.push(Rule { text: line.to_owned(), arms: arms(line, probe) });
            }
        }
    }
    // A packet over IPv4: the TAP's. Of bridges and ARP the packet filter knows other packets.
    let concerns = |chain: &Chain| {
        let family = chain.table.split(' ').next().unwrap_or_default();
        ["ip", "inet", "netdev"].contains(&family)
    };
    chains.retain(concerns);
    chains
}

/// Lines, those of a long set put together, without handles and comments.
fn statements(listing: &str) -> Vec<String> {
    let mut statements: Vec<String> = Vec::new();
    let mut open = 0;
    for line in listing.lines() {
        // nft puts remarks, and handles with -a, behind a #. One within quotes is the user's.
        let quotes = |text: &str| text.matches('"').count();
        let comment = line
            .match_indices('#')
            .find(|(at, _)| line.get(..*at).is_some_and(|before| quotes(before).is_multiple_of(2)));
        let line = comment.and_then(|(at, _)| line.get(..at)).unwrap_or(line).trim();
        if line.is_empty() {
            continue;
        }
        match statements.last_mut().filter(|_| open > 0) {
            Some(statement) => {
                statement.push(' ');
                statement.push_str(line);
                open += balance(line);
            }
            None => {
                statements.push(line.to_owned());
                // A line that ends with a brace opens a block; else it is a set that goes on.
                open = if line.ends_with('{') { 0 } else { balance(line).max(0) };
            }
        }
    }
    statements
}

fn balance(line: &str) -> i64 {
    let letter = |letter| line.matches(letter).count() as i64;
    letter('{') - letter('}')
}

/// `type filter hook input priority filter - 10; policy drop;`
fn base(line: &str) -> Option<Base> {
    let words: Vec<_> = line.split([' ', ';']).filter(|word| !word.is_empty()).collect();
    let after = |word| words.iter().skip_while(move |it| **it != word).skip(1);
    let hook = (*after("hook").next()?).to_owned();
    let mut priority = after("priority");
    let named = match *priority.next()? {
        "raw" => -300,
        "mangle" => -150,
        "dstnat" => -100,
        "filter" => 0,
        "security" => 50,
        "srcnat" => 100,
        number => number.parse().ok()?,
    };
    let offset: i32 = match (priority.next(), priority.next()) {
        (Some(&"+"), Some(number)) => number.parse().ok()?,
        (Some(&"-"), Some(number)) => number.parse::<i32>().ok()?.checked_neg()?,
        _ => 0,
    };
    let drops = after("policy").next() == Some(&"drop");
    Some(Base { hook, priority: named + offset, drops })
}

/// What a condition is about.
#[derive(Clone, Copy)]
enum Selector {
    Port,
    Protocol,
    Family,
    Interface,
    State,
    Other,
}

impl Selector {
    fn fits(self, value: &str, probe: &Probe<'_>) -> Match {
        match self {
            Self::Port => port_fits(probe.port, value),
            Self::Protocol => Match::of(["udp", "17"].contains(&value)),
            Self::Family => Match::of(["ipv4", "ip"].contains(&value)),
            Self::Interface => probe.interface_fits(value.trim_matches('"'), '*'),
            Self::State => probe.state_fits(value),
            Self::Other => Match::Perhaps,
        }
    }
}

fn arms(rule: &str, probe: &Probe<'_>) -> Vec<(Match, Action)> {
    let tokens = tokens(rule);
    let mut tokens = tokens.iter().map(String::as_str).peekable();
    let mut fits = Match::Always;
    let mut arms = Vec::new();
    while let Some(token) = tokens.next() {
        let mut next = || tokens.next().unwrap_or_default();
        let selector = match token {
            "accept" => {
                arms.push((fits, Action::Accept));
                continue;
            }
            "drop" | "reject" => {
                arms.push((fits, Action::Drop));
                // What follows says how to reject.
                break;
            }
            "return" => {
                arms.push((fits, Action::Return));
                continue;
            }
            "notrack" => {
                arms.push((fits, Action::Notrack));
                continue;
            }
            "jump" => {
                arms.push((fits, Action::Jump(next().to_owned())));
                continue;
            }
            "goto" => {
                arms.push((fits, Action::Goto(next().to_owned())));
                continue;
            }
            "counter" => {
                // packets 0 bytes 0, unless it has a name.
                if tokens.peek() == Some(&"packets") {
                    tokens.by_ref().take(4).for_each(drop);
                }
                continue;
            }
            "comment" | "prefix" | "level" | "flags" | "group" => {
                next();
                continue;
            }
            "log" | "continue" => continue,
            "udp" | "th" => match next() {
                "dport" => Selector::Port,
                _ => Selector::Other,
            },
            "meta" => match next() {
                "l4proto" => Selector::Protocol,
                "nfproto" | "protocol" => Selector::Family,
                "iifname" | "iif" => Selector::Interface,
                _ => Selector::Other,
            },
            "ip" => match next() {
                "protocol" => Selector::Protocol,
                _ => Selector::Other,
            },
            "ct" => match next() {
                "state" => Selector::State,
                _ => Selector::Other,
            },
            "iifname" | "iif" => Selector::Interface,
            "tcp" | "sctp" | "dccp" | "udplite" | "icmp" | "icmpv6" | "igmp" | "esp" | "ah"
            | "ip6" | "arp" | "vlan" => {
                fits = Match::Never;
                next();
                Selector::Other
            }
            _ => {
                // A condition that is not understood, or its value.
                fits = fits.min(Match::Perhaps);
                continue;
            }
        };
        let mut value = next();
        let negated = value == "!=";
        if negated || value == "==" {
            value = next();
        }
        if value == "vmap" {
            arms.extend(of_map(next(), selector, fits, probe));
            continue;
        }
        let condition = items(value).map(|item| selector.fits(item, probe)).max();
        let condition = condition.unwrap_or(Match::Perhaps);
        fits = fits.min(if negated { condition.not() } else { condition });
    }
    arms
}

/// `{ established : accept, 22 : jump ssh }`, or `@name`.
fn of_map(map: &str, selector: Selector, so_far: Match, probe: &Probe<'_>) -> Vec<(Match, Action)> {
    if map.starts_with('@') {
        let perhaps = so_far.min(Match::Perhaps);
        return vec![(perhaps, Action::Drop), (perhaps, Action::Accept)];
    }
    let arm = |item: &str| {
        let (key, verdict) = item.rsplit_once(" : ")?;
        let verdict = verdict.trim();
        let action = match verdict.split_once(' ') {
            Some(("jump", chain)) => Action::Jump(chain.to_owned()),
            Some(("goto", chain)) => Action::Goto(chain.to_owned()),
            _ => match verdict {
                "accept" => Action::Accept,
                "drop" => Action::Drop,
                "return" => Action::Return,
                _ => return None,
            },
        };
        // Parts of a key that are joined by dots are not looked at one by one.
        let joined = key.contains(" . ");
        let fits = if joined { Match::Perhaps } else { selector.fits(key.trim(), probe) };
        Some((so_far.min(fits), action))
    };
    items(map).filter_map(arm).collect()
}

/// What is in a set, or the one thing that is in none; states are listed without braces.
fn items(value: &str) -> impl Iterator<Item = &str> {
    value.trim_matches(['{', '}', ' ']).split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// Words; what is in quotes or braces is one.
fn tokens(rule: &str) -> Vec<String> {
    let (mut tokens, mut token) = (Vec::new(), String::new());
    let (mut quoted, mut depth) = (false, 0_u32);
    for letter in rule.chars() {
        match letter {
            '"' => quoted = !quoted,
            '{' if !quoted => depth += 1,
            '}' if !quoted => depth = depth.saturating_sub(1),
            ' ' if !quoted && depth == 0 => {
                tokens.push(std::mem::take(&mut token));
                continue;
            }
            _ => {}
        }
        token.push(letter);
    }
    tokens.push(token);
    tokens.retain(|token| !token.is_empty());
    tokens
}
