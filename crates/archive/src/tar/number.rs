//! Numbers as tar writes them: octal and base-256 in header fields, decimal in PAX records.

use super::Time;
use crate::{Error, Result};

/// Reads a numeric header field: octal digits between optional spaces and a NUL or space (POSIX), or base-256 in two's
/// complement when the first bit is set (GNU). A blank field is 0, as every reader has it. What stands after the
/// terminator is not looked at.
pub(super) fn field(bytes: &[u8], name: &'static str) -> Result<i64> {
    if bytes[0] & 0x80 != 0 {
        return base256(bytes, name);
    }
    let start = bytes.iter().position(|&byte| byte != b' ').unwrap_or(bytes.len());
    let mut value = 0i64;
    // Twelve octal digits are 36 bits: this cannot overflow.
    for (index, &byte) in bytes.iter().enumerate().skip(start) {
        match byte {
            b'0'..=b'7' => value = value << 3 | i64::from(byte - b'0'),
            0 => break,
            b' ' if bytes[index..]
                .iter()
                .take_while(|&&byte| byte != 0)
                .all(|&byte| byte == b' ') =>
            {
                break;
            }
            _ => {
                return Err(Error::malformed(
                    "tar",
                    format!("the field {name} is not an octal number"),
                ));
            }
        }
    }
    Ok(value)
}

/// Writes `value` in octal with leading zeros and a final NUL; `false` if it does not fit.
pub(super) fn put_octal(field: &mut [u8], value: u64) -> bool {
    let digits = field.len() - 1;
    if value >> (3 * digits) != 0 {
        return false;
    }
    let mut rest = value;
    for byte in field[..digits].iter_mut().rev() {
        *byte = b'0' + (rest & 7) as u8;
        rest >>= 3;
    }
    field[digits] = 0;
    true
}

fn base256(bytes: &[u8], name: &'static str) -> Result<i64> {
    // The first bit is the marker and the second the sign, which fills the rest of the value's 64 bits.
    let negative = bytes[0] & 0x40 != 0;
    let mut value = if negative { -1i64 } else { 0 };
    let first = if negative { bytes[0] | 0x80 } else { bytes[0] & 0x7f };
    for byte in std::iter::once(first).chain(bytes[1..].iter().copied()) {
        let shifted = value.checked_mul(256);
        value = shifted.ok_or_else(|| Error::malformed("tar", format!("the field {name} exceeds 64 bits")))?
            | i64::from(byte);
    }
    Ok(value)
}

/// Reads an unsigned decimal number of a PAX record or a sparse map, at most `i64::MAX`.
pub(super) fn decimal(bytes: &[u8], name: &str) -> Result<u64> {
    let malformed = |what: &str| Error::malformed("tar", format!("{name} {what}"));
    if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_digit) {
        return Err(malformed("is not a decimal number"));
    }
    let digits = bytes.iter().map(|byte| i64::from(byte - b'0'));
    let value = digits
        .into_iter()
        .try_fold(0i64, |value, digit| value.checked_mul(10)?.checked_add(digit));
    value
        .map(i64::unsigned_abs)
        .ok_or_else(|| malformed("exceeds 2^63 - 1"))
}

/// Reads a PAX time: decimal seconds, perhaps negative, perhaps with a fraction, whose digits after the ninth are
/// dropped. `nan`, exponents and seconds outside 64 bits are refused.
pub(super) fn time(bytes: &[u8], name: &str) -> Result<Time> {
    let malformed = || Error::malformed("tar", format!("{name} is not a time in seconds that fits 64 bits"));
    let (negative, digits) = match bytes.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, bytes),
    };
    let (whole, fraction) = match digits.iter().position(|&byte| byte == b'.') {
        Some(dot) => (&digits[..dot], &digits[dot + 1..]),
        None => (digits, &[][..]),
    };
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(malformed());
    }
    let seconds = decimal(whole, name).map_err(|_| malformed())?.cast_signed();
    let nanoseconds = (0..9).fold(0u32, |value, place| {
        value * 10 + fraction.get(place).map_or(0, |byte| u32::from(byte - b'0'))
    });
    Ok(match (negative, nanoseconds) {
        (false, _) => Time { seconds, nanoseconds },
        (true, 0) => Time {
            seconds: -seconds,
            nanoseconds: 0,
        },
        (true, _) => Time {
            seconds: -seconds - 1,
            nanoseconds: 1_000_000_000 - nanoseconds,
        },
    })
}

