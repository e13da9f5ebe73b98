//! What is held of datagrams that come in fragments: bounded in number, in memory and in age.
//!
//! Where there is no room, the oldest goes. A pair of hosts that holds more than its share gives up
//! its own oldest first, so that a flood between two hosts costs the others nothing; one from
//! invented addresses leaves each datagram as long as it takes the flood to fill the table. Time is
//! packet time, and is looked at when the owner asks. Each step takes a time that grows with the
//! logarithm of what is held.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::{Ip, Packet, Protocol, Timestamp, Vni};

/// Hard limits of a table of [`Datagrams`].
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Datagrams at once.
    pub datagrams: usize,
    /// Bytes over all datagrams, of those that are [charged](Datagrams::charge) for.
    pub bytes: usize,
    /// Age, from its first fragment to come, after which a datagram is given up.
    pub age: Duration,
}

impl Default for Limits {
    /// 4,096 datagrams, 16 MiB, and the 30 s of Linux's `ipfrag_time`.
    fn default() -> Self {
        Self { datagrams: 4096, bytes: 16 << 20, age: Duration::from_secs(30) }
    }
}

/// Where a fragment was seen: what keeps apart datagrams that may share all that IP tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope {
    /// The VNI and the tap of a mirrored packet. Two taps mirror the same datagram, each whole.
    pub tunnel: Option<(Vni, IpAddr)>,
    /// The place of capture; with several, each has the whole datagram too.
    pub place: u32,
}

impl Scope {
    /// Of a packet as captured, or decapsulated.
    pub fn of(packet: &Packet<'_>) -> Self {
        match packet.tunnel {
            Some(tunnel) => {
                Self { tunnel: Some((tunnel.vni, tunnel.src)), place: packet.interface }
            }
            None => Self { tunnel: None, place: packet.place() },
        }
    }
}

/// Identity of a datagram. RFC 791 names the protocol in it, RFC 8200 does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DatagramId {
    pair: Pair,
    id: u32,
    protocol: Option<Protocol>,
}

/// Two hosts, as seen at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    scope: Scope,
    src: IpAddr,
    dst: IpAddr,
}

impl DatagramId {
    /// Of a fragment; `None` for a packet that is none.
    pub fn of(scope: Scope, ip: &Ip<'_>) -> Option<Self> {
        let id = ip.fragment?.id;
        let protocol = ip.src.is_ipv4().then_some(ip.protocol);
        Some(Self { pair: Pair { scope, src: ip.src, dst: ip.dst }, id, protocol })
    }
}

/// One part in so many of a limit is what a pair of hosts may hold where there is no room for all.
const SHARE: usize = 16;

/// A bounded table, by datagram.
#[derive(Debug)]
pub struct Datagrams<V> {
    limits: Limits,
    held: BTreeMap<DatagramId, Held<V>>,
    /// Serial numbers grow with arrival.
    by_age: BTreeMap<u64, DatagramId>,
    by_pair: BTreeSet<(Pair, u64)>,
    pairs: BTreeMap<Pair, Load>,
    serial: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Held<V> {
    value: V,
    serial: u64,
    since: Timestamp,
    bytes: usize,
}

/// What a pair of hosts holds.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    datagrams: usize,
    bytes: usize,
}

