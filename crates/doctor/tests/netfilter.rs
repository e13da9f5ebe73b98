//! Listings of rules, and what they mean for mirrored packets.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail loudly"
)]

mod common;

use common::Fake;
use vtap_doctor::Status;
use vtap_doctor::system::ToolError;

fn input(policy: &str, rules: &[&str]) -> String {
    format!(
        "table inet filter {{\n\tchain input {{\n\t\ttype filter hook input priority filter; policy {policy};\n\t\t{}\n\t}}\n}}\n",
        rules.join("\n\t\t")
    )
}

#[track_caller]
fn nft(listing: &str) -> (Status, String, Vec<String>) {
    let mut fake = Fake::well();
    fake.tool("nft list ruleset", listing);
    let finding = fake.find("firewall");
    (finding.status, finding.found, finding.mend)
}

#[test]
fn a_rule_that_drops_the_port_is_quoted() {
    for rule in [
        "udp dport 4789 drop",
        "udp dport { 53, 4000-5000 } counter packets 3 bytes 9 drop",
        "iifname \"eth0\" udp dport 4789 log prefix \"x # y\" reject with icmp port-unreachable",
        "meta l4proto udp th dport 4789 drop comment \"no overlay\"",
        "ct state != established,related drop",
        "meta l4proto vmap { tcp : accept, udp : drop }",
        "iif \"eth*\" ip protocol udp drop",
        "udp dport != 53 drop",
    ] {
        let (status, found, mend) = nft(&input("accept", &["tcp dport 22 accept", rule]));
        assert_eq!(status, Status::Fail, "{rule}: {found}");
        assert_eq!(found, format!("drops it: inet filter input: {rule}"));
        assert_eq!(mend, ["nft insert rule inet filter input udp dport 4789 accept"]);
    }
}

#[test]
fn rules_about_other_packets_do_not_count() {
    for rule in [
        "udp dport 53 drop",
        "tcp dport 4789 drop",
        "iifname \"eth1\" drop",
        "iif \"lo\" drop",
        "ct state invalid drop",
        "ct state vmap { invalid : drop, established : accept }",
        "ip6 nexthdr udp drop",
        "meta nfproto ipv6 drop",
        "udp dport 4789 accept",
        "icmp type echo-request limit rate 5/second drop",
    ] {
        let (status, found, _) = nft(&input("accept", &[rule]));
        assert_eq!((status, found.as_str()), (Status::Ok, "no rule drops it"), "{rule}");
    }
    let other = "table ip6 f {\n\tchain i {\n\t\ttype filter hook input priority 0; policy drop;\n\t}\n}\n\
                 table inet f {\n\tchain o {\n\t\ttype filter hook output priority 0; policy drop;\n\t}\n}\n";
    assert_eq!(nft(other).0, Status::Ok);
}

#[test]
fn a_policy_drops_what_no_rule_accepts() {
    let (status, found, _) = nft(&input("drop", &["ct state established,related accept"]));
    assert_eq!(status, Status::Fail);
    assert_eq!(found, "drops it: policy drop of inet filter input");
    for rule in ["udp dport { 22, 4789 } accept", "ct state new accept", "counter accept"] {
        assert_eq!(nft(&input("drop", &[rule])).0, Status::Ok, "{rule}");
    }
}

#[test]
fn what_depends_on_the_sender_is_not_decided() {
    let rule = "ip saddr 10.0.0.0/8 udp dport 4789 accept";
    let (status, found, _) = nft(&input("drop", &[rule]));
    assert_eq!(status, Status::Warn);
    assert!(found.ends_with(rule), "{found}");
    let rule = "udp dport @blocked drop";
    let (status, found, _) = nft(&input("accept", &[rule]));
    assert_eq!(status, Status::Warn);
    assert!(found.ends_with(rule), "{found}");
    assert_eq!(nft(&input("accept", &["udp dport vmap @verdicts"])).0, Status::Warn);
}

