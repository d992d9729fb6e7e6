//! How is a size written? A number of bytes, with a unit or without.

use std::str::FromStr;

/// A number of bytes: `1500`, `20MB`, `5MiB`, `1.5MB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) u64);

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no number of bytes; write one such as 1500, 20MB, 1.5MB or 5MiB");
        let digits = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit: u64 = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kb" | "k" => 1000,
            "mb" | "m" => 1_000_000,
            "gb" | "g" => 1_000_000_000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            _ => return Err(wrong()),
        };
        // A part of a byte is none.
        let (whole, part) = match number.split_once('.') {
            Some((whole, part)) if unit > 1 && !whole.is_empty() && (1..=9).contains(&part.len()) => (whole, part),
            Some(_) => return Err(wrong()),
            None => (number, ""),
        };
        let whole: u64 = whole.parse().map_err(|_| wrong())?;
        let part = match part {
            "" => 0,
            part => {
                let share: u128 = part.parse().map_err(|_| wrong())?;
                let bytes = u128::from(unit) * share / 10_u128.pow(u32::try_from(part.len()).unwrap_or(0));
                u64::try_from(bytes).map_err(|_| wrong())?
            }
        };
        let whole = whole.checked_mul(unit).ok_or_else(wrong)?;
        whole.checked_add(part).map(Self).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_bytes_have_units() {
        for (text, bytes) in [
            ("0", 0),
            ("1500", 1500),
            ("20MB", 20_000_000),
            ("20 mb", 20_000_000),
            ("1.5MB", 1_500_000),
            ("0.25KiB", 256),
            ("1.000000001GB", 1_000_000_001),
            ("5MiB", 5 << 20),
            ("1GiB", 1 << 30),
            ("3kB", 3000),
        ] {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
        for text in [
            "",
            "MB",
            "-1",
            "1.5",
            "1.5.5MB",
            ".5MB",
            "5.MB",
            "1.MB",
            "1.0000000001GB",
            "1XB",
            "99999999999999999999",
            "99999999999GB",
            "18446744073.9999GB",
        ] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }
}
