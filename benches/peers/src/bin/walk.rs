//! The floor: finds every packet of a capture and looks at none.

use std::io;

use vtap_peers::Capture;

fn main() -> io::Result<()> {
    let path = std::env::args_os().nth(1).ok_or_else(|| io::Error::other("usage: walk FILE"))?;
    let (mut packets, mut bytes) = (0_u64, 0_u64);
    for (_, packet) in Capture::open(path)?.packets() {
        packets += 1;
        bytes += packet.len() as u64;
    }
    println!("{packets} packets, {bytes} bytes");
    Ok(())
}
