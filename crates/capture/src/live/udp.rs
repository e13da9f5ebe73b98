//! UDP sockets on the VXLAN ports: what a collector without any privilege has.
//!
//! The kernel reassembles outer fragments and takes the outer headers off. For the rest of vtap they
//! are made again, as raw IP, from what the socket tells: addresses, ports, lengths. What it does not
//! tell (TTL, identification, type of service) is 0, and the UDP checksum too, which means none.

use std::cell::RefCell;
use std::fmt;
use std::fs;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use etherparse::{IpNumber, Ipv4Header, Ipv6Header, UdpHeader};
use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::sockopt::{
    Ipv4PacketInfo, Ipv6RecvPacketInfo, RcvBuf, RcvBufForce, ReceiveTimestampns, RxqOvfl,
};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage, recvmmsg, setsockopt,
};
use nix::sys::time::TimeSpec;
use socket2::Socket;
use vtap_packet::{LinkType, Packet, Timestamp};

use super::wait::ready;
use super::{Config, Counters, Live, sockets};
use crate::{Error, Interface};

/// Longest time for which datagrams gather.
const GATHER: Duration = Duration::from_millis(2);

/// Datagrams taken with one call of the system.
const BATCH: usize = 64;

/// Largest payload of a datagram: that over IPv6 without jumbograms.
const DATAGRAM: usize = 65_535 - UdpHeader::LEN;

/// Largest headers that are made again.
const HEADERS: usize = Ipv6Header::LEN + UdpHeader::LEN;

/// One socket for each port.
pub struct Udp {
    sockets: Vec<Bound>,
    interface: Interface,
    number: u64,
    room: Vec<u8>,
    /// How long datagrams are left to gather once one is there, as to wake up for each costs more than
    /// all else.
    gather: Duration,
}

thread_local! {
    /// What the system writes about datagrams. It is full of pointers, so it stays with the thread
    /// that reads, which is not the one that opens.
    static MESSAGES: RefCell<MultiHeaders<SockaddrStorage>> = {
        let told = cmsg_space!(TimeSpec, u32, libc::in_pktinfo, libc::in6_pktinfo);
        RefCell::new(MultiHeaders::preallocate(BATCH, Some(told)))
    };
}

struct Bound {
    socket: Socket,
    port: u16,
    delivered: u64,
    /// Datagrams dropped before the last one that came, as the kernel says with each.
    dropped: u64,
    inode: u64,
}

/// What the kernel says of a datagram.
#[derive(Clone, Copy)]
struct Told {
    src: SocketAddr,
    dst: IpAddr,
    time: Timestamp,
    /// Bytes it had, which may be more than were taken.
    bytes: usize,
}

impl fmt::Debug for Udp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports: Vec<_> = self.sockets.iter().map(|bound| bound.port).collect();
        f.debug_struct("Udp").field("ports", &ports).finish_non_exhaustive()
    }
}

impl Udp {
    /// Binds the ports. The kernel grants a buffer of at most `net.core.rmem_max`, unless this process
    /// has `CAP_NET_ADMIN`. [`Config::filter`] is for the caller to apply: sockets take none.
    ///
    /// # Errors
    ///
    /// A port that is taken, or an interface that is not there.
    pub fn open(config: &Config) -> Result<Self, Error> {
        let device = match config.named() {
            [] => None,
            [device] => Some(device.as_str()),
            several => {
                return Err(Error::live(
                    several.join(", "),
                    "bind to more than one interface",
                    io::ErrorKind::InvalidInput,
                    "name one, or any, or use --source pcap",
                ));
            }
        };
        let sockets = config
            .ports
            .iter()
            .map(|port| Bound::open(*port, device, config.buffer))
            .collect::<Result<_, _>>()?;
        let interface = Interface {
            link: LinkType::RAW,
            snaplen: config.snaplen,
            name: device.unwrap_or("any").to_owned(),
        };
        let room = vec![0; BATCH * (HEADERS + DATAGRAM)];
        let mut source = Self { sockets, interface, number: 0, room, gather: Duration::ZERO };
        // What comes in this time, a byte each nanosecond (8 Gbit/s), fills a quarter of the buffer.
        let nanos = u64::try_from(source.granted() / 4).unwrap_or(u64::MAX);
        source.gather = Duration::from_nanos(nanos).min(GATHER);
        Ok(source)
    }