/// Writes a time as a PAX record has it, without trailing zeros.
pub(super) fn format_time(time: Time) -> String {
    let Time { seconds, nanoseconds } = time;
    let (sign, whole, fraction) = match (seconds < 0, nanoseconds) {
        (true, 0) => ("-", seconds.unsigned_abs(), 0),
        (true, _) => ("-", (seconds + 1).unsigned_abs(), 1_000_000_000 - nanoseconds),
        (false, _) => ("", seconds.unsigned_abs(), nanoseconds),
    };
    if fraction == 0 {
        return format!("{sign}{whole}");
    }
    format!("{sign}{whole}.{}", format!("{fraction:09}").trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_fields() {
        for (bytes, value) in [
            (&b"0000644\0"[..], 0o644),
            (b"  644 \0\0", 0o644),
            (b"   644  ", 0o644),
            (b"\0\0\0\0\0\0\0\0", 0),
            (b"        ", 0),
            (b"77777777", 0o77777777),
            (b"644\0junk", 0o644),
            (b"777777777777", (1 << 36) - 1),
        ] {
            assert_eq!(field(bytes, "mode").unwrap(), value, "{bytes:?}");
        }
        for bytes in [
            &b"-000001\0"[..],
            b"12 34\0\0\0",
            b"0000648\0",
            b"0x1f\0\0\0\0",
            b"\xc3\xa9",
        ] {
            if bytes[0] & 0x80 == 0 {
                assert!(field(bytes, "mode").is_err(), "{bytes:?}");
            }
        }
    }

    #[test]
    fn base_256_fields() {
        for (bytes, value) in [
            (&b"\x80\0\0\0\0\0\0\0\0\0\x01\0"[..], 256),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", -1),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", i64::MAX),
            (b"\xff\xff\xff\xff\x80\0\0\0\0\0\0\0", i64::MIN),
            (b"\xbf\xff\xff\xff\xff\xff\xff\xff", 0x3fff_ffff_ffff_ffff),
        ] {
            assert_eq!(field(bytes, "size").unwrap(), value, "{bytes:?}");
        }
        assert!(field(b"\x80\0\0\0\x80\0\0\0\0\0\0\0", "size").is_err());
        assert!(field(b"\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "size").is_err());
    }

    #[test]
    fn times() {
        for (text, seconds, nanoseconds) in [
            ("0", 0, 0),
            ("1.5", 1, 500_000_000),
            ("1.", 1, 0),
            ("-1.5", -2, 500_000_000),
            ("-0.000000001", -1, 999_999_999),
            ("1.0000000019", 1, 1),
            ("9223372036854775807", i64::MAX, 0),
            ("-9223372036854775807.5", i64::MIN, 500_000_000),
        ] {
            assert_eq!(
                time(text.as_bytes(), "mtime").unwrap(),
                Time { seconds, nanoseconds },
                "{text}"
            );
        }
        for text in [
            "",
            "nan",
            "-",
            ".5",
            "1e3",
            "9223372036854775808",
            "1.2.3",
            "+1",
            "--1",
            "inf",
            " 1",
        ] {
            assert!(time(text.as_bytes(), "mtime").is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_written_as_they_are_read() {
        for (seconds, nanoseconds) in [
            (0, 0),
            (1, 1),
            (-1, 0),
            (-1, 999_999_999),
            (-2, 500_000_000),
            (i64::MAX, 999_999_999),
            (i64::MIN, 1),
        ] {
            let moment = Time { seconds, nanoseconds };
            assert_eq!(time(format_time(moment).as_bytes(), "mtime").unwrap(), moment);
        }
        assert_eq!(
            format_time(Time {
                seconds: 7,
                nanoseconds: 120_000_000
            }),
            "7.12"
        );
    }
}
