//! From a packet to what the tracker needs of it. Holds nothing of the packet's bytes.

use std::net::SocketAddr;

use foldhash::quality::RandomState;
use vtap_packet::reassembly;
use vtap_packet::tcp::Tcp;
use vtap_packet::{EtherType, Ip, LinkType, Packet, Protocol, Timestamp, Vni, checksum, link};

use crate::answer::Answer;
use crate::batch::{Batch, Occasion, Pending};
use crate::config::{Checksum, Config};
use crate::copies::{self, Copies, Likeness};
use crate::fragments::{Accounted, Fragments};
use crate::icmp;
use crate::judge::Judge;
use crate::key::{End, Key};
use crate::limits;
use crate::reason::Reason;
use crate::segment::Segment;
use crate::sight::Sights;
use crate::skip::Skip;
use crate::state::Kind;
use crate::usual;

/// One packet of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Observed {
    pub(crate) key: Key,
    /// Which end of the key sent it.
    pub(crate) from: End,
    pub(crate) content: Content,
    /// Length of the IP packet, in bytes; of a datagram put together, that of its last fragment.
    pub(crate) len: u32,
    /// What TCP, UDP or SCTP carry, in bytes; of any other protocol, what IP carries.
    pub(crate) payload: u32,
    /// Of a TCP header that could be read; else 0.
    pub(crate) flags: u8,
    pub(crate) offloaded: bool,
    pub(crate) truncated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Segment(Segment),
    /// A TCP segment that is refused whatever its flow is.
    Defective(Reason),
    /// An ICMP error that quotes a packet: the key is that packet's flow, `from` the end that the
    /// quoted packet came from. The error has to be addressed to that end.
    Error {
        misdirected: bool,
    },
    /// An ICMP message that no stack would take.
    BadIcmp(Reason),
    /// Of the link and not of a flow: neighbour discovery, multicast listener reports.
    Untracked,
    Other,
}

/// What was read of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) observed: Observed,
    /// Of the key.
    pub(crate) hash: u64,
    pub(crate) likeness: Likeness,
}

/// The first half of a [`Tracker`](crate::Tracker): reads headers, sums checksums, puts fragments
/// together, recognises copies. It knows nothing of flows but their keys.
#[derive(Debug)]
pub struct Reader {
    config: Config,
    fragments: Fragments,
    sights: Sights,
    copies: Copies,
    hasher: RandomState,
}

/// How many packets before its own it is asked for what a packet is compared with.
const AHEAD: usize = 8;

/// What of a packet is not in its place.
struct Frame<'a> {
    link: LinkType,
    interface: u32,
    wire_len: u32,
    data: &'a [u8],
}

impl Reader {
    pub(crate) fn new(config: Config, hasher: RandomState) -> Self {
        let (fragments, sights) = (Fragments::new(), Sights::new());
        Self { config, fragments, sights, copies: Copies::new(config.copies), hasher }
    }

    /// Reads a packet and adds it to the batch.
    #[inline(always)]
    pub fn read(&mut self, packet: Packet<'_>, batch: &mut Batch) {
        if batch.len == batch.places.len() {
            batch.places.push(Pending::NONE);
        }
        let Some(place) = batch.places.get_mut(batch.len) else { return };
        place.occasion = Occasion::of(&packet);
        place.sight = self.sights.of(&packet);
        if self.config.records {
            place.keep_macs(packet.link, packet.data);
        }
        let vni = self.vni(&packet);
        let usual = usual::read(&packet, vni, self.config.checksum, &self.hasher, place);
        debug_assert!(
            usual.is_none()
                || read(&packet, vni, &self.config, &mut self.fragments, &self.hasher).as_ref()
                    == place.reading().as_ref(),
            "the shortcut and the general reading differ: {packet:?}, {place:?}"
        );
        if usual.is_none() {
            let Packet { link, interface, wire_len, data, .. } = packet;
            let frame = Frame { link, interface, wire_len, data };
            self.read_any(&frame, batch);
        }
        batch.len += 1;
    }