    /// The smallest buffer that the kernel granted to a socket, in bytes.
    pub fn granted(&self) -> usize {
        let granted = |bound: &Bound| bound.socket.recv_buffer_size().unwrap_or_default();
        self.sockets.iter().map(granted).min().unwrap_or_default()
    }
}

impl Live for Udp {
    fn poll(&mut self, wait: Duration, mut take: impl FnMut(Packet<'_>)) -> Result<usize, Error> {
        let mut all = 0;
        for pass in 0..2 {
            for bound in &mut self.sockets {
                let told =
                    MESSAGES.with_borrow_mut(|messages| bound.receive(&mut self.room, messages))?;
                let slots = self.room.chunks_exact_mut(HEADERS + DATAGRAM);
                for (told, slot) in told.iter().map_while(Option::as_ref).zip(slots) {
                    let data = told.remake(bound.port, slot);
                    self.number += 1;
                    let beyond = told.bytes.saturating_sub(DATAGRAM);
                    take(Packet {
                        number: self.number,
                        time: told.time,
                        link: LinkType::RAW,
                        interface: 0,
                        wire_len: u32::try_from(data.len() + beyond).unwrap_or(u32::MAX),
                        data,
                        tunnel: None,
                    });
                    all += 1;
                }
            }
            if all > 0 || pass > 0 {
                break;
            }
            let fds = self.sockets.iter().map(|bound| bound.socket.as_fd());
            let is_ready = ready(fds, wait);
            if is_ready.map_err(|cause| failed(0, "wait for packets", cause))? {
                thread::sleep(self.gather);
            }
        }
        Ok(all)
    }

    fn counters(&mut self) -> Result<Counters, Error> {
        let table = ["udp", "udp6"]
            .map(|name| fs::read_to_string(format!("/proc/self/net/{name}")).unwrap_or_default());
        let mut all = Counters::default();
        for bound in &mut self.sockets {
            let listed = table.iter().find_map(|table| drops(table, bound.inode));
            bound.dropped = bound.dropped.max(listed.unwrap_or_default());
            all.received += bound.delivered + bound.dropped;
            all.dropped += bound.dropped;
        }
        Ok(all)
    }

    fn interface(&self, _id: u32) -> Option<&Interface> {
        Some(&self.interface)
    }
}

impl Bound {
    fn open(port: u16, device: Option<&str>, buffer: usize) -> Result<Self, Error> {
        let socket = sockets::bind(port, |socket| {
            socket.bind_device(device.map(str::as_bytes))?;
            if setsockopt(socket, RcvBufForce, &buffer).is_err() {
                setsockopt(socket, RcvBuf, &buffer)?;
            }
            setsockopt(socket, ReceiveTimestampns, &true)?;
            setsockopt(socket, RxqOvfl, &1)?;
            setsockopt(socket, Ipv4PacketInfo, &true)?;
            // Fails where the socket has no IPv6.
            let _ = setsockopt(socket, Ipv6RecvPacketInfo, &true);
            Ok(())
        })?;
        let stat =
            rustix::fs::fstat(&socket).map_err(|errno| failed(port, "look at", errno.into()))?;
        Ok(Self { socket, port, delivered: 0, dropped: 0, inode: stat.st_ino })
    }

    /// Takes datagrams into their slots of `room`, behind space for the headers.
    fn receive(
        &mut self,
        room: &mut [u8],
        messages: &mut MultiHeaders<SockaddrStorage>,
    ) -> Result<[Option<Told>; BATCH], Error> {
        let mut told = [None; BATCH];
        let mut slots = room.chunks_exact_mut(HEADERS + DATAGRAM);
        let mut slices: [[IoSliceMut<'_>; 1]; BATCH] = std::array::from_fn(|_| {
            let payload = slots.next().and_then(|slot| slot.get_mut(HEADERS..));
            [IoSliceMut::new(payload.unwrap_or_default())]
        });
        // The length that a datagram had, not what of it fitted.
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
        let received = match recvmmsg(self.socket.as_raw_fd(), messages, &mut slices, flags, None) {
            Ok(received) => received,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(told),
            Err(errno) => return Err(failed(self.port, "read packets", errno.into())),
        };
        for (place, message) in told.iter_mut().zip(received) {
            *place = Some(self.told(&message));
            self.delivered += 1;
        }
        Ok(told)
    }

