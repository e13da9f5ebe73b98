//! How the values of a row are written as bytes.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Appends `text` as it is. Names in events are plain ASCII, so no format has to escape them.
pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// Appends the first `len` bytes of `word`, at most eight. Copying eight whatever the length takes
/// one instruction; copying as many as there are, a call.
#[inline]
fn prefix(out: &mut Vec<u8>, word: [u8; 8], len: usize) {
    let end = out.len() + len;
    out.extend_from_slice(&word);
    out.truncate(end);
}

/// Appends a number in decimal. Inline, so that the length of the row stays in a register from one
/// field to the next.
#[inline(always)]
pub(crate) fn number(out: &mut Vec<u8>, number: impl Into<u64>) {
    let number = number.into();
    if number < EIGHT_DIGITS {
        let digits = eight_digits(number);
        // Zeros in front are the lowest bytes; the last digit stays even if it is one.
        let unused = (digits | 1 << 56).trailing_zeros() / 8;
        let shown = (digits | ZEROS) >> (8 * unused);
        prefix(out, shown.to_le_bytes(), 8 - unused as usize);
    } else {
        long_number(out, number);
    }
}

/// As [`number`], for what has one digit nearly always.
#[inline(always)]
pub(crate) fn small_number(out: &mut Vec<u8>, small: impl Into<u64>) {
    match small.into() {
        small @ 0..10 => out.push(b'0' + (small % 10) as u8),
        small => number(out, small),
    }
}

#[cold]
fn long_number(out: &mut Vec<u8>, long: u64) {
    number(out, long / EIGHT_DIGITS);
    out.extend_from_slice(&(eight_digits(long % EIGHT_DIGITS) | ZEROS).to_le_bytes());
}

/// Appends a number below 10^9 with zeros in front.
#[inline]
pub(crate) fn nine_digits(out: &mut Vec<u8>, number: u32) {
    let number = u64::from(number);
    out.push(b'0' + (number / EIGHT_DIGITS % 10) as u8);
    out.extend_from_slice(&(eight_digits(number % EIGHT_DIGITS) | ZEROS).to_le_bytes());
}

/// The least number that does not fit eight digits.
const EIGHT_DIGITS: u64 = 100_000_000;

/// Makes characters of digits.
const ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);

/// The value of each decimal digit of a number below 10^8, the first in the lowest byte.
///
/// Splits in two, again and again, all parts at a time. Where a quotient is taken by multiplying,
/// the factor is close enough to the reciprocal for all values that occur, and no part grows into
/// the one above it.
#[inline]
const fn eight_digits(number: u64) -> u64 {
    let fours = (number / 10_000) | (number % 10_000) << 32;
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let twos = hundreds | (fours - hundreds * 100) << 16;
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | (twos - tens * 10) << 8
}

/// Appends a span in seconds, to the millisecond.
pub(crate) fn seconds(out: &mut Vec<u8>, span: Duration) {
    small_number(out, span.as_secs());
    let millis = span.subsec_millis();
    let [hundreds, tens, ones] =
        [millis / 100, millis / 10, millis].map(|by| b'0' + (by % 10) as u8);
    out.extend_from_slice(&[b'.', hundreds, tens, ones]);
}

/// Appends a byte in hexadecimal, two digits.
pub(crate) fn hex(out: &mut Vec<u8>, byte: u8) {
    out.extend_from_slice(&hex_digits(byte));
}

/// A byte in hexadecimal, two digits.
#[inline]
pub(crate) fn hex_digits(byte: u8) -> [u8; 2] {
    HEX.get(usize::from(byte)).copied().unwrap_or_default()
}

/// Every byte in hexadecimal.
static HEX: [[u8; 2]; 256] = {
    const fn digit(nibble: u8) -> u8 {
        if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
    }
    let mut bytes = [[0; 2]; 256];
    let (mut rest, mut byte): (&mut [[u8; 2]], u8) = (&mut bytes, 0);
    while let [first, others @ ..] = rest {
        *first = [digit(byte >> 4), digit(byte & 0xf)];
        rest = others;
        byte = byte.wrapping_add(1);
    }
    bytes
};