    /// Says of each packet of a batch which of its sightings it is. To be called once there are no
    /// more to be read, and before they are judged.
    pub fn compare(&mut self, batch: &mut Batch) {
        let from = std::mem::replace(&mut batch.compared, batch.len);
        if self.config.copies.window.is_zero() {
            return;
        }
        let packets = batch.places.get_mut(from..batch.len).unwrap_or_default();
        for at in 0..packets.len() {
            if let Some(later) = packets.get(at + AHEAD) {
                self.copies.prefetch(later.likeness.print);
            }
            if let Some(Pending { occasion, sight, likeness, sighting, observed: Ok(_), .. }) =
                packets.get_mut(at)
            {
                let vni = self.config.vni(occasion.tunnel);
                *sighting = self.copies.take(occasion.time, *likeness, vni, *sight);
            }
        }
    }

    /// Reads a packet whose occasion and sight are in place. (Of these a packet consists for the
    /// most part; where they were passed on, each packet would have to be kept until here.)
    #[inline(never)]
    fn read_any(&mut self, frame: &Frame<'_>, batch: &mut Batch) {
        let Some(place) = batch.places.get_mut(batch.len) else { return };
        let Occasion { time, number, tunnel } = place.occasion;
        let Frame { link, interface, wire_len, data } = *frame;
        let packet = Packet { number, time, link, interface, wire_len, data, tunnel };
        let vni = self.vni(&packet);
        let read = read(&packet, vni, &self.config, &mut self.fragments, &self.hasher);
        (place.hash, place.likeness, place.observed) = match read {
            Ok(Reading { observed, hash, likeness }) => (hash, likeness, Ok(observed)),
            Err(skip) => (0, Likeness::NONE, Err(skip)),
        };
        if self.config.records
            && let Ok(observed) = &place.observed
            && observed.is_of_port(Protocol::UDP, DNS)
            && let Some(answer) = answer(&packet)
        {
            batch.answers.push((batch.len, answer));
        }
        if self.config.records
            && let Err(Skip::IpChecksum) = place.observed
            && let Some(reading) = corrupt(&packet, vni, self.config.checksum, &self.hasher)
        {
            batch.corrupt.push((batch.len, reading));
        }
        let behind = batch.len;
        let accounted = self.fragments.accounted();
        batch.accounted.extend(accounted.map(|one| Accounted { behind, ..one }));
    }

    /// The name space of a packet's addresses.
    #[inline]
    fn vni(&self, packet: &Packet<'_>) -> Vni {
        self.config.vni(packet.tunnel).unwrap_or_default()
    }

    pub(crate) const fn fragments(&self) -> reassembly::Stats {
        self.fragments.stats()
    }

    /// Gives up the fragments that still wait.
    pub(crate) fn finish(&mut self, judge: &mut Judge) {
        self.fragments.finish();
        for fragments in self.fragments.accounted() {
            // No time is left in which its flow could be over.
            judge.account(Timestamp::EPOCH, &fragments, None);
        }
    }
}

/// What DNS listens on (RFC 1035 section 4.2.1).
const DNS: u16 = 53;

/// What a DNS response says, if it came in one packet.
#[cold]
fn answer(packet: &Packet<'_>) -> Option<Answer> {
    let ip = network(packet).ok().filter(|ip| ip.fragment.is_none())?;
    Answer::read(packet.time, ip.payload.get(UDP_HEADER_LEN as usize..)?)
}

