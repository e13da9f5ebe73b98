//! Addresses of network cards.

use std::fmt;
use std::str::FromStr;

/// An IEEE 802 MAC address (EUI-48), as it is on the wire.
///
/// Written `00:22:48:71:c2:05`; read with colons, with dashes, or with nothing between the digits,
/// as the cloud's logs write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Whether a frame to it is for more than one card: multicast and broadcast.
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// The text is no MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotMac;

impl fmt::Display for NotMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a MAC address, as in 00:22:48:71:c2:05")
    }
}

impl std::error::Error for NotMac {}

impl FromStr for Mac {
    type Err = NotMac;

    fn from_str(text: &str) -> Result<Self, NotMac> {
        let bytes = text.as_bytes();
        let step = match bytes.len() {
            12 => 2,
            17 => 3,
            _ => return Err(NotMac),
        };
        let separator = bytes.get(2).filter(|_| step == 3);
        if separator.is_some_and(|separator| !matches!(separator, b':' | b'-')) {
            return Err(NotMac);
        }
        let mut mac = [0; 6];
        for (byte, group) in mac.iter_mut().zip(bytes.chunks(step)) {
            let [high, low, rest @ ..] = group else { return Err(NotMac) };
            if rest.first().is_some_and(|rest| Some(rest) != separator) {
                return Err(NotMac);
            }
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Ok(Self(mac))
    }
}

fn digit(byte: u8) -> Result<u8, NotMac> {
    let digit = char::from(byte).to_digit(16).ok_or(NotMac)?;
    u8::try_from(digit).map_err(|_| NotMac)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_people_and_the_cloud_write_it() {
        let mac = Mac([0x00, 0x22, 0x48, 0x71, 0xc2, 0x05]);
        assert_eq!(mac.to_string(), "00:22:48:71:c2:05");
        for text in ["00:22:48:71:c2:05", "00-22-48-71-C2-05", "00224871C205"] {
            assert_eq!(text.parse(), Ok(mac), "{text}");
        }
        for text in [
            "",
            "00:22:48:71:c2",
            "00:22:48-71:c2:05",
            "00:22:48:71:c2:0g",
            "0022.4871.c205",
            "é0224871c20",
        ] {
            assert_eq!(text.parse::<Mac>(), Err(NotMac), "{text}");
        }
    }

    #[test]
    fn the_first_bit_on_the_wire_tells_a_group() {
        assert!(Mac([0xff; 6]).is_group() && Mac([1, 0, 0x5e, 0, 0, 1]).is_group());
        assert!(!Mac([2, 0, 0, 0, 0, 1]).is_group());
    }
}
