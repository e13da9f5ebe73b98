//! From text to filters.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde_json::Value;

use super::{End, Filter, Filters, Transport};

/// Why a text is no filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A piece that stands before any key.
    #[error("{0:?} is no key=value; keys are {KEYS}")]
    NoKey(String),
    /// A key that there is not.
    #[error("unknown key {0:?}; keys are {KEYS}")]
    UnknownKey(String),
    /// A key that was there before.
    #[error("{0} is given twice; separate the items of a list with ;")]
    Twice(&'static str),
    /// A value that does not fit its key.
    #[error("{key}: {item:?}: {why}")]
    Value {
        /// The key.
        key: &'static str,
        /// The item of its list.
        item: String,
        /// What is expected.
        why: &'static str,
    },
    /// Ports of a protocol that has none.
    #[error("ICMP has no ports; leave out localPort and remotePort, or the protocol")]
    IcmpPorts,
    /// JSON that does not parse, or is neither a filter nor a list of filters.
    #[error("no filter in JSON: {0}")]
    Json(String),
}

const KEYS: &str = "protocol, localIPAddress, localPort, remoteIPAddress, remotePort";

/// One or several, in any of the forms of the [module](super).
impl FromStr for Filters {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        if !text.starts_with(['{', '[']) {
            return Ok(Self(vec![pairs(text)?]));
        }
        match serde_json::from_str(text).map_err(|error| Error::Json(error.to_string()))? {
            Value::Array(filters) => {
                filters.into_iter().map(json).collect::<Result<_, _>>().map(Self)
            }
            filter => Ok(Self(vec![json(filter)?])),
        }
    }
}

/// Joined: one of all of them has to match.
impl FromIterator<Self> for Filters {
    fn from_iter<I: IntoIterator<Item = Self>>(all: I) -> Self {
        Self(all.into_iter().flat_map(|filters| filters.0).collect())
    }
}

/// `key=value,key=value`.
fn pairs(text: &str) -> Result<Filter, Error> {
    let mut keys: Vec<(Key, Vec<&str>)> = Vec::new();
    for piece in text.split(',') {
        match (piece.split_once('='), keys.last_mut()) {
            (Some((key, value)), _) => keys.push((key.parse()?, vec![value])),
            (None, Some((_, values))) => values.push(piece),
            (None, None) => return Err(Error::NoKey(piece.to_owned())),
        }
    }
    let mut filter = Builder::default();
    for (key, values) in keys {
        filter.set(key, values.into_iter().flat_map(|value| value.split(';')))?;
    }
    filter.finish()
}

/// An object as in the API, where an empty value is none.
fn json(filter: Value) -> Result<Filter, Error> {
    let Value::Object(keys) = filter else {
        return Err(Error::Json("expected an object, or a list of them".to_owned()));
    };
    let mut filter = Builder::default();
    for (name, value) in keys {
        let key = name.parse()?;
        let value = match value {
            Value::Null => continue,
            Value::String(text) if text.trim().is_empty() => continue,
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            _ => return Err(Error::Json(format!("{key}: expected a string"))),
        };
        filter.set(key, value.split([';', ',']))?;
    }
    filter.finish()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Protocol,
    LocalAddress,
    LocalPort,
    RemoteAddress,
    RemotePort,
}

impl Key {
    const ALL: [Self; 5] = [
        Self::Protocol,
        Self::LocalAddress,
        Self::LocalPort,
        Self::RemoteAddress,
        Self::RemotePort,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Protocol => "protocol",
            Self::LocalAddress => "localIPAddress",
            Self::LocalPort => "localPort",
            Self::RemoteAddress => "remoteIPAddress",
            Self::RemotePort => "remotePort",
        }
    }
}

