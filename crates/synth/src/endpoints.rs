//! Addresses and ports, from the number of the connection.

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::connection::Side;
use crate::random::scramble;

/// Who speaks with whom, and who mirrors it.
///
/// The servers are the tapped machines. Numbers count up, so 1.8 thousand million connections are
/// opened before addresses and ports come again: even in a capture of 100,000 connections a second
/// that is hours after `TIME_WAIT`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Endpoints {
    pub(crate) client: SocketAddrV4,
    pub(crate) server: SocketAddrV4,
    /// UDP source ports of the envelopes of client and server.
    entropy: [u16; 2],
}

/// Where the mirror is sent to.
pub(crate) const COLLECTOR: Ipv4Addr = Ipv4Addr::new(10, 3, 0, 4);

/// 10.64.0.0/16.
const FIRST_CLIENT: u32 = 0x0a40_0000;
const CLIENTS: u64 = 1 << 16;
/// Ephemeral ports as Linux has them (`net.ipv4.ip_local_port_range`), the last few aside.
const FIRST_PORT: u16 = 32_768;
const PORTS: u64 = 28_000;
/// 10.2.0.4, the first address of a cloud's subnet that a machine can have.
const FIRST_SERVER: u32 = 0x0a02_0004;
const SERVERS: u64 = 16;
const SERVER_PORT: u16 = 443;
/// First of the UDP source ports that RFC 7348 section 5 recommends; the range has 2^14.
const FIRST_ENTROPY: u16 = 49_152;

impl Endpoints {
    pub(crate) fn of(connection: u64) -> Self {
        let scrambled = scramble(connection);
        let client = Ipv4Addr::from_bits(FIRST_CLIENT + (connection % CLIENTS) as u32);
        let port = FIRST_PORT + (connection / CLIENTS % PORTS) as u16;
        let server = Ipv4Addr::from_bits(FIRST_SERVER + (scrambled % SERVERS) as u32);
        let entropy = [scrambled >> 16, scrambled >> 32].map(|hash| (hash & 0x3fff) as u16);
        Self {
            client: SocketAddrV4::new(client, port),
            server: SocketAddrV4::new(server, SERVER_PORT),
            entropy: entropy.map(|hash| FIRST_ENTROPY + hash),
        }
    }

    /// Source and destination of what this side sends.
    pub(crate) const fn from(&self, side: Side) -> (SocketAddrV4, SocketAddrV4) {
        match side {
            Side::Client => (self.client, self.server),
            Side::Server => (self.server, self.client),
        }
    }

    /// Source and destination of the envelope around what this side sends.
    pub(crate) const fn envelope(&self, side: Side) -> (SocketAddrV4, SocketAddrV4) {
        let [client, server] = self.entropy;
        let port = match side {
            Side::Client => client,
            Side::Server => server,
        };
        (SocketAddrV4::new(*self.server.ip(), port), SocketAddrV4::new(COLLECTOR, 4789))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_no_pair_of_addresses_and_ports() {
        let mut pairs: Vec<_> = (0..200_000).map(|n| Endpoints::of(n).client).collect();
        pairs.sort();
        pairs.dedup();
        assert_eq!(pairs.len(), 200_000);
        let (first, last) = (Endpoints::of(0), Endpoints::of(CLIENTS * PORTS - 1));
        assert_eq!(Endpoints::of(CLIENTS * PORTS).client, first.client);
        assert_eq!(last.client, "10.64.255.255:60767".parse().unwrap());
    }

    #[test]
    fn the_envelope_has_a_port_for_each_direction() {
        let endpoints = Endpoints::of(5);
        let (from_client, to) = endpoints.envelope(Side::Client);
        let (from_server, _) = endpoints.envelope(Side::Server);
        assert_ne!(from_client.port(), from_server.port());
        assert_eq!(from_client.ip(), endpoints.server.ip());
        assert_eq!(to, "10.3.0.4:4789".parse().unwrap());
        for number in 0..1000 {
            assert!(Endpoints::of(number).envelope(Side::Client).0.port() >= 49_152);
        }
    }
}
