//! The kernel's side of the ring: the unsafe island of live capture.
//!
//! Options whose values are structs, which no crate covers, and the memory that the kernel writes
//! packets to. The rules, which the blocks below cite:
//!
//! 1. A block of the ring belongs to the kernel or to its reader, as the status in its header
//!    says. The kernel writes to no part of a block that is the reader's.
//! 2. The status is read with *acquire* before anything else of a block is, and written with
//!    *release* after all of it was, so that what one side wrote the other sees.
//! 3. A [`Block`] on loan borrows the ring mutably, so there is one at a time, and the bytes that
//!    it lends borrow the block, so none outlives the hand-back in its `drop`.
//! 4. Structs that are passed to the kernel are plain integers (or a pointer to such, with their
//!    number), and live until the call is over.
//!
//! Another process with the same mapping could break rule 1; the socket is closed on exec, and
//! vtap does not fork.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use libc::{c_int, sock_filter, socklen_t};
use memmap2::{MmapOptions, MmapRaw};

use super::block::STATUS;

/// A value that a socket option takes as bytes.
///
/// # Safety
///
/// Without padding, and any content is one that the kernel may read and write.
unsafe trait Plain: Copy {}

// SAFETY: an integer.
unsafe impl Plain for c_int {}
// SAFETY: seven integers of four bytes.
unsafe impl Plain for libc::tpacket_req3 {}
// SAFETY: three integers of four bytes.
unsafe impl Plain for libc::tpacket_stats_v3 {}
// SAFETY: integers of 4, 2 and 2 bytes and an array of 8 bytes.
unsafe impl Plain for libc::packet_mreq {}

/// Sets the format of the ring that [`set_ring`] makes: `TPACKET_V3`.
pub(super) fn set_version(socket: impl AsFd) -> io::Result<()> {
    let version = libc::tpacket_versions::TPACKET_V3 as c_int;
    set(socket.as_fd(), libc::PACKET_VERSION, &version)
}

/// Makes the kernel's half of a ring.
pub(super) fn set_ring(socket: impl AsFd, ring: &libc::tpacket_req3) -> io::Result<()> {
    set(socket.as_fd(), libc::PACKET_RX_RING, ring)
}