impl<V> Datagrams<V> {
    /// With nothing held.
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            held: BTreeMap::new(),
            by_age: BTreeMap::new(),
            by_pair: BTreeSet::new(),
            pairs: BTreeMap::new(),
            serial: 0,
            bytes: 0,
        }
    }

    /// Most memory that the table takes for each datagram, apart from what is charged for.
    pub const fn most_memory_each() -> usize {
        tree_bytes(size_of::<(DatagramId, Held<V>)>())
            + tree_bytes(size_of::<(u64, DatagramId)>())
            + tree_bytes(size_of::<(Pair, u64)>())
            + tree_bytes(size_of::<(Pair, Load)>())
    }

    /// Datagrams held.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Bytes charged for, over all datagrams.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// What is held of a datagram.
    pub fn get(&self, id: &DatagramId) -> Option<&V> {
        self.held.get(id).map(|held| &held.value)
    }

    /// As [`get`](Self::get).
    pub fn get_mut(&mut self, id: &DatagramId) -> Option<&mut V> {
        self.held.get_mut(id).map(|held| &mut held.value)
    }

    /// Holds something of a datagram, from now on; what was held of it before goes. Ask for
    /// [`pop_crowded_out`](Self::pop_crowded_out) next.
    pub fn insert(&mut self, now: Timestamp, id: DatagramId, value: V) {
        self.remove(&id);
        let serial = self.serial;
        self.serial += 1;
        self.held.insert(id, Held { value, serial, since: now, bytes: 0 });
        self.by_age.insert(serial, id);
        self.by_pair.insert((id.pair, serial));
        self.pairs.entry(id.pair).or_default().datagrams += 1;
    }

    /// Takes note of how many bytes a datagram holds by now. Ask for
    /// [`pop_crowded_out`](Self::pop_crowded_out) next.
    pub fn charge(&mut self, id: &DatagramId, bytes: usize) {
        let Some(held) = self.held.get_mut(id) else { return };
        let before = std::mem::replace(&mut held.bytes, bytes);
        self.bytes = self.bytes - before + bytes;
        if let Some(load) = self.pairs.get_mut(&id.pair) {
            load.bytes = load.bytes - before + bytes;
        }
    }

    /// Gives up what is held of a datagram.
    pub fn remove(&mut self, id: &DatagramId) -> Option<V> {
        let Held { value, serial, bytes, .. } = self.held.remove(id)?;
        self.bytes -= bytes;
        self.by_age.remove(&serial);
        self.by_pair.remove(&(id.pair, serial));
        if let Some(load) = self.pairs.get_mut(&id.pair) {
            load.datagrams -= 1;
            load.bytes -= bytes;
            if load.datagrams == 0 {
                self.pairs.remove(&id.pair);
            }
        }
        Some(value)
    }

    /// Gives up the oldest.
    pub fn pop(&mut self) -> Option<V> {
        let id = *self.by_age.first_key_value()?.1;
        self.remove(&id)
    }

    /// Gives up one that is over by `now`. One that is later than `now` by more than the age is
    /// over too: the clock was set back, and might not come there again.
    pub fn pop_expired(&mut self, now: Timestamp) -> Option<V> {
        let id = *self.by_age.first_key_value()?.1;
        let since = self.held.get(&id)?.since;
        let over = now.since(since).max(since.since(now)) > self.limits.age;
        over.then(|| self.remove(&id))?
    }

    /// Gives up one, if more is held than the limits allow now that a datagram of the pair of hosts
    /// of `newest` has come or grown.
    pub fn pop_crowded_out(&mut self, newest: &DatagramId) -> Option<V> {
        let Limits { datagrams, bytes, .. } = self.limits;
        if self.held.len() <= datagrams && self.bytes <= bytes {
            return None;
        }
        let pair = newest.pair;
        let greedy = self.pairs.get(&pair).is_some_and(|load| {
            load.datagrams > 1 && (load.datagrams > datagrams / SHARE || load.bytes > bytes / SHARE)
        });
        let its_oldest = self.by_pair.range((pair, 0)..).next().filter(|_| greedy);
        match its_oldest.and_then(|(_, serial)| self.by_age.get(serial)).copied() {
            Some(id) => self.remove(&id),
            None => self.pop(),
        }
    }
}

/// Most memory of a B-tree map for each of its entries, in bytes. A node has room for 11 entries
/// and, unless it is a leaf, pointers to 12 more nodes; all but the root have at least 5 entries.
pub(crate) const fn tree_bytes(entry: usize) -> usize {
    (11 * entry + 12 * 8 + 16).div_ceil(5)
}
