//! Fragments of the customer's packets: put together, and accounted to their flow.
//!
//! A datagram is judged once, when it is complete, as the kernel does. Its fragments are packets of
//! the flow nevertheless, and only the first one shows the ports. They are accounted together, when
//! the datagram is complete or was given up; where the capture has cut them, so that it never will
//! be complete, each at once, as soon as the first has come.

use std::mem;
use std::net::SocketAddr;

use vtap_packet::datagrams::{DatagramId, Datagrams, Scope};
use vtap_packet::reassembly::{Datagram, Pushed, Reassembler, Stats};
use vtap_packet::{Ip, Packet, Protocol, Timestamp, Vni};

use crate::key::{End, Key};
use crate::limits;
use crate::read::ports;
use crate::{copies, icmp};

/// The pool of datagrams in work, and what is known of their fragments.
#[derive(Debug)]
pub(crate) struct Fragments {
    pool: Reassembler,
    accounts: Accounts,
}

/// Fragments that their flows do not count yet.
#[derive(Debug)]
struct Accounts {
    open: Datagrams<Account>,
    settled: Vec<Accounted>,
}

/// Those of one datagram.
#[derive(Debug, Default)]
struct Account {
    packets: u32,
    bytes: u64,
    /// The first fragment, which tells the flow.
    first: Option<(Key, End)>,
    /// One was cut by the capture, so nothing will be complete.
    cut: bool,
}

/// Fragments to be counted to their flow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accounted {
    pub(crate) key: Key,
    pub(crate) from: End,
    pub(crate) packets: u32,
    /// Of their IP packets.
    pub(crate) bytes: u64,
    /// Place in its batch of the packet that settled them.
    pub(crate) behind: usize,
    /// Whether that packet is the datagram that they are of.
    pub(crate) of_datagram: bool,
}

/// Old accounts closed with each fragment that comes: more than are opened, and few enough that a
/// batch stays small.
const CLOSED: usize = 2;

impl Fragments {
    pub(crate) fn new() -> Self {
        let accounts = Accounts { open: Datagrams::new(limits::FRAGMENTS), settled: Vec::new() };
        Self { pool: Reassembler::new(limits::FRAGMENTS), accounts }
    }

    pub(crate) const fn stats(&self) -> Stats {
        self.pool.stats()
    }

    /// Takes a fragment. `Some` if it was the last one missing.
    pub(crate) fn take(
        &mut self,
        packet: &Packet<'_>,
        vni: Vni,
        ip: &Ip<'_>,
    ) -> Option<Datagram<'_>> {
        let scope = Scope::of(packet);
        let id = DatagramId::of(scope, ip)?;
        let datagram = match self.pool.push(packet.time, scope, ip) {
            Pushed::Absorbed => None,
            Pushed::Complete(datagram) => Some(datagram),
        };
        self.accounts.count(packet.time, id, vni, ip, datagram.is_some());
        datagram
    }

    /// What has been accounted since the last call.
    pub(crate) fn accounted(&mut self) -> impl Iterator<Item = Accounted> {
        self.accounts.settled.drain(..)
    }

    /// Gives up all that waits: the input has ended.
    pub(crate) fn finish(&mut self) {
        self.pool.finish();
        let Accounts { open, settled } = &mut self.accounts;
        while let Some(mut account) = open.pop() {
            settled.extend(account.settle());
        }
    }
}

impl Accounts {
    /// Counts a fragment; one that completes its datagram is judged and counted as that.
    fn count(&mut self, now: Timestamp, id: DatagramId, vni: Vni, ip: &Ip<'_>, completes: bool) {
        let Self { open, settled } = self;
        for _ in 0..CLOSED {
            let Some(mut old) = open.pop_expired(now) else { break };
            settled.extend(old.settle());
        }
        if open.get(&id).is_none() {
            open.insert(now, id, Account::default());
        }
        if let Some(account) = open.get_mut(&id) {
            if !completes {
                account.packets = account.packets.saturating_add(1);
                account.bytes += u64::from(copies::len(ip));
            }
            account.first = told(ip, vni).or(account.first);
            account.cut |= !Reassembler::accepts(ip);
            if completes || account.cut {
                let settle = account.settle();
                settled.extend(settle.map(|one| Accounted { of_datagram: completes, ..one }));
            }
        }
        if completes {
            open.remove(&id);
        }
        while let Some(mut crowded_out) = open.pop_crowded_out(&id) {
            settled.extend(crowded_out.settle());
        }
    }
}

impl Account {
    /// What is to be counted, if the flow is known.
    fn settle(&mut self) -> Option<Accounted> {
        let (key, from) = self.first.filter(|_| self.packets > 0)?;
        let (packets, bytes) = (mem::take(&mut self.packets), mem::take(&mut self.bytes));
        Some(Accounted { key, from, packets, bytes, behind: 0, of_datagram: false })
    }
}

/// What a fragment tells of its flow.
fn told(ip: &Ip<'_>, vni: Vni) -> Option<(Key, End)> {
    let is_first = ip.fragment.is_some_and(|fragment| fragment.offset == 0);
    let ports = match ip.protocol {
        Protocol::TCP | Protocol::UDP | Protocol::SCTP | Protocol::UDP_LITE if is_first => {
            ports(ip.payload)
        }
        Protocol::ICMP | Protocol::ICMPV6 if is_first => icmp::identifier(ip).map(|id| (id, id)),
        Protocol::TCP
        | Protocol::UDP
        | Protocol::SCTP
        | Protocol::UDP_LITE
        | Protocol::ICMP
        | Protocol::ICMPV6 => None,
        _ => Some((0, 0)),
    };
    let (src, dst) = ports?;
    let (src, dst) = (SocketAddr::new(ip.src, src), SocketAddr::new(ip.dst, dst));
    Some(Key::new(src, dst, ip.protocol, vni))
}