/// Appends an address in its usual form: dotted decimal, or as RFC 5952 has it. Inline as
/// [`number`] is.
#[inline(always)]
pub(crate) fn address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            octets(out, a, b);
            octets(out, c, d);
            // The dot after the last octet.
            out.pop();
        }
        IpAddr::V6(v6) => {
            // Writing to a vector cannot fail.
            let _ = write!(out, "{v6}");
        }
    }
}

/// Appends two octets, each with a dot after it, which together are eight bytes at most.
#[inline]
fn octets(out: &mut Vec<u8>, first: u8, second: u8) {
    let find = |octet: u8| OCTETS.get(usize::from(octet)).copied().unwrap_or_default();
    let ((first, first_len), (second, second_len)) = (find(first), find(second));
    let word = u64::from(first) | u64::from(second) << (8 * first_len);
    prefix(out, word.to_le_bytes(), usize::from(first_len + second_len));
}

/// Every octet in decimal with a dot, the first character in the lowest byte, and how many
/// characters that is.
static OCTETS: [(u32, u8); 256] = {
    let mut octets = [(0, 0); 256];
    let (mut rest, mut octet): (&mut [(u32, u8)], u8) = (&mut octets, 0);
    while let [first, others @ ..] = rest {
        let (hundreds, tens, ones) =
            (b'0' + octet / 100, b'0' + octet / 10 % 10, b'0' + octet % 10);
        let (text, len) = match octet {
            0..10 => ([ones, b'.', 0, 0], 2),
            10..100 => ([tens, ones, b'.', 0], 3),
            100.. => ([hundreds, tens, ones, b'.'], 4),
        };
        *first = (u32::from_le_bytes(text), len);
        rest = others;
        octet = octet.wrapping_add(1);
    }
    octets
};

/// Appends `address:port`, or `[address]:port` for IPv6; a scope is left out.
pub(crate) fn endpoint(out: &mut Vec<u8>, endpoint: SocketAddr) {
    if endpoint.is_ipv6() {
        out.push(b'[');
        address(out, endpoint.ip());
        out.push(b']');
    } else {
        address(out, endpoint.ip());
    }
    out.push(b':');
    number(out, endpoint.port());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_the_standard_library_writes_them() {
        let v4 = (0..=255).map(|octet: u8| IpAddr::from([octet, 0, 255 - octet, octet]));
        let v6 = ["::", "fd00::1:0:0:1", "::ffff:10.0.0.1"].map(|v6| v6.parse().unwrap());
        for ip in v4.chain(v6) {
            let mut out = Vec::new();
            address(&mut out, ip);
            assert_eq!(String::from_utf8(out).unwrap(), ip.to_string());
        }
    }

    #[test]
    fn numbers_of_any_length_are_written_as_the_standard_library_writes_them() {
        let powers = (0..20).map(|exponent| 10_u64.pow(exponent));
        let near = powers.flat_map(|power| [power - 1, power, power + 1, power / 8, power / 7]);
        for value in near.chain(0..100_000).chain([u64::MAX]) {
            let (mut out, mut small) = (Vec::new(), Vec::new());
            number(&mut out, value);
            small_number(&mut small, value);
            assert_eq!(out, small);
            assert_eq!(String::from_utf8(out).unwrap(), value.to_string());
        }
    }

    #[test]
    fn all_fours_of_digits_are_split_as_they_should_be() {
        for four in 0..10_000 {
            let expected = format!("{four:04}{:04}", 9_999 - four);
            let digits = eight_digits(four * 10_000 + 9_999 - four) | ZEROS;
            assert_eq!(digits.to_le_bytes(), expected.as_bytes());
        }
    }

    #[test]
    fn bytes_are_written_in_hexadecimal_as_the_standard_library_writes_them() {
        for byte in 0..=255 {
            assert_eq!(hex_digits(byte), format!("{byte:02x}").as_bytes());
        }
    }

    #[test]
    fn an_ipv6_endpoint_has_brackets_and_no_scope() {
        let mut out = Vec::new();
        endpoint(&mut out, "[fe80::1%7]:443".parse().unwrap());
        assert_eq!(out, b"[fe80::1]:443");
    }
}
