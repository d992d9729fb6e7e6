//! How is a time written? As Go writes durations, which skopeo's users know: `90s`, `1h30m`, `250ms`.

use std::{str::FromStr, time::Duration};

/// A span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) Duration);

impl FromStr for Time {
    type Err = String;

    fn from_str(input: &str) -> Result<Self, String> {
        let wrong = || format!("{input:?} is no time; write one such as 90s, 5m or 1h30m");
        if input == "0" {
            return Ok(Self(Duration::ZERO));
        }
        let mut rest = input;
        let mut total = Duration::ZERO;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
            let (number, behind) = rest.split_at(digits);
            let unit = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
            let (unit, behind) = behind.split_at(unit);
            let seconds = match unit {
                "ns" => 1e-9,
                "us" | "µs" | "μs" => 1e-6,
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return Err(wrong()),
            };
            let number: f64 = number.parse().map_err(|_| wrong())?;
            let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())?;
            total = total.checked_add(part).ok_or_else(wrong)?;
            rest = behind;
        }
        match input.is_empty() {
            true => Err(wrong()),
            false => Ok(Self(total)),
        }
    }
}

/// A moment in seconds since 1970, as `SOURCE_DATE_EPOCH` has it; nothing where that is empty, as for most who read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seconds(pub(crate) Option<i64>);

impl FromStr for Seconds {
    type Err = String;

    fn from_str(input: &str) -> Result<Self, String> {
        if input.is_empty() {
            return Ok(Self(None));
        }
        let seconds = input
            .parse()
            .map_err(|_| format!("{input:?} is no number of seconds since 1970"))?;
        Ok(Self(Some(seconds)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_numbers_of_seconds_or_none() {
        for (input, seconds) in [
            ("", None),
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("1700000000", Some(1_700_000_000)),
        ] {
            assert_eq!(input.parse(), Ok(Seconds(seconds)), "{input}");
        }
        for input in [" ", "1.5", "x", "2026-01-31T12:00:00Z"] {
            assert!(input.parse::<Seconds>().is_err(), "{input}");
        }
    }

    #[test]
    fn times_are_read_as_go_writes_them() {
        for (input, milliseconds) in [
            ("90s", 90_000),
            ("1h30m", 5_400_000),
            ("250ms", 250),
            ("1.5s", 1500),
            ("500000us", 500),
            ("1s2000000ns", 1002),
            ("0", 0),
        ] {
            assert_eq!(input.parse(), Ok(Time(Duration::from_millis(milliseconds))), "{input}");
        }
        for input in ["", "1", "s", "1x", "-1s", "1e400s", "1..2s", "99999999999999999999999h"] {
            assert!(input.parse::<Time>().is_err(), "{input}");
        }
    }
}
