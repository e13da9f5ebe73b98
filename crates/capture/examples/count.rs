//! What a live source costs: counts the packets of an interface for a while, reading a byte of
//! each, and prints the processor time that this took a packet.
//!
//!     cargo run --release -p vtap-capture --example count -- eth0 10 [ring|pcap] [MEMBERS] [BLOCK_KIB]

use std::env;
use std::error::Error;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use vtap_capture::live::ring::{Options, Ring};
use vtap_capture::live::{Config, Kind, Live, Opened, open};

fn main() -> Result<(), Box<dyn Error>> {
    let now = |clock| {
        let time = clock_gettime(clock);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
    };
    let arguments: Vec<_> = env::args().skip(1).collect();
    let argument = |at: usize, default| arguments.get(at).map_or(default, String::as_str);
    let seconds: u64 = argument(1, "10").parse()?;
    let config = Config {
        kind: Kind::Pcap,
        interfaces: vec![argument(0, "any").to_owned()],
        plain: true,
        ..Config::default()
    };
    let options = Options {
        members: argument(3, "1").parse()?,
        block_bytes: argument(4, "256").parse::<usize>()? << 10,
        ..Options::default()
    };
    let mut sources = match argument(2, "ring") {
        "pcap" => open(&config)?,
        _ => Ring::open_all(&config, &options)?.into_iter().map(Opened::Ring).collect(),
    };
    let wait = Duration::from_millis(if sources.len() == 1 { 100 } else { 1 });
    let end = now(ClockId::Monotonic) + Duration::from_secs(seconds);
    let before = now(ClockId::ProcessCPUTime);
    let (mut packets, mut bytes, mut sum) = (0, 0, 0_u64);
    while now(ClockId::Monotonic) < end {
        for source in &mut sources {
            packets += source.poll(wait, |packet| {
                bytes += packet.data.len();
                sum += u64::from(packet.data.get(30).copied().unwrap_or(0));
            })?;
        }
    }
    let spent = now(ClockId::ProcessCPUTime).saturating_sub(before);
    println!("{packets} packets, {bytes} bytes, {sum}");
    println!(
        "{:.1} ns of processor time a packet",
        spent.as_nanos() as f64 / packets.max(1) as f64
    );
    for source in &mut sources {
        println!("{:?}", source.counters()?);
    }
    Ok(())
}
