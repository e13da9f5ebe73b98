//! Sends the envelopes of a capture to a collector, as fast as one core can or at a rate, over and over
//! until so many are sent: `flood FILE ADDRESS:PORT PACKETS [PACKETS_PER_SECOND]`.

use std::io::{self, IoSlice};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, sendmmsg};
use vtap_peers::Capture;

/// Ethernet, IPv4 without options, UDP.
const HEADERS: usize = 14 + 20 + 8;

/// Packets of one call of the system.
const BATCH: usize = 64;

fn main() -> io::Result<()> {
    let usage = || io::Error::other("usage: flood FILE ADDRESS:PORT PACKETS [PACKETS_PER_SECOND]");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, to, packets, rate @ ..] = arguments.as_slice() else { return Err(usage()) };
    let mut left: usize = packets.parse().map_err(|_| usage())?;
    let rate: Option<f64> =
        rate.first().map(|rate| rate.parse().map_err(|_| usage())).transpose()?;

    let capture = Capture::open(file)?;
    let payloads: Vec<&[u8]> =
        capture.packets().filter_map(|(_, packet)| packet.get(HEADERS..)).take(left).collect();
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(to)?;
    let mut headers: MultiHeaders<SockaddrIn> = MultiHeaders::preallocate(BATCH, None);
    let (began, all) = (Instant::now(), left);
    let mut payloads = payloads.chunks(BATCH).cycle();
    while left > 0 {
        let Some(batch) = payloads.next() else { return Err(io::Error::other("an empty capture")) };
        let slices: Vec<_> =
            batch.iter().take(left).map(|payload| [IoSlice::new(payload)]).collect();
        let mut at = 0;
        while let Some(rest) = slices.get(at..).filter(|rest| !rest.is_empty()) {
            let addresses = [None; BATCH];
            let sent =
                sendmmsg(socket.as_raw_fd(), &mut headers, rest, addresses, [], MsgFlags::empty())?;
            at += sent.count();
        }
        left -= slices.len();
        if let Some(rate) = rate {
            let due = Duration::from_secs_f64((all - left) as f64 / rate);
            sleep(due.saturating_sub(began.elapsed()));
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{all} packets, {seconds:.3} s, {:.0} packets/s", all as f64 / seconds);
    Ok(())
}
