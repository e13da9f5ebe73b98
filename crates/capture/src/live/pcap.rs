//! Capture through libpcap: TPACKET_V3 behind it, whose slots are lent without a copy.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use pcap::{Active, Capture, Linktype, PacketHeader, Precision};
use vtap_packet::{LinkType, Packet, Timestamp};

use super::wait::ready;
use super::{Config, Counters, Live, expression};
use crate::{Error, Interface};

/// Packets handed over of an interface before the others, and the caller, have their turn.
const BATCH: usize = 4096;

/// Milliseconds after which the kernel hands over a block of packets that is not full.
const RETIRE: i32 = 50;

/// One or several interfaces, each with a ring of its own. Of two that deliver at the same time one
/// comes first, up to a block of packets long.
#[derive(Debug)]
pub struct Pcap {
    handles: Vec<Handle>,
    interfaces: Vec<Interface>,
    number: u64,
}

struct Handle {
    capture: Capture<Active>,
    name: String,
    link: LinkType,
    /// What libpcap counted when it was last asked; its counters are 32 bits wide.
    last: [u32; 3],
    counters: Counters,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Pcap {
    /// Opens the interfaces of a configuration; those of this machine as one where none is named.
    ///
    /// # Errors
    ///
    /// An interface that is not there, a missing capability, a filter that does not compile.
    pub fn open(config: &Config) -> Result<Self, Error> {
        let any = ["any".to_owned()];
        let names = if config.named().is_empty() { &any } else { config.named() };
        let handles =
            names.iter().map(|name| Handle::open(name, config)).collect::<Result<Vec<_>, _>>()?;
        let interface = |handle: &Handle| Interface {
            link: handle.link,
            snaplen: config.snaplen,
            name: handle.name.clone(),
        };
        let interfaces = handles.iter().map(interface).collect();
        Ok(Self { handles, interfaces, number: 0 })
    }

    /// Waits until a ring has packets.
    fn wait(&self, wait: Duration) -> Result<(), Error> {
        let fds = self.handles.iter().map(|handle| handle.capture.as_fd());
        ready(fds, wait).map_err(|cause| self.failed("wait for packets", cause)).map(drop)
    }

    fn failed(&self, step: &'static str, cause: io::Error) -> Error {
        let names: Vec<_> = self.handles.iter().map(|handle| handle.name.as_str()).collect();
        Error::live(names.join(", "), step, cause, "try again")
    }
}

impl Live for Pcap {
    fn poll(&mut self, wait: Duration, mut take: impl FnMut(Packet<'_>)) -> Result<usize, Error> {
        let mut all = 0;
        for pass in 0..2 {
            for (interface, handle) in (0..).zip(&mut self.handles) {
                let link = handle.link;
                let number = &mut self.number;
                let took = handle.capture.dispatch(Some(BATCH), |packet| {
                    *number += 1;
                    take(Packet {
                        number: *number,
                        time: time(packet.header),
                        link,
                        interface,
                        wire_len: packet.header.len.max(packet.header.caplen),
                        data: packet.data,
                        tunnel: None,
                    });
                });
                all += took.map_err(|error| handle.failed("read packets", error))?;
            }
            if all > 0 || pass > 0 {
                break;
            }
            self.wait(wait)?;
        }
        Ok(all)
    }

    fn counters(&mut self) -> Result<Counters, Error> {
        let mut all = Counters::default();
        for handle in &mut self.handles {
            handle.count()?;
            all += handle.counters;
        }
        Ok(all)
    }

    fn interface(&self, id: u32) -> Option<&Interface> {
        self.interfaces.get(id as usize)
    }
}

impl Handle {
    fn open(name: &str, config: &Config) -> Result<Self, Error> {
        let failed = |step| move |error| failed(name, step, error);
        let buffer = i32::try_from(config.buffer).unwrap_or(i32::MAX);
        let mut capture = Capture::from_device(name)
            .map_err(failed("open the interface"))?
            .promisc(config.promiscuous)
            .snaplen(i32::try_from(config.snaplen).unwrap_or(i32::MAX))
            .buffer_size(buffer)
            .timeout(RETIRE)
            .precision(Precision::Nano)
            .open()
            .map_err(failed("open the interface"))?
            .setnonblock()
            .map_err(failed("read without waiting"))?;
        // Only this one says which interface a packet of `any` came by.
        if capture.get_datalink() == Linktype::LINUX_SLL {
            capture.set_datalink(Linktype::LINUX_SLL2).map_err(failed("ask for SLL2 headers"))?;
        }
        let link = link_type(capture.get_datalink());
        if let Some(expression) = expression::for_link(config, link)? {
            capture.filter(&expression, true).map_err(failed("set the filter"))?;
        }
        let name = name.to_owned();
        Ok(Self { capture, name, link, last: [0; 3], counters: Counters::default() })
    }

    fn count(&mut self) -> Result<(), Error> {
        let stat = self.capture.stats().map_err(|error| self.failed("read its counters", error))?;
        let now = [stat.received, stat.dropped, stat.if_dropped];
        let [received, dropped, interface_dropped] = std::array::from_fn(|at| {
            let (now, last) = (now.get(at), self.last.get(at));
            now.zip(last).map_or(0, |(now, last)| u64::from(now.wrapping_sub(*last)))
        });
        self.last = now;
        self.counters += Counters { received, dropped, freezes: 0, interface_dropped };
        Ok(())
    }

    fn failed(&self, step: &'static str, error: pcap::Error) -> Error {
        failed(&self.name, step, error)
    }
}

fn failed(name: &str, step: &'static str, error: pcap::Error) -> Error {
    let why = error.to_string();
    let why = why.trim_start_matches("libpcap error: ");
    let remedy = if why.contains("permission") || why.contains("not permitted") {
        "run as root, give the binary cap_net_raw (setcap cap_net_raw=ep), or use --source udp"
    } else if why.contains("No such device") {
        "ip link lists the interfaces there are"
    } else {
        "see what ip link says of it"
    };
    Error::live(name, step, io::Error::other(why.to_owned()), remedy)
}

/// The number in files of a link type that libpcap numbers otherwise in memory.
fn link_type(link: Linktype) -> LinkType {
    match link {
        Linktype(12 | 14) => LinkType::RAW,
        Linktype(number) => LinkType(u16::try_from(number).unwrap_or(u16::MAX)),
    }
}

/// With [`Precision::Nano`] the field for microseconds holds nanoseconds.
fn time(header: &PacketHeader) -> Timestamp {
    let part = |value: i64| u64::try_from(value).unwrap_or_default();
    Timestamp::new(part(header.ts.tv_sec), part(header.ts.tv_usec))
}
