use std::collections::BTreeSet;
use std::fmt::Write;

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<Networks, Error> {
    Networks::parse(Path::new("networks.toml"), text)
}

/// What is said of a text with mistakes.
fn wrong(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn the_example_says_what_its_comments_promise() {
    let networks = parse(Networks::EXAMPLE).unwrap();
    let place = |address: &str| networks.place(address.parse().unwrap()).cloned();
    let vnet = |name: &str, subnet: Option<&str>| {
        Some(Place::VNet { name: name.into(), subnet: subnet.map(Into::into) })
    };
    assert_eq!(place("10.10.1.4"), vnet("hub", Some("AzureFirewallSubnet")));
    assert_eq!(place("10.10.2.1"), vnet("hub", None));
    assert_eq!(place("fd00:db8:12::4"), vnet("spoke-b", None));
    assert_eq!(place("192.168.1.1"), Some(Place::OnPremises));
    assert_eq!(place("172.16.201.9"), Some(Place::VpnClient));
    assert_eq!(place("20.150.4.4"), Some(Place::AzurePublic));
    assert_eq!(place("10.11.0.1"), None);

    let firewall = &networks.gateways()[0];
    assert_eq!((&*firewall.name, firewall.kind), ("hub-firewall", GatewayKind::Firewall));
    assert_eq!(networks.gateway_with("002248EA5ED7".parse().unwrap()), Some(0));
    assert_eq!(networks.gateways()[1].kind, GatewayKind::ExpressRoute);
    let name = |address: &str| networks.name(address.parse().unwrap()).map(|name| &**name);
    assert_eq!(name("10.12.0.4"), Some("app-server"));
    assert_eq!(name("10.10.4.5"), Some("er-gateway"));
    assert_eq!(name("10.12.0.5"), None);
}

#[test]
fn the_document_shows_the_example() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/networks.md");
    let page = fs::read_to_string(path).unwrap();
    let shown = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    assert_eq!(shown, Some(Networks::EXAMPLE));
}

#[test]
fn an_empty_file_knows_nothing() {
    let networks = parse("").unwrap();
    assert_eq!(networks.place("10.0.0.1".parse().unwrap()), None);
    assert!(networks.gateways().is_empty());
}

#[test]
fn the_narrowest_range_wins_whatever_the_order() {
    let text = "
        [[on_premises]]
        name = 'all'
        ranges = ['10.0.0.0/8']
        [[vnet]]
        name = 'hub'
        address_space = ['10.1.0.0/16']
        [[vpn_clients]]
        name = 'p2s'
        ranges = ['10.1.128.0/17', '::/0']
    ";
    let networks = parse(text).unwrap();
    let place = |address: &str| networks.place(address.parse().unwrap()).cloned();
    assert_eq!(place("10.2.0.1"), Some(Place::OnPremises));
    assert_eq!(place("10.1.0.1"), Some(Place::VNet { name: "hub".into(), subnet: None }));
    assert_eq!(place("10.1.255.1"), Some(Place::VpnClient));
    assert_eq!(place("2001:db8::1"), Some(Place::VpnClient));
    assert_eq!(place("11.0.0.1"), None);
}

#[test]
fn a_subnet_may_be_all_of_its_network_and_nothing_else() {
    let text = "
        [[vnet]]
        name = 'a'
        address_space = ['10.1.0.0/24']
        subnet = [{ name = 's', range = '10.1.0.0/24' }]
    ";
    let place = parse(text).unwrap().place("10.1.0.1".parse().unwrap()).cloned();
    assert_eq!(place, Some(Place::VNet { name: "a".into(), subnet: Some("s".into()) }));
    let twice = text.replace("}]", "}, { name = 't', range = '10.1.0.0/24' }]");
    assert!(wrong(&twice).contains("subnet t of vnet a, and on line 5 to be subnet s of vnet a"));
    let outside = text.replace("range = '10.1.0.0/24'", "range = '10.2.0.0/24'");
    assert_eq!(
        wrong(&outside),
        "networks.toml:5: 10.2.0.0/24, subnet s of vnet a, lies outside its address space"
    );
}

