//! What `networks.toml` says of ranges, gateways and names.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use ipnet::IpNet;
use prefix_trie::joint::JointPrefixMap;
use serde::Deserialize;
use vtap_packet::Mac;

use crate::{Error, file};

/// The networks of a customer, as a file says them. The default knows none.
#[derive(Clone, Debug, Default)]
pub struct Networks {
    pub(crate) places: JointPrefixMap<IpNet, Place>,
    pub(crate) gateways: Vec<Gateway>,
    pub(crate) macs: BTreeMap<Mac, usize>,
    /// Own addresses of gateways.
    pub(crate) addresses: JointPrefixMap<IpNet, usize>,
    pub(crate) names: BTreeMap<IpAddr, Arc<str>>,
}

/// Whose range an address lies in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A virtual network.
    VNet {
        /// Its name, which no other has.
        name: Arc<str>,
        /// The subnet, where the address lies in one that the file has.
        subnet: Option<Arc<str>>,
    },
    /// The customer's site.
    OnPremises,
    /// A point-to-site client of a VPN gateway.
    VpnClient,
    /// A public address of the cloud.
    AzurePublic,
}

/// Something that packets pass on their way: one, however many network cards it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// As records say it.
    pub name: Arc<str>,
    /// What it is.
    pub kind: GatewayKind,
    /// MAC addresses of its cards.
    pub macs: Vec<Mac>,
    /// Its own addresses: packets to and from them do not pass it, they end there.
    pub addresses: Vec<IpNet>,
}

/// What a gateway is. Only [`ExpressRoute`](Self::ExpressRoute) makes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GatewayKind {
    /// A firewall, the cloud's or another.
    Firewall,
    /// A VPN gateway.
    Vpn,
    /// An ExpressRoute gateway. Packets come from it; those to the customer's site go past it,
    /// straight to the edge router.
    #[serde(rename = "expressroute")]
    ExpressRoute,
    /// Any other virtual appliance.
    Nva,
    /// A NAT gateway.
    Nat,
    /// A load balancer.
    LoadBalancer,
}

impl Networks {
    /// A file with everything that can be said, commented.
    pub const EXAMPLE: &str = include_str!("example.toml");

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// It cannot be read, or has mistakes.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let cause = |cause| Error::Read { path: path.to_path_buf(), cause };
        Self::parse(path, &fs::read_to_string(path).map_err(cause)?)
    }

    /// Reads the text of a file; its path is for errors alone.
    ///
    /// # Errors
    ///
    /// It has mistakes.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        file::read(text).map_err(|mistakes| Error::Wrong { path: path.to_path_buf(), mistakes })
    }

    /// Whose range an address lies in: the narrowest.
    pub fn place(&self, address: IpAddr) -> Option<&Place> {
        narrowest(&self.places, address)
    }

    /// Every gateway, in the order of the file.
    pub fn gateways(&self) -> &[Gateway] {
        &self.gateways
    }

    /// The gateway with this card, as its index in [`gateways`](Self::gateways).
    pub(crate) fn gateway_with(&self, mac: Mac) -> Option<usize> {
        self.macs.get(&mac).copied()
    }

    /// The gateway with this address of its own.
    pub(crate) fn gateway_at(&self, address: IpAddr) -> Option<usize> {
        narrowest(&self.addresses, address).copied()
    }

    /// The name that the file gives to an address, or to the gateway that has it.
    pub fn name(&self, address: IpAddr) -> Option<&Arc<str>> {
        let gateway = || Some(&self.gateways.get(self.gateway_at(address)?)?.name);
        self.names.get(&address).or_else(gateway)
    }
}

/// What the narrowest range with an address has. Without a file there are none, and nothing is to be
/// looked up.
fn narrowest<T>(ranges: &JointPrefixMap<IpNet, T>, address: IpAddr) -> Option<&T> {
    if ranges.is_empty() {
        return None;
    }
    ranges.get_lpm(&address.into()).map(|(_, of)| of)
}

#[cfg(test)]
mod tests;
