//! The VXLAN ports, held bound beside a source that does not read from sockets.

use socket2::{SockFilter, Socket};

use super::sockets;
use crate::Error;

/// Keeps UDP ports bound while it lives, and takes nothing from them.
///
/// Packets are captured before they reach any socket. With none bound, the kernel then answers each
/// with an ICMP port unreachable message, toward the machine that is mirrored.
#[derive(Debug)]
pub struct Hold {
    _sockets: Vec<Socket>,
}

impl Hold {
    /// Binds what is free, and says what is not. A port that somebody else has bound is held by that.
    pub fn bind(ports: &[u16]) -> (Self, Vec<Error>) {
        let mut errors = Vec::new();
        let bound = ports.iter().filter_map(|port| {
            let bound = sockets::bind(*port, |socket| socket.attach_filter(&[TAKE_NOTHING]));
            bound.map_err(|error| errors.push(error)).ok()
        });
        (Self { _sockets: bound.collect() }, errors)
    }
}

/// `ret #0`: a classic BPF program that lets no byte of any packet in.
const TAKE_NOTHING: SockFilter = SockFilter::new(0x06, 0, 0, 0);

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn a_held_port_refuses_nobody_and_a_port_of_somebody_else_is_told() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let (_hold, errors) = Hold::bind(&[port]);
        assert!(errors[0].to_string().contains("cannot bind"), "{errors:?}");

        drop(taken);
        let (_hold, errors) = Hold::bind(&[port]);
        assert!(errors.is_empty(), "{errors:?}");
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.connect(("127.0.0.1", port)).unwrap();
        // An ICMP answer would make the second one fail.
        for _ in 0..2 {
            sender.send(b"mirrored").unwrap();
        }
    }
}