#[test]
fn chains_are_followed_through_sets_maps_and_long_lines() {
    let listing = r#"table inet filter {
	set blocked {
		type inet_service
		elements = { 1, 2,
			     3 }
	}
	map verdicts {
		type inet_service : verdict
		elements = { 53 : accept,
			     80 : drop }
	}
	chain mirror {
		udp dport { 1000-1999, 3000-3999,
			    4789 } jump end # handle 7
	}

	chain end {
		goto last
	}

	chain last {
		drop
	}

	chain input {
		type filter hook input priority filter - 10; policy accept;
		iifname vmap { "lo" : accept, "eth0" : jump mirror }
		accept
	}
}
"#;
    let (status, found, _) = nft(listing);
    assert_eq!((status, found.as_str()), (Status::Fail, "drops it: inet filter last: drop"));
    let returned = listing.replace("\t\tdrop\n", "\t\treturn\n");
    assert_eq!(nft(&returned).0, Status::Ok);
}

#[test]
fn chains_that_jump_in_a_circle_end() {
    let listing = "table inet f {\n\tchain i {\n\t\ttype filter hook input priority 0; policy accept;\n\t\tjump i\n\t}\n}\n";
    assert_eq!(nft(listing).0, Status::Ok);
}

#[test]
fn rules_of_iptables_are_read_as_well() {
    let listing = |rule| {
        format!(
            "*filter\n:INPUT DROP [0:0]\n:mine - [0:0]\n-A INPUT -i lo -j ACCEPT\n-A INPUT {rule}\nCOMMIT\n"
        )
    };
    for (rule, status) in [
        ("-p udp -m udp --dport 4789 -j ACCEPT", Status::Ok),
        (
            "-p udp -m multiport --dports 53,4000:5000 -m comment --comment \"a b\" -j ACCEPT",
            Status::Ok,
        ),
        ("-i eth+ -m conntrack --ctstate NEW -j ACCEPT", Status::Ok),
        ("! -i eth1 -j ACCEPT", Status::Ok),
        ("-m state --state RELATED,ESTABLISHED -j ACCEPT", Status::Fail),
        ("-p tcp -m tcp --dport 4789 -j ACCEPT", Status::Fail),
        ("-s 10.0.0.0/8 -p udp -m udp --dport 4789 -j ACCEPT", Status::Warn),
        ("-j LOG --log-prefix \"-j ACCEPT\"", Status::Fail),
        ("-j mine", Status::Fail),
    ] {
        let mut fake = Fake::well();
        fake.tool("iptables-save", &listing(rule));
        let finding = fake.find("firewall");
        assert_eq!(finding.status, status, "{rule}: {finding:#?}");
        if status != Status::Ok {
            let command = "iptables -t filter -I INPUT -p udp --dport 4789 -j ACCEPT";
            assert_eq!(finding.mend, [command]);
        }
    }
}

#[test]
fn who_manages_the_rules_is_asked_to_change_them() {
    let listing = input("drop", &[]).replace("inet filter", "inet firewalld");
    assert_eq!(nft(&listing).2, ["firewall-cmd --add-port=4789/udp"]);
    let mut fake = Fake::well();
    fake.tool("iptables-save", "*filter\n:INPUT DROP [0:0]\n:ufw-user-input - [0:0]\nCOMMIT\n");
    assert_eq!(fake.find("firewall").mend, ["ufw allow 4789/udp"]);
}

#[test]
fn rules_that_cannot_be_read_are_not_judged() {
    let mut fake = Fake::well();
    fake.write("proc/sys/net/netfilter/nf_conntrack_count", "12");
    fake.write("proc/sys/net/netfilter/nf_conntrack_max", "1000");
    fake.tool_fails("nft list ruleset", ToolError::Denied);
    for id in ["firewall", "conntrack"] {
        let finding = fake.check(id, Status::Unknown, "nft list ruleset needs root");
        assert_eq!(finding.mend, ["sudo vtap doctor"]);
    }
    fake.tool_fails("nft list ruleset", ToolError::Absent);
    let finding = fake.check("firewall", Status::Unknown, "nft is not installed");
    assert_eq!(finding.mend, ["apt-get install -y nftables"]);
    // Rules of the older kind that nothing installed can list.
    fake.tool("nft list ruleset", "");
    fake.write("proc/net/ip_tables_names", "filter\n");
    fake.check("firewall", Status::Unknown, "iptables-save is not installed");
    fake.tool("iptables-save", "");
    fake.tool("iptables-legacy-save", "*filter\n:INPUT DROP [0:0]\nCOMMIT\n");
    fake.check("firewall", Status::Fail, "policy drop of ip filter INPUT");
}