    fn told(&mut self, message: &RecvMsg<'_, '_, SockaddrStorage>) -> Told {
        let v4 = message.address.as_ref().and_then(SockaddrStorage::as_sockaddr_in);
        let v6 = message.address.as_ref().and_then(SockaddrStorage::as_sockaddr_in6);
        let src = match (v4, v6) {
            (Some(v4), _) => SocketAddr::from((v4.ip(), v4.port())),
            (_, Some(v6)) => SocketAddr::from((v6.ip().to_canonical(), v6.port())),
            (None, None) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        };
        let mut told = Told {
            src,
            dst: IpAddr::from(Ipv4Addr::UNSPECIFIED),
            time: Timestamp::EPOCH,
            bytes: message.bytes,
        };
        for part in message.cmsgs().into_iter().flatten() {
            match part {
                ControlMessageOwned::ScmTimestampns(time) => {
                    let seconds = u64::try_from(time.tv_sec()).unwrap_or_default();
                    let nanos = u64::try_from(time.tv_nsec()).unwrap_or_default();
                    told.time = Timestamp::new(seconds, nanos);
                }
                ControlMessageOwned::RxqOvfl(dropped) => {
                    let more = dropped.wrapping_sub(low_half(self.dropped));
                    self.dropped += u64::from(more);
                }
                ControlMessageOwned::Ipv4PacketInfo(info) => {
                    told.dst = Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes()).into();
                }
                ControlMessageOwned::Ipv6PacketInfo(info) => {
                    told.dst = IpAddr::from(info.ipi6_addr.s6_addr).to_canonical();
                }
                _ => {}
            }
        }
        if told.time == Timestamp::EPOCH {
            told.time = now();
        }
        told
    }
}

impl Told {
    /// Puts headers in front of the payload of a slot: the packet as it came, as raw IP.
    fn remake<'slot>(&self, port: u16, slot: &'slot mut [u8]) -> &'slot [u8] {
        let bytes = self.bytes.min(DATAGRAM);
        let length = u16::try_from(UdpHeader::LEN + bytes).unwrap_or(u16::MAX);
        let source_port = self.src.port();
        let udp = UdpHeader { source_port, destination_port: port, length, checksum: 0 };
        let begin = match (self.src.ip(), self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let mut ip = Ipv4Header {
                    total_len: length.saturating_add(Ipv4Header::MIN_LEN_U16),
                    protocol: IpNumber::UDP,
                    dont_fragment: false,
                    source: src.octets(),
                    destination: dst.octets(),
                    ..Ipv4Header::default()
                };
                ip.header_checksum = ip.calc_header_checksum();
                prepend(slot, &ip.to_bytes(), udp)
            }
            (src, dst) => {
                let ip = Ipv6Header {
                    payload_length: length,
                    next_header: IpNumber::UDP,
                    source: octets(src),
                    destination: octets(dst),
                    ..Ipv6Header::default()
                };
                prepend(slot, &ip.to_bytes(), udp)
            }
        };
        slot.get(begin..HEADERS + bytes).unwrap_or_default()
    }
}

/// Where in the slot the headers begin.
fn prepend(slot: &mut [u8], ip: &[u8], udp: UdpHeader) -> usize {
    let (middle, begin) = (HEADERS - UdpHeader::LEN, HEADERS - UdpHeader::LEN - ip.len());
    if let Some(place) = slot.get_mut(begin..middle) {
        place.copy_from_slice(ip);
    }
    if let Some(place) = slot.get_mut(middle..HEADERS) {
        place.copy_from_slice(&udp.to_bytes());
    }
    begin
}

const fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// For a datagram that came without its time.
#[expect(clippy::disallowed_methods, reason = "a live source reads the clock")]
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::EPOCH + since
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half")]
const fn low_half(count: u64) -> u32 {
    count as u32
}

