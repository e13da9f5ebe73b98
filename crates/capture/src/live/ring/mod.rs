//! Packets straight from the kernel: an `AF_PACKET` socket with a `TPACKET_V3` ring, or several
//! that share the work.
//!
//! The kernel writes packets to blocks of memory that it shares with this process; a full block,
//! or after [`Options::retire`] one that is not, is handed over whole. Packets are lent from where
//! the kernel wrote them, and while blocks are ready no system call is made. See packet(7) and
//! `Documentation/networking/packet_mmap.rst` of the kernel.
//!
//! | in reading order | holds |
//! |---|---|
//! | here | [`Ring`], [`Options`] |
//! | `open` | from a configuration to rings, in the order of steps the kernel wants |
//! | `kernel` | the kernel's side: socket options and shared memory; all that is unsafe |
//! | `block` | the packets of a block |
//! | `interfaces` | names and link types of the interfaces that packets came from |
//! | `program` | classic BPF, instruction by instruction |
//! | `filter` | the program that says which packets a socket takes |
//! | `fanout` | the program that picks the thread: by the customer's addresses and ports |
//!
//! What a reader of these packets has to know:
//! * The kernel takes the outermost VLAN tag out of a frame before sockets see it. It is not put
//!   back, which would need a copy; decapsulation does not ask for it.
//! * With several members, the kernel puts outer IPv4 fragments together before it picks one, so
//!   a reassembled datagram comes as one packet, longer than the MTU, and fragments that never
//!   complete do not come at all. A single ring has every fragment as it is.
//! * On the loopback interface each packet goes out and comes in: without [`Options::outgoing`] it
//!   is seen once.
//! * Packets of interfaces that have neither Ethernet nor raw IP come with a link type that nothing
//!   reads, unless there is a filter, which they do not pass.
//! * Times are the kernel's at delivery to the socket, in nanoseconds.

mod block;
mod fanout;
mod filter;
mod interfaces;
#[allow(
    unsafe_code,
    reason = "memory shared with the kernel, and socket options that no crate has"
)]
mod kernel;
mod open;
mod program;

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{netdevice, sockopt};
use vtap_packet::Packet;

use self::block::Records;
use self::interfaces::Interfaces;
use self::kernel::Memory;
use super::{Config, Counters, Live};
use crate::{Error, Interface};

/// How to capture, beside what all live sources are told.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Rings among which the packets are shared out, from 1 to 256, each for a thread of its own.
    /// [`Config::buffer`] is divided among them.
    pub members: usize,
    /// Also packets that this machine sends.
    pub outgoing: bool,
    /// Bytes of a block, a multiple of the page size. A packet that is longer is cut.
    pub block_bytes: usize,
    /// After how long a block that is not full is handed over: what a packet may have to wait. A
    /// block that is handed over counts as full, so a reader that pauses for as many of these as
    /// its ring has blocks loses packets, however few there are.
    pub retire: Duration,
}

impl Default for Options {
    /// One ring, of blocks of 256 KiB that wait for 50 ms.
    fn default() -> Self {
        Self {
            members: 1,
            outgoing: false,
            block_bytes: 256 << 10,
            retire: Duration::from_millis(50),
        }
    }
}

/// A ring, or one of those among which packets are shared out.
///
/// [`Packet::interface`] is the kernel's index of the interface, the same in all rings, and
/// [`Packet::number`] counts the packets of this one. To drop one ring of a group gives its packets
/// to the others and moves flows between these: drop them together.
#[derive(Debug)]
pub struct Ring {
    socket: OwnedFd,
    /// The interfaces that were named, for messages.
    name: String,
    /// Indexes of the interfaces that were named; none for all.
    watched: Vec<u32>,
    memory: Memory,
    /// The block to look at next.
    next: usize,
    handed: u64,
    counters: Counters,
    interfaces: Interfaces,
    not_found: u64,
    interface_downs: u64,
}

impl Ring {
    /// Opens one ring, on the network namespace of this thread. Packets come from when this
    /// returns.
    ///
    /// # Errors
    ///
    /// A right that is missing (`CAP_NET_RAW`), no such interface or one that is down, no memory
    /// for the ring, or a filter that does not compile.
    pub fn open(config: &Config) -> Result<Self, Error> {
        open::one(config, &Options::default())
    }

    /// Opens as many rings as the options say. Both directions of a flow come by the same one.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); no members, or too many.
    pub fn open_all(config: &Config, options: &Options) -> Result<Vec<Self>, Error> {
        open::all(config, options)
    }

