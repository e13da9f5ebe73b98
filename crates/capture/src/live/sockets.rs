//! UDP sockets on the VXLAN ports.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

use crate::Error;

/// Binds a UDP socket to a port of all addresses of this machine: of both versions, or of IPv4 where
/// the machine has no other. `prepare` sees it before.
pub(super) fn bind(
    port: u16,
    prepare: impl Fn(&Socket) -> io::Result<()>,
) -> Result<Socket, Error> {
    let bind = |address: SocketAddr| {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), None)?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        prepare(&socket)?;
        socket.bind(&address.into())?;
        Ok(socket)
    };
    let bound = match bind((Ipv6Addr::UNSPECIFIED, port).into()) {
        Err(error) if lacks_ipv6(&error) => bind((Ipv4Addr::UNSPECIFIED, port).into()),
        bound => bound,
    };
    bound.map_err(|cause: io::Error| {
        let remedy = match cause.kind() {
            io::ErrorKind::AddrInUse => {
                "ss -lunp shows who has it; a VXLAN device (ip -d link show type vxlan) has it too"
            }
            io::ErrorKind::PermissionDenied => "run as root, or give the binary cap_net_raw",
            _ => "see what ip address says",
        };
        Error::live(format!("UDP port {port}"), "bind", cause, remedy)
    })
}

fn lacks_ipv6(error: &io::Error) -> bool {
    let missing = [rustix::io::Errno::AFNOSUPPORT, rustix::io::Errno::ADDRNOTAVAIL];
    missing.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}