#[test]
fn equal_ranges_are_refused_and_both_are_named() {
    let text = "[[vnet]]
name = 'hub'
address_space = ['10.0.0.0/16']
[[on_premises]]
name = 'tokyo'
ranges = ['192.168.0.0/16', '10.0.0.0/16']";
    assert_eq!(
        wrong(text),
        "networks.toml:6: 10.0.0.0/16 is said to be on_premises tokyo, and on line 3 to be vnet \
         hub: of equal ranges none is the narrower"
    );
}

#[test]
fn every_wrong_value_is_told_with_its_line_and_what_is_allowed() {
    let text = "[[vnet]]
name = 'a'
address_space = ['10.0.0.1/16', '10.1.0.0']
[[vnet]]
name = 'a'
address_space = []
[[gateway]]
name = 'g'
kind = 'nva'
macs = ['00:11:22:33:44', 'ff:ff:ff:ff:ff:ff', '001122334455']
[[gateway]]
name = 'h'
kind = 'vpn'
macs = ['00-11-22-33-44-55']
[[gateway]]
name = 'g'
kind = 'nat'
[[name]]
address = 'db'
name = ''";
    let expected = r#"networks.toml:3: "10.1.0.0": expected a range, as in 10.0.0.0/16
networks.toml:3: 10.0.0.1/16 begins at 10.0.0.0: write 10.0.0.0/16
networks.toml:5: vnet a is there already, on line 2
networks.toml:10: "00:11:22:33:44": expected a MAC address, as in 00:22:48:71:c2:05
networks.toml:10: ff:ff:ff:ff:ff:ff is a group of cards, not one
networks.toml:14: 00:11:22:33:44:55 belongs to g already
networks.toml:16: gateway g has neither macs nor addresses to be known by
networks.toml:16: gateway g is there already; one gateway may have many macs
networks.toml:19: "db": expected an address, as in 10.0.0.4
networks.toml:20: "": expected a name that can be printed"#;
    assert_eq!(wrong(text), expected);
}

#[test]
fn an_unknown_key_or_kind_and_a_missing_one_are_refused_in_their_place() {
    let table = [
        ("[[vnets]]", "networks.toml:1: unknown field `vnets`, expected one of `vnet`"),
        (
            "[[vnet]]\nname = 'a'\nranges = []",
            "networks.toml:3: unknown field `ranges`, expected one of `name`, `address_space`",
        ),
        ("\n[[vnet]]\nname = 'a'", "networks.toml:2: missing field `address_space`"),
        (
            "[[gateway]]\nname = 'a'\nkind = 'fire'",
            "networks.toml:3: unknown variant `fire`, expected one of `firewall`, `vpn`, \
             `expressroute`, `nva`, `nat`, `load-balancer`",
        ),
        ("[[vnet]\n", "networks.toml:1: "),
        (
            "[vnet]\nname = 'a'",
            "networks.toml:1: invalid type: map, expected a sequence: a list is in brackets, and a \
             table in two, as in [[vnet]]",
        ),
    ];
    for (text, expected) in table {
        let wrong = wrong(text);
        assert!(wrong.starts_with(expected), "{text}: {wrong}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = Networks::load(Path::new("/nowhere/networks.toml")).unwrap_err().to_string();
    assert!(error.starts_with("/nowhere/networks.toml: cannot read: "), "{error}");
}

proptest! {
    #[test]
    fn an_address_lies_in_the_narrowest_of_any_ranges(
        ranges in proptest::collection::btree_set((0u32..16, 20u8..=32), 1..30),
        addresses in proptest::collection::vec(0u32..0x1_0000, 1..30),
    ) {
        let range = |(n, len): (u32, u8)| {
            let address = IpAddr::from((0x0a00_0000 + n * 0x111).to_be_bytes());
            IpNet::new(address, len).unwrap().trunc()
        };
        let ranges: BTreeSet<IpNet> = ranges.into_iter().map(range).collect();
        let mut text = String::new();
        for range in &ranges {
            writeln!(text, "[[vnet]]\nname = '{range}'\naddress_space = ['{range}']").unwrap();
        }
        let networks = parse(&text).unwrap();
        for address in addresses {
            let address = IpAddr::from((0x0a00_0000 + address).to_be_bytes());
            let around = ranges.iter().filter(|range| range.contains(&address));
            let narrowest = around.max_by_key(|range| range.prefix_len());
            let expected = narrowest
                .map(|range| Place::VNet { name: range.to_string().into(), subnet: None });
            prop_assert_eq!(networks.place(address), expected.as_ref());
        }
    }
}