    /// Packets that a block announced and that were not found in it, for which the kernel would
    /// have to be at fault. What was handed over adds up: `received = dropped + handed over + not
    /// found`, once no packets wait in the ring.
    pub fn not_found(&self) -> u64 {
        self.not_found
    }

    /// Times that the interface went down. Packets come again once it is up.
    pub fn interface_downs(&self) -> u64 {
        self.interface_downs
    }

    /// Hands over the packets of the next block, if it is ready.
    #[inline]
    fn take_block(&mut self, take: &mut impl FnMut(Packet<'_>)) -> bool {
        let following = (self.next + 1) % self.memory.blocks();
        let Some(block) = self.memory.block(self.next) else { return false };
        self.next = following;
        let mut records = Records::new(block.bytes());
        for record in &mut records {
            let link = interfaces::link_type(record.hardware);
            self.interfaces.meet(record.interface, link, &self.socket);
            self.handed += 1;
            let len = u32::try_from(record.frame.len()).unwrap_or(u32::MAX);
            take(Packet {
                number: self.handed,
                time: record.time,
                link,
                interface: record.interface,
                wire_len: record.wire_len.max(len),
                data: record.frame,
                tunnel: None,
            });
        }
        self.not_found += u64::from(records.left());
        true
    }

    /// Waits until a block is ready, or something happened to the interface.
    fn wait(&mut self, wait: Duration) -> Result<(), Error> {
        let mut events = [PollFd::new(&self.socket, PollFlags::IN)];
        let timeout = Timespec::try_from(wait).ok();
        match rustix::event::poll(&mut events, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => {
                return Err(Error::live(
                    self.name.as_str(),
                    "wait for packets",
                    error,
                    "this is a bug",
                ));
            }
        }
        let [event] = events;
        if event.revents().contains(PollFlags::ERR) {
            match sockopt::socket_error(&self.socket) {
                Ok(Ok(())) => {}
                Ok(Err(Errno::NETDOWN)) => self.interface_downs += 1,
                Ok(Err(error)) | Err(error) => {
                    return Err(Error::live(self.name.as_str(), "capture", error, "open it again"));
                }
            }
        }
        self.check_interfaces()
    }

    /// A socket whose interface was removed waits for ever, and is not told when another one of
    /// that name comes.
    fn check_interfaces(&self) -> Result<(), Error> {
        for index in &self.watched {
            if let Err(error) = netdevice::index_to_name(&self.socket, *index) {
                let remedy = "it was removed; open it again once it is back";
                return Err(Error::live(self.name.as_str(), "capture", error, remedy));
            }
        }
        Ok(())
    }

    /// Adds what the kernel counted, whose counters start again from 0 at each reading.
    fn count(&mut self) -> Result<(), Error> {
        let read = kernel::statistics(&self.socket).map_err(|error| {
            Error::live(self.name.as_str(), "read its counters", error, "this is a bug")
        })?;
        self.counters += Counters {
            received: read.tp_packets.into(),
            dropped: read.tp_drops.into(),
            freezes: read.tp_freeze_q_cnt.into(),
            interface_dropped: 0,
        };
        Ok(())
    }
}

impl Live for Ring {
    /// Hands over the packets of at most [`BATCH_BLOCKS`] blocks. Waits only when none is ready. A
    /// signal ends the wait early.
    ///
    /// An interface that goes down is no error: see [`interface_downs`](Self::interface_downs).
    ///
    /// # Errors
    ///
    /// An interface that was named was removed. Told once the packets before are handed over.
    fn poll(&mut self, wait: Duration, mut take: impl FnMut(Packet<'_>)) -> Result<usize, Error> {
        if !self.memory.is_ready(self.next) {
            self.wait(wait)?;
        }
        let before = self.handed;
        for _ in 0..BATCH_BLOCKS {
            if !self.take_block(&mut take) {
                break;
            }
            // The kernel's counters have 32 bits: they are read long before that many came.
            if self.next == 0 {
                self.count()?;
            }
        }
        // Not more than fit into a few blocks.
        Ok(usize::try_from(self.handed - before).unwrap_or(usize::MAX))
    }

    fn counters(&mut self) -> Result<Counters, Error> {
        self.count()?;
        Ok(self.counters)
    }

    fn interface(&self, id: u32) -> Option<&Interface> {
        self.interfaces.get(id)
    }
}

/// Blocks that are handed over in one call.
pub const BATCH_BLOCKS: usize = 8;