#[test]
fn conntrack_is_kept_from_the_port_by_a_rule_that_comes_before_it() {
    let raw = |priority: &str, rule: &str| {
        format!(
            "table inet vtap {{\n\tchain p {{\n\t\ttype filter hook prerouting priority {priority}; policy accept;\n\t\t{rule}\n\t}}\n}}\n"
        )
    };
    let mut fake = Fake::well();
    fake.check("conntrack", Status::Ok, "not loaded");
    fake.write("proc/sys/net/netfilter/nf_conntrack_count", "0");
    fake.write("proc/sys/net/netfilter/nf_conntrack_max", "1000");
    fake.check("conntrack", Status::Ok, "no rule asks it to track");
    fake.tool("nft list ruleset", &input("accept", &["ct state established accept"]));
    fake.check("conntrack", Status::Warn, "no NOTRACK rule for the port; 0 of 1,000");
    fake.tool("nft list ruleset", "");
    fake.write("proc/sys/net/netfilter/nf_conntrack_count", "3");
    let finding = fake.check("conntrack", Status::Warn, "no NOTRACK rule for the port; 3 of 1,000");
    assert_eq!(finding.mend[2], "nft add rule inet vtap prerouting udp dport 4789 notrack");
    let entry = |port| {
        format!(
            "ipv4     2 udp      17 29 src=10.9.0.1 dst=10.9.0.2 sport=56380 dport={port} [UNREPLIED] src=10.9.0.2 dst=10.9.0.1 sport=4789 dport=56380 mark=0 use=2\n"
        )
    };
    fake.write("proc/net/nf_conntrack", &[entry(4789), entry(47890), entry(53)].concat());
    fake.check("conntrack", Status::Warn, "entries in use, 1 to this port");
    for (priority, rule, status) in [
        ("raw", "udp dport 4789 notrack", Status::Ok),
        ("-300", "udp dport 4789 counter packets 0 bytes 0 notrack", Status::Ok),
        ("raw + 10", "udp dport { 53, 4789 } notrack accept", Status::Ok),
        ("raw", "udp dport 4790 notrack", Status::Warn),
        ("raw", "ip saddr 10.0.0.1 udp dport 4789 notrack", Status::Warn),
        ("mangle", "udp dport 4789 notrack", Status::Warn),
    ] {
        fake.tool("nft list ruleset", &raw(priority, rule));
        assert_eq!(fake.find("conntrack").status, status, "{priority} {rule}");
    }
    fake.tool("nft list ruleset", "");
    for target in ["CT --notrack", "NOTRACK"] {
        let rule = format!("-A PREROUTING -p udp -m udp --dport 4789 -j {target}");
        fake.tool("iptables-save", &format!("*raw\n:PREROUTING ACCEPT [0:0]\n{rule}\nCOMMIT\n"));
        assert_eq!(fake.find("conntrack").status, Status::Ok, "{target}");
    }
    fake.tool("iptables-save", "");
    fake.tool_fails("nft list ruleset", ToolError::Absent);
    let finding = fake.find("conntrack");
    assert_eq!(finding.mend, ["iptables -t raw -I PREROUTING -p udp --dport 4789 -j NOTRACK"]);
}

#[test]
fn a_table_of_connections_that_fills_up_fails() {
    let fake = Fake::well();
    fake.write("proc/sys/net/netfilter/nf_conntrack_count", "801");
    fake.write("proc/sys/net/netfilter/nf_conntrack_max", "1000");
    let finding = fake.check("conntrack", Status::Fail, "nearly full; 801 of 1,000 entries");
    assert_eq!(finding.mend[3], "sysctl -w net.netfilter.nf_conntrack_max=4000");
}

#[test]
fn a_rule_for_packets_out_of_conntrack_lets_them_in_where_they_are() {
    let raw = "table inet vtap {\n\tchain p {\n\t\ttype filter hook prerouting priority raw; policy accept;\n\t\tudp dport 4789 notrack\n\t}\n}\n";
    let accept = |state: &str| input("drop", &[&format!("ct state {state} accept")]);
    assert_eq!(nft(&accept("new")).0, Status::Ok);
    assert_eq!(nft(&[raw, &accept("new")].concat()).0, Status::Fail);
    assert_eq!(nft(&[raw, &accept("new,untracked")].concat()).0, Status::Ok);
}