impl FromStr for Key {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let known = Self::ALL.into_iter().find(|key| key.name().eq_ignore_ascii_case(text));
        known.ok_or_else(|| Error::UnknownKey(text.to_owned()))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A filter on the way, which has each key once.
#[derive(Default)]
struct Builder {
    filter: Filter,
    seen: Vec<Key>,
}

impl Builder {
    fn set<'a>(&mut self, key: Key, items: impl Iterator<Item = &'a str>) -> Result<(), Error> {
        if self.seen.contains(&key) {
            return Err(Error::Twice(key.name()));
        }
        self.seen.push(key);
        let Filter { transport, local, remote } = &mut self.filter;
        for (index, item) in items.map(str::trim).enumerate() {
            let read = match key {
                Key::Protocol if index > 0 => Err("one protocol at most"),
                Key::Protocol => protocol(item).map(|read| *transport = read),
                Key::LocalAddress => addresses(item).map(|range| local.addresses.push(range)),
                Key::RemoteAddress => addresses(item).map(|range| remote.addresses.push(range)),
                Key::LocalPort => ports(item).map(|range| local.ports.push(range)),
                Key::RemotePort => ports(item).map(|range| remote.ports.push(range)),
            };
            read.map_err(|why| Error::Value { key: key.name(), item: item.to_owned(), why })?;
        }
        Ok(())
    }

    fn finish(self) -> Result<Filter, Error> {
        let Filter {
            transport,
            local: End { ports: local, .. },
            remote: End { ports: remote, .. },
        } = &self.filter;
        if *transport == Transport::Icmp && !(local.is_empty() && remote.is_empty()) {
            return Err(Error::IcmpPorts);
        }
        Ok(self.filter)
    }
}

fn protocol(item: &str) -> Result<Transport, &'static str> {
    let all = [Transport::Tcp, Transport::Udp, Transport::Icmp, Transport::Any];
    let known = all.into_iter().find(|known| known.name().eq_ignore_ascii_case(item));
    known.ok_or("expected TCP, UDP, ICMP or Any")
}

const PORTS: &str = "expected a port, 0 to 65535, or a range of them, as 80-1024";

fn ports(item: &str) -> Result<RangeInclusive<u16>, &'static str> {
    let (first, last) = item.split_once('-').unwrap_or((item, item));
    let port = |text: &str| text.trim().parse::<u16>().map_err(|_| PORTS);
    ordered(port(first)?, port(last)?)
}

const ADDRESSES: &str = "expected an address, a range, as 10.0.0.0-10.0.0.255, or a subnet, as \
                         10.0.0.0/24";

fn addresses(item: &str) -> Result<RangeInclusive<IpAddr>, &'static str> {
    let address = |text: &str| text.trim().parse::<IpAddr>().map_err(|_| ADDRESSES);
    if let Some((subnet, len)) = item.split_once('/') {
        return self::subnet(address(subnet)?, len.parse().map_err(|_| ADDRESSES)?);
    }
    let (first, last) = item.split_once('-').unwrap_or((item, item));
    let (first, last) = (address(first)?, address(last)?);
    if first.is_ipv4() != last.is_ipv4() {
        return Err("the ends are of two address families");
    }
    ordered(first, last)
}

/// All addresses of a subnet, whichever of them it is written with.
fn subnet(address: IpAddr, len: u32) -> Result<RangeInclusive<IpAddr>, &'static str> {
    const TOO_LONG: &str = "the prefix is longer than the address";
    Ok(match address {
        IpAddr::V4(address) => {
            let host = u32::MAX.checked_shr(len).unwrap_or(0);
            let first = u32::from(address) & !host;
            if len > Ipv4Addr::BITS {
                return Err(TOO_LONG);
            }
            IpAddr::V4(first.into())..=IpAddr::V4((first | host).into())
        }
        IpAddr::V6(address) => {
            let host = u128::MAX.checked_shr(len).unwrap_or(0);
            let first = u128::from(address) & !host;
            if len > Ipv6Addr::BITS {
                return Err(TOO_LONG);
            }
            IpAddr::V6(first.into())..=IpAddr::V6((first | host).into())
        }
    })
}

fn ordered<T: PartialOrd>(first: T, last: T) -> Result<RangeInclusive<T>, &'static str> {
    if first > last { Err("the range ends before it begins") } else { Ok(first..=last) }
}
