//! What `iptables-save` prints.

use super::rules::{Action, Base, Chain, Match, Probe, Rule, port_fits};

/// Reads all tables, as they concern one packet.
pub(crate) fn parse(listing: &str, probe: &Probe<'_>) -> Vec<Chain> {
    let mut chains: Vec<Chain> = Vec::new();
    let mut table = String::new();
    for line in listing.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('*') {
            table = format!("ip {name}");
        } else if let Some(chain) = line.strip_prefix(':') {
            // :INPUT DROP [0:0], or - for a chain that is jumped to.
            let mut words = chain.split(' ');
            let name = words.next().unwrap_or_default().to_owned();
            let base = base(&table, &name, words.next() == Some("DROP"));
            chains.push(Chain { table: table.clone(), name, base, rules: Vec::new() });
        } else if let Some(rule) = line.strip_prefix("-A ") {
            let (name, rest) = rule.split_once(' ').unwrap_or((rule, ""));
            let is_its = |chain: &&mut Chain| chain.table == table && chain.name == name;
            if let Some(chain) = chains.iter_mut().find(is_its) {
                chain.rules.push(Rule { text: rest.to_owned(), arms: arms(rest, probe) });
            }
        }
    }
    chains
}

/// Priorities of linux/netfilter_ipv4.h.
fn base(table: &str, name: &str, drops: bool) -> Option<Base> {
    let hook = match name {
        "PREROUTING" => "prerouting",
        "INPUT" => "input",
        _ => return None,
    };
    let priority = match table {
        "ip raw" => -300,
        "ip mangle" => -150,
        "ip nat" => -100,
        "ip security" => 50,
        _ => 0,
    };
    Some(Base { hook: hook.to_owned(), priority, drops })
}

fn arms(rule: &str, probe: &Probe<'_>) -> Vec<(Match, Action)> {
    let words = words(rule);
    let mut words = words.iter().map(String::as_str);
    let (mut fits, mut negated) = (Match::Always, false);
    let mut action = None;
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_default();
        let list = |list: &str, fits: &dyn Fn(&str) -> Match| {
            list.split(',').map(fits).max().unwrap_or(Match::Perhaps)
        };
        let condition = match word {
            "!" => {
                negated = true;
                continue;
            }
            "-m" | "--comment" => {
                value();
                continue;
            }
            "-p" => match value() {
                "udp" | "17" | "all" => Match::Always,
                _ => Match::Never,
            },
            "-i" => probe.interface_fits(value(), '+'),
            "--dport" => port_fits(probe.port, value()),
            "--dports" | "--ports" => list(value(), &|item| port_fits(probe.port, item)),
            "--ctstate" | "--state" => list(value(), &|state| probe.state_fits(state)),
            "-j" | "-g" => {
                action = target(value(), word == "-g", rule);
                // What follows are options of the target.
                break;
            }
            _ => {
                // A condition with a value, or its value.
                Match::Perhaps
            }
        };
        fits = fits.min(if negated { condition.not() } else { condition });
        negated = false;
    }
    action.map(|action| vec![(fits, action)]).unwrap_or_default()
}

fn target(name: &str, goto: bool, rule: &str) -> Option<Action> {
    Some(match name {
        "ACCEPT" => Action::Accept,
        "DROP" | "REJECT" => Action::Drop,
        "RETURN" => Action::Return,
        "NOTRACK" => Action::Notrack,
        "CT" if rule.contains("--notrack") => Action::Notrack,
        // Chains of users; targets that decide nothing have no chain of their name.
        name if goto => Action::Goto(name.to_owned()),
        name => Action::Jump(name.to_owned()),
    })
}

/// Words as a shell would split them.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => quoted = !quoted,
            '\\' if quoted => word.extend(letters.next()),
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            letter => word.push(letter),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}
