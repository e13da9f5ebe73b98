//! What a packet is: the vocabulary that every other crate of vtap speaks.
//!
//! A [`Packet`] goes in at one end of the belt and keeps its type to the other end: time, link
//! type, borrowed bytes and, once an envelope was stripped, a [`Tunnel`]. The modules below are
//! the layers from the outside in; each one holds the *format* of one header and no policy about
//! it (which port means VXLAN, which checksum makes a packet invalid is decided elsewhere).
//!
//! | in reading order | holds |
//! |---|---|
//! | [`packet`] | [`Packet`], [`Tunnel`]: what rides the belt |
//! | [`time`] | [`Timestamp`]: nanoseconds since the Unix epoch, and its RFC 3339 form |
//! | [`link`], [`mac`] | [`LinkType`], [`EtherType`]; from a link-layer frame to the network layer, VLAN tags included; [`Mac`] |
//! | [`ip`] | [`Ip`]: either family, extension headers walked, lengths obeyed, fragments told |
//! | [`reassembly`], [`datagrams`] | IP fragments back to a datagram, within hard limits; what is held of datagrams, bounded |
//! | [`udp`], [`tcp`], [`tcp_options`] | the transport headers |
//! | [`vxlan`] | the 8-byte header of VXLAN, its group-policy and generic-protocol kin, [`Vni`] |
//! | [`seq`], [`checksum`] | arithmetic modulo 2^32, RFC 1071 sums |
//! | [`error`] | [`Malformed`]: which layer, what it needed, what there was |
//!
//! Two rules hold everywhere. A view exists only after its length was checked, so its getters
//! cannot fail; and a view lends the *packet's* bytes (`&'a [u8]`), so what is inside outlives
//! the view. Nothing here reads a clock, does I/O, or allocates for each packet.

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::cast_possible_truncation, reason = "tests build small things from big types")
)]

pub mod checksum;
pub mod datagrams;
pub mod error;
pub mod ip;
pub mod link;
pub mod mac;
pub mod packet;
pub mod reassembly;
pub mod seq;
pub mod tcp;
pub mod tcp_options;
pub mod time;
pub mod udp;
pub mod vxlan;

pub use error::{Layer, Malformed};
pub use ip::{Ip, Protocol};
pub use link::{EtherType, LinkType};
pub use mac::Mac;
pub use packet::{Packet, Tunnel};
pub use seq::Seq;
pub use time::Timestamp;
pub use vxlan::Vni;
