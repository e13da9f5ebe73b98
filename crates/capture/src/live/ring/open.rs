//! From a configuration to rings.
//!
//! The order of steps matters. A socket that is bound takes packets, and one that is in no group
//! yet takes all of them: so it is made without a protocol, refuses every packet until ring and
//! group are complete, and only then gets its filter. Packets that come between the first filter
//! and the last are lost to members that still refuse, without being counted: capture begins when
//! this returns.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with, sockopt};

use super::interfaces::Interfaces;
use super::kernel::{self, Memory};
use super::{Config, Options, Ring, fanout, filter};
use crate::Error;
use crate::live::Counters;

pub(super) fn one(config: &Config, options: &Options) -> Result<Ring, Error> {
    let ring = all(config, &Options { members: 1, ..*options })?.pop();
    ring.ok_or_else(|| Opening::new(config, options).no_members())
}

pub(super) fn all(config: &Config, options: &Options) -> Result<Vec<Ring>, Error> {
    let opening = Opening::new(config, options);
    if !(1..=MAX_MEMBERS).contains(&options.members) {
        return Err(opening.no_members());
    }
    let sockets: Vec<_> =
        (0..options.members).map(|_| opening.socket()).collect::<Result<_, _>>()?;
    let watched = match sockets.first() {
        Some(socket) => opening.indexes(socket)?,
        None => Vec::new(),
    };
    // A socket is bound to one interface or to all: of several, the filter takes the packets.
    let (index, filtered) = match *watched.as_slice() {
        [index] => (index, &[][..]),
        _ => (0, watched.as_slice()),
    };
    let filter = filter::program(config, options, filtered)?;
    let memories: Vec<_> = sockets
        .iter()
        .map(|socket| opening.ring(socket, index, &watched))
        .collect::<Result<_, _>>()?;
    if options.members > 1 {
        opening.group(&sockets)?;
    }
    for socket in &sockets {
        let remedy = "a shorter one may be possible, or more memory by sysctl net.core.optmem_max";
        opening.step("attach the filter", remedy, kernel::set_filter(socket, &filter))?;
    }
    Ok(sockets
        .into_iter()
        .zip(memories)
        .map(|(socket, memory)| Ring {
            socket,
            name: opening.name.clone(),
            watched: watched.clone(),
            memory,
            next: 0,
            handed: 0,
            counters: Counters::default(),
            interfaces: Interfaces::new(config.snaplen),
            not_found: 0,
            interface_downs: 0,
        })
        .collect())
}

/// Members of a fanout group that every kernel permits.
const MAX_MEMBERS: usize = 256;

/// What messages name, and what the steps are made by.
struct Opening<'a> {
    name: String,
    config: &'a Config,
    options: &'a Options,
}

impl<'a> Opening<'a> {
    fn new(config: &'a Config, options: &'a Options) -> Self {
        let name = match config.named() {
            [] => "any".to_owned(),
            named => named.join(","),
        };
        Self { name, config, options }
    }

