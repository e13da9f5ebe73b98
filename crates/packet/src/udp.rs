//! UDP (RFC 768).

use etherparse::UdpHeaderSlice;

use crate::error::{Layer, Malformed};

/// A UDP header and its payload.
#[derive(Clone, Copy, Debug)]
pub struct Udp<'a> {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Payload, cut to the length field. A length of zero (a jumbogram, or a super-packet of
    /// segmentation offload) or one beyond the packet stands for all that is there.
    pub payload: &'a [u8],
    /// Length of the payload that the header claims, in bytes; `None` where it does not say.
    pub payload_len: Option<usize>,
}

impl<'a> Udp<'a> {
    /// Length of the header in bytes.
    pub const HEADER_LEN: usize = 8;

    /// Reads the header at the start of `bytes`.
    ///
    /// # Errors
    ///
    /// Fewer than 8 bytes, or a length field below 8 that is not zero.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let short = Malformed::short(Layer::Udp, Self::HEADER_LEN, bytes.len());
        let header = UdpHeaderSlice::from_slice(bytes).map_err(|_| short)?;
        let (payload_len, end) = match usize::from(header.length()) {
            0 => (None, bytes.len()),
            len if len < Self::HEADER_LEN => return Err(Malformed::field(Layer::Udp, len)),
            len => (Some(len - Self::HEADER_LEN), len.min(bytes.len())),
        };
        Ok(Self {
            src_port: header.source_port(),
            dst_port: header.destination_port(),
            payload: bytes.get(Self::HEADER_LEN..end).ok_or(short)?,
            payload_len,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_field_cuts_the_payload() {
        let udp = Udp::parse(&[0, 1, 0, 2, 0, 10, 0, 0, 7, 7, 9, 9]).unwrap();
        assert_eq!((udp.src_port, udp.dst_port, udp.payload), (1, 2, &[7, 7][..]));
    }

    #[test]
    fn a_length_of_zero_means_all_and_of_seven_is_malformed() {
        assert_eq!(Udp::parse(&[0, 1, 0, 2, 0, 0, 0, 0, 7]).unwrap().payload, &[7]);
        assert!(Udp::parse(&[0, 1, 0, 2, 0, 7, 0, 0, 7]).is_err());
    }
}