/// The column `drops` of the socket with this inode, in a table of `/proc/net/udp`'s form: fields
/// are separated by spaces, the inode is the tenth and `drops` the last.
fn drops(table: &str, inode: u64) -> Option<u64> {
    let inode = inode.to_string();
    let line = table.lines().find(|line| line.split_whitespace().nth(9) == Some(&inode))?;
    line.split_whitespace().next_back()?.parse().ok()
}

fn failed(port: u16, step: &'static str, cause: io::Error) -> Error {
    Error::live(format!("UDP port {port}"), step, cause, "see dmesg")
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    fn open(buffer: usize) -> (Udp, UdpSocket) {
        let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = Config { ports: vec![free], buffer, ..Config::default() };
        let source = Udp::open(&config).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.connect(("127.0.0.1", free)).unwrap();
        (source, sender)
    }

    fn taken(source: &mut Udp) -> Vec<(u64, Timestamp, u32, Vec<u8>)> {
        let mut packets = Vec::new();
        while source
            .poll(Duration::from_millis(50), |packet| {
                packets.push((packet.number, packet.time, packet.wire_len, packet.data.to_vec()));
            })
            .unwrap()
            > 0
        {}
        packets
    }

    #[test]
    fn a_datagram_comes_as_the_packet_that_it_was() {
        let (mut source, sender) = open(1 << 20);
        let before = now();
        for payload in [&b"first"[..], &[7; 65_507], b""] {
            sender.send(payload).unwrap();
        }
        let packets = taken(&mut source);
        assert_eq!(packets.len(), 3);
        for ((number, time, wire_len, data), (at, payload)) in
            packets.iter().zip((1..).zip([&b"first"[..], &[7; 65_507], b""]))
        {
            assert_eq!((*number, *wire_len as usize), (at, data.len()));
            assert!(*time >= before && *time <= now(), "{time}");
            let packet = etherparse::SlicedPacket::from_ip(data).unwrap();
            let Some(etherparse::InternetSlice::Ipv4(ip)) = &packet.net else { panic!() };
            let header = ip.header().to_header();
            assert_eq!(header.calc_header_checksum(), header.header_checksum);
            assert_eq!((header.source, header.destination), ([127, 0, 0, 1], [127, 0, 0, 1]));
            let Some(etherparse::TransportSlice::Udp(udp)) = &packet.transport else { panic!() };
            assert_eq!(udp.source_port(), sender.local_addr().unwrap().port());
            assert_eq!(udp.destination_port(), sender.peer_addr().unwrap().port());
            assert_eq!(udp.payload(), payload);
        }
    }

    #[test]
    fn ipv6_comes_as_ipv6() {
        let (mut source, sender) = open(1 << 20);
        let port = sender.peer_addr().unwrap().port();
        let Ok(sender) = UdpSocket::bind("[::1]:0") else { return };
        sender.send_to(b"six", ("::1", port)).unwrap();
        let packets = taken(&mut source);
        let packet = etherparse::SlicedPacket::from_ip(&packets[0].3).unwrap();
        let Some(etherparse::InternetSlice::Ipv6(ip)) = &packet.net else { panic!() };
        assert_eq!(ip.header().destination_addr(), std::net::Ipv6Addr::LOCALHOST);
        assert_eq!(packets[0].3.len(), 40 + 8 + 3);
    }

    #[test]
    fn what_the_buffer_had_no_room_for_is_counted() {
        let (mut source, sender) = open(4096);
        let sent = 1000;
        for _ in 0..sent {
            sender.send(&[1; 1000]).unwrap();
        }
        let delivered = taken(&mut source).len() as u64;
        let counters = source.counters().unwrap();
        assert!(counters.dropped > 0, "{counters:?}");
        assert_eq!(counters.received, sent, "{counters:?}");
        assert_eq!(delivered + counters.dropped, sent);
        // The next one brings the kernel's own figure.
        sender.send(&[1; 10]).unwrap();
        assert_eq!(taken(&mut source).len(), 1);
        assert_eq!(source.counters().unwrap(), Counters { received: sent + 1, ..counters });
    }

    #[test]
    fn the_drops_of_a_socket_are_the_last_column_of_its_line() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
                     12: 00000000:12B5 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000000000000000 99\n";
        assert_eq!(drops(table, 4711), Some(99));
        assert_eq!(drops(table, 12), None);
    }
}
