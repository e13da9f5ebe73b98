//! What is said of a record's addresses.

use std::sync::Arc;

use vtap_packet::Mac;

/// What is known of a flow beside what its packets say themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// The client's address.
    pub client: End,
    /// The server's address.
    pub server: End,
    /// Between what kinds of networks it is.
    pub flow_type: FlowType,
    /// The tapped network card that has shown it; `None` where frames have no MAC addresses, or where
    /// nothing tells yet which of two it is.
    pub nic: Option<Mac>,
    /// Whether the client's packets leave that card or reach it.
    pub direction: Direction,
    /// The way of the client's packets.
    pub to_server: Way,
    /// The way of the server's packets.
    pub to_client: Way,
    /// Both directions were seen by one tap, and go different ways: two gateways, or a gateway one
    /// way and none the other.
    pub asymmetric_path: bool,
}

/// What is known of an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// Its name: the one that the file gives it, or else the one that was asked for when a DNS answer
    /// in the traffic named it.
    pub name: Option<Arc<str>>,
    /// What the platform uses the address for: `health-probe`, `imds` ... docs/networks.md has all.
    pub label: Option<&'static str>,
    /// The virtual network that it lies in.
    pub vnet: Option<Arc<str>>,
    /// The subnet that it lies in.
    pub subnet: Option<Arc<str>>,
    /// It lies in a range of the customer's site.
    pub on_premises: bool,
}

/// The way that the packets of one direction take, as far as the tap shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// The gateway or firewall that they come from or go to; `None` where it is the other end
    /// itself, or nobody known.
    pub via: Option<Arc<str>>,
}

/// As traffic analytics tells them; the malicious ones apart, which nobody here knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FlowType {
    /// Both ends in one virtual network.
    IntraVNet,
    /// Ends in two virtual networks.
    InterVNet,
    /// To or from the customer's site, over a VPN gateway or ExpressRoute.
    S2S,
    /// To or from a VPN client.
    P2S,
    /// To or from a public address of the cloud.
    AzurePublic,
    /// To or from any other public address.
    ExternalPublic,
    /// To or from a private address that no network has.
    UnknownPrivate,
    /// Neither end lies in a known network.
    #[default]
    Unknown,
}

impl FlowType {
    /// The name in every output format.
    pub const fn name(self) -> &'static str {
        match self {
            Self::IntraVNet => "IntraVNet",
            Self::InterVNet => "InterVNet",
            Self::S2S => "S2S",
            Self::P2S => "P2S",
            Self::AzurePublic => "AzurePublic",
            Self::ExternalPublic => "ExternalPublic",
            Self::UnknownPrivate => "UnknownPrivate",
            Self::Unknown => "Unknown",
        }
    }
}

/// Relative to the tapped network card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// The client's packets reach the card.
    Inbound,
    /// The client's packets leave the card.
    #[default]
    Outbound,
}