/// What is to be counted of a packet whose IP header has a wrong checksum, unless it is a fragment.
#[cold]
fn corrupt(
    packet: &Packet<'_>,
    vni: Vni,
    policy: Checksum,
    hasher: &RandomState,
) -> Option<Reading> {
    let ip = network(packet).ok().filter(|ip| ip.fragment.is_none())?;
    let observed = match ip.protocol {
        Protocol::TCP => Observed::new(&ip, ports(ip.payload)?, vni, Content::Other),
        Protocol::ICMP | Protocol::ICMPV6 => {
            let id = icmp::identifier(&ip)?;
            Observed::new(&ip, (id, id), vni, Content::Other)
        }
        _ => other(&ip, vni).ok()?,
    };
    let hashes = observed.key.hashes(hasher);
    let likeness = Likeness::of(hashes.of_sender(observed.from), &ip, policy);
    Some(Reading { observed, hash: hashes.flow, likeness })
}

/// Reads any frame.
#[inline(never)]
fn read(
    packet: &Packet<'_>,
    vni: Vni,
    config: &Config,
    fragments: &mut Fragments,
    hasher: &RandomState,
) -> Result<Reading, Skip> {
    let mut ip = network(packet)?;
    if ip.overruns_frame {
        return Err(Skip::IpLength);
    }
    if config.checksum != Checksum::Off && !ip.header_checksum_is_right() {
        return Err(Skip::IpChecksum);
    }
    let len = copies::len(&ip);
    if ip.fragment.is_some() {
        let Some(datagram) = fragments.take(packet, vni, &ip) else { return Err(Skip::Fragment) };
        ip.protocol = datagram.protocol;
        ip.payload = datagram.payload;
        ip.payload_len = u32::try_from(datagram.payload.len()).unwrap_or(u32::MAX);
    }
    let mut observed = observe(&ip, vni, config)?;
    observed.len = len;
    let hashes = observed.key.hashes(hasher);
    let likeness = Likeness::of(hashes.of_sender(observed.from), &ip, config.checksum);
    let likeness = if observed.offloaded { likeness.without_sum() } else { likeness };
    Ok(Reading { observed, hash: hashes.flow, likeness })
}

fn network<'a>(packet: &Packet<'a>) -> Result<Ip<'a>, Skip> {
    let (ether_type, network) =
        link::network(packet.link, packet.data).map_err(|_| Skip::LinkType)?;
    if !matches!(ether_type, EtherType::IPV4 | EtherType::IPV6) {
        return Err(Skip::NotIp);
    }
    let stripped = packet.data.len() - network.len();
    let wire_len = (packet.wire_len as usize).saturating_sub(stripped);
    Ip::parse(ether_type, network, wire_len).map_err(|_| Skip::MalformedIp)
}

fn observe(ip: &Ip<'_>, vni: Vni, config: &Config) -> Result<Observed, Skip> {
    match ip.protocol {
        Protocol::TCP => segment(ip, vni, config),
        Protocol::ICMP | Protocol::ICMPV6 => icmp::read(ip, vni, config),
        _ => other(ip, vni),
    }
}

