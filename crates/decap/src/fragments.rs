//! Envelopes that come in fragments, told from other datagrams that do.

use vtap_packet::datagrams::{DatagramId, Datagrams, Scope};
use vtap_packet::reassembly::{Limits, Pushed, Reassembler, Stats};
use vtap_packet::udp::Udp;
use vtap_packet::{Ip, Packet, Timestamp};

use crate::PortSet;

/// The pool of envelopes in work.
#[derive(Debug)]
pub(crate) struct Fragments {
    pool: Reassembler,
    /// Datagrams whose first fragment went to another port: the others, which show none, are not
    /// waited for.
    plain: Datagrams<()>,
}

/// What a fragment of a UDP datagram is.
pub(crate) enum Taken<'a> {
    /// Of a datagram that is no envelope.
    Plain,
    /// Held or dropped, as the counters of the pool tell.
    Absorbed,
    /// One that the pool cannot work with.
    Unfit,
    /// The last one missing; with the payload of the datagram.
    Complete(&'a [u8]),
}

impl Fragments {
    pub(crate) fn new(limits: Limits) -> Self {
        // Of the plain ones no bytes are held.
        let plain = Datagrams::new(Limits { bytes: usize::MAX, ..limits });
        Self { pool: Reassembler::new(limits), plain }
    }

    pub(crate) const fn stats(&self) -> Stats {
        self.pool.stats()
    }

    pub(crate) fn finish(&mut self) {
        self.pool.finish();
    }

    /// Takes a fragment of a UDP datagram. The first one shows the port. Others that come before
    /// it wait; whether they were of an envelope is told when all is there.
    pub(crate) fn take(&mut self, packet: &Packet<'_>, ip: &Ip<'_>, ports: &PortSet) -> Taken<'_> {
        let scope = Scope::of(packet);
        if let Some(id) = DatagramId::of(scope, ip)
            && self.is_plain(packet.time, id, ip, ports)
        {
            return Taken::Plain;
        }
        if !Reassembler::accepts(ip) {
            return Taken::Unfit;
        }
        match self.pool.push(packet.time, scope, ip) {
            Pushed::Absorbed => Taken::Absorbed,
            Pushed::Complete(datagram) => Taken::Complete(datagram.payload),
        }
    }

    fn is_plain(&mut self, now: Timestamp, id: DatagramId, ip: &Ip<'_>, ports: &PortSet) -> bool {
        while self.plain.pop_expired(now).is_some() {}
        if ip.fragment.is_none_or(|fragment| fragment.offset > 0) {
            return self.plain.get(&id).is_some();
        }
        let envelope = Udp::parse(ip.payload).is_ok_and(|udp| ports.contains(udp.dst_port));
        if envelope {
            // The number is used again, for an envelope.
            self.plain.remove(&id);
        } else {
            self.plain.insert(now, id, ());
            while self.plain.pop_crowded_out(&id).is_some() {}
        }
        !envelope
    }
}
