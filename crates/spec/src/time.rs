//! When was an image made, as its config says? [`Timestamp`]: RFC 3339 as Go reads and writes it, for no clock is asked here.

use std::{fmt, str::FromStr};

use crate::Error;

/// A moment with the offset that it was written with, to the nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timestamp {
    year: u16,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
    nanosecond: u32,
    /// Minutes east of UTC.
    offset: i16,
}

impl Timestamp {
    /// What Go's `time.Time` is where nothing was read into it: 1 January of the year 1. skopeo prints it for Docker's images that state
    /// no time.
    pub const GO_ZERO: Self = Self {
        year: 1,
        month: 1,
        day: 1,
        hour: 0,
        minute: 0,
        second: 0,
        nanosecond: 0,
        offset: 0,
    };

    /// The moment `seconds` and `nanosecond` after the start of 1970, in UTC; `None` outside the years 0 to 9999, which RFC 3339 cannot
    /// write.
    #[must_use]
    pub fn from_unix(seconds: i64, nanosecond: u32) -> Option<Self> {
        // Days by the civil calendar, in eras of 400 years that begin on 1 March of the year 0.
        let days = seconds.div_euclid(86_400).checked_add(719_468)?;
        let rest = seconds.rem_euclid(86_400);
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        Some(Self {
            year: u16::try_from(year).ok().filter(|year| *year <= 9999)?,
            month: u8::try_from(month).ok()?,
            day: u8::try_from(day_of_year - (153 * month_from_march + 2) / 5 + 1).ok()?,
            hour: u8::try_from(rest / 3600).ok()?,
            minute: u8::try_from(rest / 60 % 60).ok()?,
            second: u8::try_from(rest % 60).ok()?,
            nanosecond: Some(nanosecond).filter(|nanosecond| *nanosecond < 1_000_000_000)?,
            offset: 0,
        })
    }

    /// Whole seconds since the start of 1970 in UTC, negative before.
    #[must_use]
    pub fn unix(&self) -> i64 {
        let (year, month, day) = (i64::from(self.year), i64::from(self.month), i64::from(self.day));
        let year = year - i64::from(month <= 2);
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let month_from_march = if month > 2 { month - 3 } else { month + 9 };
        let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = era * 146_097 + day_of_era - 719_468;
        let of_day = i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second);
        days * 86_400 + of_day - i64::from(self.offset) * 60
    }

    /// The nanoseconds beyond [`Self::unix`].
    #[must_use]
    pub fn nanosecond(&self) -> u32 {
        self.nanosecond
    }

    /// The moment as Go prints a time in a template: `2026-11-23 17:52:32.3 +0000 UTC`.
    #[must_use]
    pub fn go_string(&self) -> String {
        let offset = format!(
            "{}{:02}{:02}",
            self.sign(),
            self.offset.abs() / 60,
            self.offset.abs() % 60
        );
        let zone = if self.offset == 0 { "UTC" } else { &offset };
        let moment = self.moment(b' ');
        format!("{}{} {offset} {zone}", shown(&moment), self.fraction())
    }

    /// Date and time to the second, with this between them.
    fn moment(&self, between: u8) -> [u8; 19] {
        let mut text = *b"0000-00-00 00:00:00";
        text[10] = between;
        let parts = [self.month, self.day, self.hour, self.minute, self.second];
        let two_digits = parts.into_iter().zip([5, 8, 11, 14, 17]);
        let century = [(self.year / 100) as u8, (self.year % 100) as u8]
            .into_iter()
            .zip([0, 2]);
        for (part, place) in two_digits.chain(century) {
            text[place] += part / 10;
            text[place + 1] += part % 10;
        }
        text
    }

    /// The fraction of the second with its point, without trailing zeros, and empty where there is none.
    fn fraction(&self) -> String {
        if self.nanosecond == 0 {
            return String::new();
        }
        format!(".{:09}", self.nanosecond).trim_end_matches('0').to_owned()
    }

    fn sign(&self) -> char {
        if self.offset < 0 { '-' } else { '+' }
    }
}

/// Go's RFC3339Nano: no trailing zeros, `Z` for an offset of zero, and any other offset as it was.
impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(shown(&self.moment(b'T')))?;
        formatter.write_str(&self.fraction())?;
        if self.offset == 0 {
            return formatter.write_str("Z");
        }
        write!(
            formatter,
            "{}{:02}:{:02}",
            self.sign(),
            self.offset.abs() / 60,
            self.offset.abs() % 60
        )
    }
}

fn shown(moment: &[u8; 19]) -> &str {
    str::from_utf8(moment).expect("digits, and what stands between them")
}

impl FromStr for Timestamp {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse(text).ok_or_else(|| {
            let shown: String = text.chars().take(64).collect();
            Error::document("time", format!("{shown:?} is not a moment by RFC 3339"))
        })
    }
}

fn parse(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if separators.iter().any(|(place, byte)| bytes.get(*place) != Some(byte)) {
        return None;
    }
    let year = number(bytes.get(..4)?)?;
    let two = |start: usize, least: u8, most: u8| -> Option<u8> {
        let value = u8::try_from(number(bytes.get(start..start + 2)?)?).ok()?;
        (least..=most).contains(&value).then_some(value)
    };
    let month = two(5, 1, 12)?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u8::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let (day, hour, minute, second) = (two(8, 1, days)?, two(11, 0, 23)?, two(14, 0, 59)?, two(17, 0, 59)?);
    let mut rest = bytes.get(19..)?;
    let mut nanosecond = 0;
    if let Some(fraction) = rest.strip_prefix(b".") {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        // What is finer than a nanosecond is cut off, as Go does it.
        nanosecond = (0..9).fold(0, |value, place| {
            let digit = if place < digits { fraction[place] - b'0' } else { 0 };
            value * 10 + u32::from(digit)
        });
        rest = &fraction[digits..];
    }
    let offset = match rest {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), hours @ .., b':', m1, m2] if hours.len() == 2 => {
            let (hours, minutes) = (number(hours)?, number(&[*m1, *m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = i16::try_from(hours * 60 + minutes).ok()?;
            if *sign == b'-' { -offset } else { offset }
        }
        _ => return None,
    };
    Some(Timestamp {
        year,
        month,
        day,
        hour,
        minute,
        second,
        nanosecond,
        offset,
    })
}

/// Digits alone, at most four.
fn number(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0_u16, |value, byte| {
        byte.is_ascii_digit().then(|| value * 10 + u16::from(byte - b'0'))
    })
}
