//! Interfaces that packets came from, and what the first byte of their frames belongs to.
//!
//! Kinds of interface are the kernel's `ARPHRD_*` (`include/uapi/linux/if_arp.h`).

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use rustix::net::netdevice;
use vtap_packet::LinkType;

use crate::Interface;

/// Ethernet, and the loopback interface, which has Ethernet headers with zero addresses.
pub(super) const ETHERNET_HARDWARE: [u16; 2] = [libc::ARPHRD_ETHER, libc::ARPHRD_LOOPBACK];

/// Interfaces without a link-layer header: tun, WireGuard (`ARPHRD_NONE`), modems (`ARPHRD_RAWIP`).
pub(super) const RAW_HARDWARE: [u16; 2] = [libc::ARPHRD_NONE, 519];

/// Of frames that vtap does not read: a number that no link type has.
const UNREAD: LinkType = LinkType(u16::MAX);

#[inline]
pub(super) fn link_type(hardware: u16) -> LinkType {
    if ETHERNET_HARDWARE.contains(&hardware) {
        LinkType::ETHERNET
    } else if RAW_HARDWARE.contains(&hardware) {
        LinkType::RAW
    } else {
        UNREAD
    }
}

/// Interfaces by the kernel's index.
#[derive(Debug)]
pub(super) struct Interfaces {
    known: BTreeMap<u32, Interface>,
    /// That of the packet before.
    latest: Option<u32>,
    snaplen: u32,
}

impl Interfaces {
    pub(super) fn new(snaplen: u32) -> Self {
        Self { known: BTreeMap::new(), latest: None, snaplen }
    }

    pub(super) fn get(&self, index: u32) -> Option<&Interface> {
        self.known.get(&index)
    }

    /// Takes note of a packet's interface.
    #[inline]
    pub(super) fn meet(&mut self, index: u32, link: LinkType, socket: impl AsFd) {
        if self.latest != Some(index) {
            self.latest = Some(index);
            self.learn(index, link, socket);
        }
    }

    #[cold]
    fn learn(&mut self, index: u32, link: LinkType, socket: impl AsFd) {
        if self.known.len() >= MAX_INTERFACES && !self.known.contains_key(&index) {
            // Indexes rise: the lowest is the one that was made first.
            self.known.pop_first();
        }
        self.known.entry(index).or_insert_with(|| {
            // It may be gone by now.
            let name = netdevice::index_to_name(socket, index).unwrap_or_default();
            Interface { link, snaplen: self.snaplen, name }
        });
    }
}

/// Interfaces that are remembered: a machine on which containers come and go makes ever new ones.
const MAX_INTERFACES: usize = 4096;
