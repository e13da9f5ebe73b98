//! From the text of `networks.toml` to [`Networks`].
//!
//! Values are read as text with their places, so that every one that is wrong can be told.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use ipnet::IpNet;
use serde::Deserialize;
use toml::Spanned;
use vtap_packet::Mac;

use crate::Mistake;
use crate::networks::{Gateway, GatewayKind, Networks, Place};

type Text = Spanned<String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    vnet: Vec<VNet>,
    #[serde(default)]
    on_premises: Vec<Ranges>,
    #[serde(default)]
    vpn_clients: Vec<Ranges>,
    #[serde(default)]
    public: Vec<Ranges>,
    #[serde(default)]
    gateway: Vec<GatewayTable>,
    #[serde(default)]
    name: Vec<Name>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VNet {
    name: Text,
    address_space: Vec<Text>,
    #[serde(default)]
    subnet: Vec<Subnet>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Subnet {
    name: Text,
    range: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ranges {
    name: Text,
    ranges: Vec<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GatewayTable {
    name: Text,
    kind: GatewayKind,
    #[serde(default)]
    macs: Vec<Text>,
    #[serde(default)]
    addresses: Vec<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Name {
    address: Text,
    name: Text,
}

/// Everything that a file says, or everything that is wrong with it.
pub(crate) fn read(text: &str) -> Result<Networks, Vec<Mistake>> {
    let mut reader = Reader::new(text);
    match toml::from_str::<File>(text) {
        Ok(file) => reader.file(&file),
        Err(error) => {
            let mut message = error.message().replace('\n', ", ");
            if message.ends_with("expected a sequence") {
                message += ": a list is in brackets, and a table in two, as in [[vnet]]";
            }
            reader.refuse(error.span().unwrap_or_default(), message);
        }
    }
    reader.finish()
}

struct Reader<'a> {
    text: &'a str,
    networks: Networks,
    ranges: BTreeMap<IpNet, Laid>,
    mistakes: Vec<Mistake>,
}

/// A range, and what the file says it is.
struct Laid {
    place: Place,
    said: String,
    line: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        let (networks, ranges, mistakes) = Default::default();
        Self { text, networks, ranges, mistakes }
    }

    fn file(&mut self, file: &File) {
        self.vnets(&file.vnet);
        let kinds = [
            (&file.on_premises, Place::OnPremises, "on_premises"),
            (&file.vpn_clients, Place::VpnClient, "vpn_clients"),
            (&file.public, Place::AzurePublic, "public"),
        ];
        for (tables, place, section) in kinds {
            for table in tables {
                let said = format!("{section} {}", self.name(&table.name));
                for range in &table.ranges {
                    self.lay(range, place.clone(), said.clone());
                }
            }
        }
        self.gateways(&file.gateway);
        self.names(&file.name);
    }

    fn vnets(&mut self, vnets: &[VNet]) {
        let mut lines = BTreeMap::new();
        for vnet in vnets {
            let name = self.name(&vnet.name);
            let line = self.line(&vnet.name.span());
            if let Some(earlier) = lines.insert(name.clone(), line) {
                let wrong = format!("vnet {name} is there already, on line {earlier}");
                self.refuse(vnet.name.span(), wrong);
            }
            let said = format!("vnet {name}");
            for range in &vnet.address_space {
                let place = Place::VNet { name: name.clone(), subnet: None };
                self.lay(range, place, said.clone());
            }
        }
        for vnet in vnets {
            let name: Arc<str> = vnet.name.get_ref().as_str().into();
            let spaces = vnet.address_space.iter().filter_map(|range| range.get_ref().parse().ok());
            let spaces: Vec<IpNet> = spaces.collect();
            for subnet in &vnet.subnet {
                let said = format!("subnet {} of vnet {name}", self.name(&subnet.name));
                let Some(range) = self.range(&subnet.range) else { continue };
                if !spaces.iter().any(|space| space.contains(&range)) {
                    let wrong = format!("{range}, {said}, lies outside its address space");
                    self.refuse(subnet.range.span(), wrong);
                    continue;
                }
                let subnet_name = subnet.name.get_ref().as_str().into();
                let place = Place::VNet { name: name.clone(), subnet: Some(subnet_name) };
                self.lay(&subnet.range, place, said);
            }
        }
    }

    /// Gives a range to a place. Twice is refused, but for a subnet that is all of its network.
    fn lay(&mut self, text: &Text, place: Place, said: String) {
        let Some(range) = self.range(text) else { return };
        let line = self.line(&text.span());
        if let Some(earlier) = self.ranges.get(&range) {
            let is_part = match (&earlier.place, &place) {
                (
                    Place::VNet { name: whole, subnet: None },
                    Place::VNet { name: of, subnet: Some(_) },
                ) => whole == of,
                _ => false,
            };
            if !is_part {
                let wrong = format!(
                    "{range} is said to be {said}, and on line {} to be {}: of equal ranges \
                     none is the narrower",
                    earlier.line, earlier.said
                );
                self.refuse(text.span(), wrong);
                return;
            }
        }
        self.ranges.insert(range, Laid { place, said, line });
    }

    fn gateways(&mut self, tables: &[GatewayTable]) {
        for (index, table) in tables.iter().enumerate() {
            let name = self.name(&table.name);
            let same = self.networks.gateways.iter().find(|gateway| gateway.name == name);
            if same.is_some() {
                let wrong =
                    format!("gateway {name} is there already; one gateway may have many macs");
                self.refuse(table.name.span(), wrong);
            }
            if table.macs.is_empty() && table.addresses.is_empty() {
                let wrong = format!("gateway {name} has neither macs nor addresses to be known by");
                self.refuse(table.name.span(), wrong);
            }
            let macs = table.macs.iter().filter_map(|mac| self.mac(mac, index)).collect();
            let addresses = &table.addresses;
            let addresses =
                addresses.iter().filter_map(|address| self.own(address, index)).collect();
            let gateway = Gateway { name, kind: table.kind, macs, addresses };
            self.networks.gateways.push(gateway);
        }
    }

    fn mac(&mut self, text: &Text, gateway: usize) -> Option<Mac> {
        let mac = match text.get_ref().parse::<Mac>() {
            Ok(mac) if !mac.is_group() => mac,
            Ok(mac) => {
                let wrong = format!("{mac} is a group of cards, not one");
                self.refuse(text.span(), wrong);
                return None;
            }
            Err(error) => {
                self.refuse(text.span(), format!("{:?}: {error}", text.get_ref()));
                return None;
            }
        };
        if let Some(earlier) = self.networks.macs.insert(mac, gateway) {
            self.twice(text, &mac.to_string(), earlier);
        }
        Some(mac)
    }

    /// An address of a gateway's own, or a range of them.
    fn own(&mut self, text: &Text, gateway: usize) -> Option<IpNet> {
        let range = match text.get_ref().parse::<IpAddr>() {
            Ok(address) => address.into(),
            Err(_) => self.range(text)?,
        };
        if let Some(earlier) = self.networks.addresses.insert(range, gateway) {
            self.twice(text, text.get_ref(), earlier);
        }
        Some(range)
    }

    fn twice(&mut self, text: &Text, what: &str, earlier: usize) {
        let owner = self.networks.gateways.get(earlier);
        let owner = owner.map_or("this gateway", |gateway| &gateway.name);
        self.refuse(text.span(), format!("{what} belongs to {owner} already"));
    }

    fn names(&mut self, names: &[Name]) {
        for entry in names {
            let name = self.name(&entry.name);
            let Ok(address) = entry.address.get_ref().parse::<IpAddr>() else {
                let wrong =
                    format!("{:?}: expected an address, as in 10.0.0.4", entry.address.get_ref());
                self.refuse(entry.address.span(), wrong);
                continue;
            };
            if let Some(earlier) = self.networks.names.insert(address, name) {
                let wrong = format!("{address} is named {earlier} already");
                self.refuse(entry.address.span(), wrong);
            }
        }
    }

    fn range(&mut self, text: &Text) -> Option<IpNet> {
        let Ok(range) = text.get_ref().parse::<IpNet>() else {
            let wrong = format!("{:?}: expected a range, as in 10.0.0.0/16", text.get_ref());
            self.refuse(text.span(), wrong);
            return None;
        };
        if range != range.trunc() {
            let wrong = format!("{range} begins at {}: write {}", range.network(), range.trunc());
            self.refuse(text.span(), wrong);
            return None;
        }
        Some(range)
    }

    fn name(&mut self, text: &Text) -> Arc<str> {
        let name = text.get_ref();
        if name.is_empty() || name.chars().any(char::is_control) {
            self.refuse(text.span(), format!("{name:?}: expected a name that can be printed"));
        }
        name.as_str().into()
    }

    fn refuse(&mut self, span: Range<usize>, wrong: String) {
        let mistake = Mistake { line: self.line(&span), wrong };
        if !self.mistakes.contains(&mistake) {
            self.mistakes.push(mistake);
        }
    }

    fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.get(..span.start).unwrap_or_default();
        before.matches('\n').count() + 1
    }

    fn finish(mut self) -> Result<Networks, Vec<Mistake>> {
        if !self.mistakes.is_empty() {
            self.mistakes.sort();
            return Err(self.mistakes);
        }
        let places = self.ranges.into_iter().map(|(range, laid)| (range, laid.place));
        self.networks.places = places.collect();
        Ok(self.networks)
    }
}