/// Asks the interface for frames that are not addressed to it, until the socket is closed.
pub(super) fn set_promiscuous(socket: impl AsFd, interface: u32) -> io::Result<()> {
    let membership = libc::packet_mreq {
        mr_ifindex: interface.cast_signed(),
        mr_type: PROMISCUOUS,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    set(socket.as_fd(), libc::PACKET_ADD_MEMBERSHIP, &membership)
}

/// Joins a fanout group.
pub(super) fn set_fanout(socket: impl AsFd, group: c_int) -> io::Result<()> {
    set(socket.as_fd(), libc::PACKET_FANOUT, &group)
}

/// The fanout group that was joined, as [`set_fanout`] takes it.
pub(super) fn fanout(socket: impl AsFd) -> io::Result<c_int> {
    get(socket.as_fd(), libc::PACKET_FANOUT)
}

/// What was counted since the last call.
pub(super) fn statistics(socket: impl AsFd) -> io::Result<libc::tpacket_stats_v3> {
    get(socket.as_fd(), libc::PACKET_STATISTICS)
}

/// The program that picks the member of a fanout group.
pub(super) fn set_fanout_program(socket: impl AsFd, program: &[sock_filter]) -> io::Result<()> {
    set_program(socket.as_fd(), libc::SOL_PACKET, libc::PACKET_FANOUT_DATA, program)
}

/// The program that says how much of each packet the socket takes; replaces the one before.
pub(super) fn set_filter(socket: impl AsFd, program: &[sock_filter]) -> io::Result<()> {
    set_program(socket.as_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, program)
}

/// Starts capturing all protocols, on one interface or, with index 0, on all.
pub(super) fn bind(socket: impl AsFd, interface: u32) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: FAMILY,
        sll_protocol: ALL_PROTOCOLS.to_be(),
        sll_ifindex: interface.cast_signed(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: rule 4; the length is that of the address.
    let answer = unsafe { libc::bind(socket, (&raw const address).cast(), len_of(&address)) };
    answered(answer)
}

fn set_program(
    socket: BorrowedFd<'_>,
    level: c_int,
    option: c_int,
    program: &[sock_filter],
) -> io::Result<()> {
    let len = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    let len = len_of(&program);
    let socket = socket.as_raw_fd();
    // SAFETY: rule 4; the kernel copies `len` instructions and writes to none.
    let answer =
        unsafe { libc::setsockopt(socket, level, option, (&raw const program).cast(), len) };
    answered(answer)
}

fn set<T: Plain>(socket: BorrowedFd<'_>, option: c_int, value: &T) -> io::Result<()> {
    let len = len_of(value);
    let (socket, value) = (socket.as_raw_fd(), std::ptr::from_ref(value).cast());
    // SAFETY: rule 4; the length is that of the value.
    answered(unsafe { libc::setsockopt(socket, libc::SOL_PACKET, option, value, len) })
}

fn get<T: Plain>(socket: BorrowedFd<'_>, option: c_int) -> io::Result<T> {
    let mut value = MaybeUninit::<T>::zeroed();
    let mut len = len_of(&value);
    let (socket, to) = (socket.as_raw_fd(), value.as_mut_ptr().cast());
    // SAFETY: rule 4; the kernel writes at most `len` bytes, which is the size of the value.
    answered(unsafe { libc::getsockopt(socket, libc::SOL_PACKET, option, to, &raw mut len) })?;
    // SAFETY: every byte was zero before the kernel wrote some, and any content is a `T`.
    Ok(unsafe { value.assume_init() })
}

fn len_of<T>(_: &T) -> socklen_t {
    // The structs above are small.
    socklen_t::try_from(size_of::<T>()).unwrap_or(0)
}

fn answered(answer: c_int) -> io::Result<()> {
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

// Numbers that `libc` has as `int`, as wide as the fields they go to.
const FAMILY: u16 = 17;
const ALL_PROTOCOLS: u16 = 3;
const PROMISCUOUS: u16 = 1;
const _: () = assert!(
    FAMILY as c_int == libc::AF_PACKET
        && ALL_PROTOCOLS as c_int == libc::ETH_P_ALL
        && PROMISCUOUS as c_int == libc::PACKET_MR_PROMISC
);

/// The memory of a ring: blocks of equal size, one after the other.
#[derive(Debug)]
pub(super) struct Memory {
    mapping: MmapRaw,
    block_len: usize,
    blocks: usize,
}

impl Memory {
    /// Maps the ring that [`set_ring`] has made of this many blocks.
    ///
    /// # Errors
    ///
    /// There is no such ring, or no room for it.
    pub(super) fn map(socket: impl AsFd, block_len: usize, blocks: usize) -> io::Result<Self> {
        let len = block_len.checked_mul(blocks).ok_or(io::ErrorKind::InvalidInput)?;
        let mapping = MmapOptions::new().len(len).map_raw(socket.as_fd().as_raw_fd())?;
        if block_len < size_of::<libc::tpacket_block_desc>() || mapping.len() < len {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(Self { mapping, block_len, blocks })
    }

    pub(super) fn blocks(&self) -> usize {
        self.blocks
    }

    /// Whether block `at` is its reader's. Blocks are counted round and round.
    #[inline]
    pub(super) fn is_ready(&self, at: usize) -> bool {
        self.status(at).load(Ordering::Acquire) & libc::TP_STATUS_USER != 0
    }

    /// Block `at`, unless it is the kernel's.
    #[inline]
    pub(super) fn block(&mut self, at: usize) -> Option<Block<'_>> {
        if self.is_ready(at) { Some(Block { memory: self, at }) } else { None }
    }

    fn start(&self, at: usize) -> *mut u8 {
        let offset = (at % self.blocks) * self.block_len;
        // SAFETY: all `blocks` blocks lie inside the mapping, as `map` has checked.
        unsafe { self.mapping.as_mut_ptr().add(offset) }
    }

    fn status(&self, at: usize) -> &AtomicU32 {
        // SAFETY: a block is longer than its header, as `map` has checked.
        let status = unsafe { self.start(at).add(STATUS) };
        // SAFETY: blocks begin at pages, and the status at a multiple of four in them. Both sides
        // access it whole, and while `Block::bytes` lends it neither writes: rules 1 and 3.
        unsafe { AtomicU32::from_ptr(status.cast()) }
    }
}

/// A block on loan from the kernel, which gets it back when this is dropped.
#[derive(Debug)]
pub(super) struct Block<'a> {
    memory: &'a mut Memory,
    at: usize,
}

impl Block<'_> {
    /// Its bytes, headers and all.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: rules 1 to 3: nobody writes to these bytes, which lie inside the mapping, while
        // the slice lives; they were zeroed when the ring was made, so all are initialised.
        unsafe { std::slice::from_raw_parts(self.memory.start(self.at), self.memory.block_len) }
    }
}

impl Drop for Block<'_> {
    /// Also when a packet's reader has panicked.
    #[inline]
    fn drop(&mut self) {
        self.memory.status(self.at).store(libc::TP_STATUS_KERNEL, Ordering::Release);
    }
}