fn segment(ip: &Ip<'_>, vni: Vni, config: &Config) -> Result<Observed, Skip> {
    let truncated = ip.payload.len() < ip.payload_len as usize;
    let (src_port, dst_port) = match ports(ip.payload) {
        Some(ports) => ports,
        None if truncated => return Err(Skip::CutShort),
        None => (0, 0),
    };
    let (src, dst) = (SocketAddr::new(ip.src, src_port), SocketAddr::new(ip.dst, dst_port));
    let (key, from) = Key::new(src, dst, Protocol::TCP, vni);
    let len = copies::len(ip);
    let mut observed = Observed {
        key,
        from,
        content: Content::Defective(Reason::TruncatedHeader),
        len,
        payload: 0,
        flags: 0,
        offloaded: false,
        truncated,
    };

    let Ok(tcp) = Tcp::parse(ip.payload) else {
        return if truncated && ip.payload_len as usize >= Tcp::HEADER_LEN {
            Err(Skip::CutShort)
        } else {
            Ok(observed)
        };
    };
    observed.flags = tcp.flags.0;
    let payload =
        u32::try_from(tcp.header_len).ok().and_then(|len| ip.payload_len.checked_sub(len));
    let Some(payload) = payload.filter(|_| tcp.header_len >= Tcp::HEADER_LEN) else {
        return Ok(observed);
    };
    observed.payload = payload;
    let sum = if truncated { Sum::Right } else { sum(ip, &tcp, config.checksum) };
    observed.content = match (sum, Kind::of(tcp.flags)) {
        (Sum::Wrong, _) => Content::Defective(Reason::BadChecksum),
        (_, None) => Content::Defective(Reason::BadFlags),
        (_, Some(kind)) => Content::Segment(Segment::new(kind, tcp, payload)),
    };
    observed.offloaded = sum == Sum::Offloaded;
    Ok(observed)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sum {
    Right,
    /// The sum of the pseudo header: the NIC was to fill in the rest.
    Offloaded,
    Wrong,
}

fn sum(ip: &Ip<'_>, tcp: &Tcp<'_>, policy: Checksum) -> Sum {
    if policy == Checksum::Off
        || checksum::transport(ip.src, ip.dst, Protocol::TCP, ip.payload) == 0xffff
    {
        return Sum::Right;
    }
    // Windows leaves the length out of the sum of a packet that the NIC is to segment.
    let left_to_nic = [ip.payload_len, 0]
        .into_iter()
        .any(|len| checksum::pseudo_header(ip.src, ip.dst, Protocol::TCP, len) == tcp.checksum);
    if policy == Checksum::OffloadAware && left_to_nic { Sum::Offloaded } else { Sum::Wrong }
}

fn other(ip: &Ip<'_>, vni: Vni) -> Result<Observed, Skip> {
    let ports = match ip.protocol {
        Protocol::UDP | Protocol::SCTP | Protocol::UDP_LITE => {
            ports(ip.payload).ok_or(Skip::CutShort)?
        }
        _ => (0, 0),
    };
    Ok(Observed::new(ip, ports, vni, Content::Other))
}

impl Observed {
    /// The TCP segment, if it is one that could be read.
    #[inline(always)]
    pub(crate) const fn segment(&self) -> Option<&Segment> {
        match &self.content {
            Content::Segment(segment) => Some(segment),
            _ => None,
        }
    }

    /// Whether there is anything to count beside what it is.
    #[inline(always)]
    pub(crate) const fn is_odd(&self) -> bool {
        self.truncated | self.offloaded | (self.len > limits::LARGEST_PACKET)
    }

    /// Whether it comes from this port.
    fn is_of_port(&self, protocol: Protocol, port: u16) -> bool {
        self.key.protocol() == protocol && self.key.socket(self.from).port() == port
    }

    pub(crate) fn new(ip: &Ip<'_>, (src, dst): (u16, u16), vni: Vni, content: Content) -> Self {
        let (src, dst) = (SocketAddr::new(ip.src, src), SocketAddr::new(ip.dst, dst));
        let (key, from) = Key::new(src, dst, ip.protocol, vni);
        let truncated = ip.payload.len() < ip.payload_len as usize;
        let len = copies::len(ip);
        let header = match ip.protocol {
            Protocol::UDP | Protocol::UDP_LITE => UDP_HEADER_LEN,
            Protocol::SCTP => SCTP_HEADER_LEN,
            _ => 0,
        };
        let payload = ip.payload_len.saturating_sub(header);
        Self { key, from, content, len, payload, flags: 0, offloaded: false, truncated }
    }
}

/// Of UDP (RFC 768) and UDP-Lite (RFC 3828).
const UDP_HEADER_LEN: u32 = 8;

/// Of SCTP, without chunks (RFC 9260 section 3).
const SCTP_HEADER_LEN: u32 = 12;

/// The two ports with which TCP, UDP, SCTP and UDP-Lite all begin.
pub(crate) fn ports(payload: &[u8]) -> Option<(u16, u16)> {
    let [s0, s1, d0, d1] = payload.first_chunk()?;
    Some((u16::from_be_bytes([*s0, *s1]), u16::from_be_bytes([*d0, *d1])))
}