    /// A socket without a protocol, to which no packets come yet.
    fn socket(&self) -> Result<OwnedFd, Error> {
        let remedy = "run as root, or give it the right: setcap cap_net_raw,cap_net_admin+ep";
        let made = socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None);
        self.step("open a packet socket", remedy, made)
    }

    /// Indexes of the interfaces that are named; none for all.
    fn indexes(&self, socket: &OwnedFd) -> Result<Vec<u32>, Error> {
        let mut indexes = Vec::new();
        for name in self.config.named() {
            let index = netdevice::name_to_index(socket, name).map_err(|error| {
                let remedy = "ip link lists the interfaces there are";
                Error::live(name.as_str(), "find the interface", error, remedy)
            })?;
            if !indexes.contains(&index) {
                indexes.push(index);
            }
        }
        Ok(indexes)
    }

    /// Gives a socket its ring, and binds it.
    fn ring(&self, socket: &OwnedFd, index: u32, watched: &[u32]) -> Result<Memory, Error> {
        let remedy = "this is a bug";
        self.step("refuse packets", remedy, kernel::set_filter(socket, &filter::nothing()))?;
        let remedy = "Linux 3.2 or newer is needed";
        self.step("set the ring's version", remedy, kernel::set_version(socket))?;
        let size = self.size()?;
        let remedy = "ask for less memory, or for blocks of whole pages";
        self.step("make the ring", remedy, kernel::set_ring(socket, &size))?;
        let (len, blocks) = (size.tp_block_size as usize, size.tp_block_nr as usize);
        self.step("map the ring", remedy, Memory::map(socket, len, blocks)).and_then(|memory| {
            if self.config.promiscuous {
                for index in watched {
                    let remedy = "capture without promiscuous mode";
                    let set = kernel::set_promiscuous(socket, *index);
                    self.step("set promiscuous mode", remedy, set)?;
                }
            }
            let remedy = "open it again";
            self.step("bind to the interface", remedy, kernel::bind(socket, index))?;
            let state = sockopt::socket_error(socket).and_then(|state| state);
            let remedy = "bring it up: ip link set dev INTERFACE up";
            self.step("capture", remedy, state)?;
            Ok(memory)
        })
    }

    /// A member's part of the memory.
    fn size(&self) -> Result<libc::tpacket_req3, Error> {
        let Options { members, block_bytes, retire, .. } = *self.options;
        let size = || {
            let blocks = (self.config.buffer / members).checked_div(block_bytes)?.max(MIN_BLOCKS);
            let block_len = u32::try_from(block_bytes).ok()?;
            let blocks = u32::try_from(blocks).ok()?;
            Some(libc::tpacket_req3 {
                tp_block_size: block_len,
                tp_block_nr: blocks,
                // Frames have the length they need: these two only have to agree.
                tp_frame_size: block_len,
                tp_frame_nr: blocks,
                // For 0 the kernel would choose.
                tp_retire_blk_tov: u32::try_from(retire.as_millis()).ok()?.max(1),
                tp_sizeof_priv: 0,
                tp_feature_req_word: 0,
            })
        };
        size().ok_or_else(|| {
            Error::live(
                self.name.as_str(),
                "make the ring",
                Errno::INVAL,
                "ask for less memory or shorter blocks",
            )
        })
    }

    /// Makes a fanout group of the sockets, in this order, which is kept when the interface goes
    /// down and up.
    fn group(&self, sockets: &[OwnedFd]) -> Result<(), Error> {
        let new = (libc::PACKET_FANOUT_CBPF
            | libc::PACKET_FANOUT_FLAG_DEFRAG
            | libc::PACKET_FANOUT_FLAG_UNIQUEID)
            << 16;
        let remedy = "Linux 4.12 or newer is needed to use several threads";
        let mut group = new.cast_signed();
        for (at, socket) in sockets.iter().enumerate() {
            self.step("share out packets", remedy, kernel::set_fanout(socket, group))?;
            if at == 0 {
                group = self.step("share out packets", remedy, kernel::fanout(socket))?;
                let program = fanout::program(&self.config.ports);
                let remedy = "name fewer ports";
                let set = kernel::set_fanout_program(socket, &program);
                self.step("share out packets by flow", remedy, set)?;
            }
        }
        Ok(())
    }

    fn no_members(&self) -> Error {
        let remedy = "from 1 to 256 threads are possible";
        Error::live(self.name.as_str(), "share out packets", Errno::INVAL, remedy)
    }

    fn step<T, E: Into<io::Error>>(
        &self,
        step: &'static str,
        remedy: &'static str,
        done: Result<T, E>,
    ) -> Result<T, Error> {
        done.map_err(|cause| Error::live(self.name.as_str(), step, cause, remedy))
    }
}

/// With one block, the kernel would stand still whenever it is read.
const MIN_BLOCKS: usize = 2;
