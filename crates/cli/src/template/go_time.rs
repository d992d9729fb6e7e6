//! What can a template ask of a time? The methods of Go's `time.Time` that have a plain answer, and its layouts.

use teu_spec::Timestamp;

use super::value::Value;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// Calls a method, if there is one of this name.
pub(super) fn method(time: &Timestamp, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
    let parts = Parts::of(time);
    let nanosecond = i64::from(time.nanosecond());
    let value = match name {
        "Format" => {
            return Some(match arguments {
                [layout] => layout
                    .as_text()
                    .map(|layout| Value::text(parts.format(layout)))
                    .ok_or_else(|| format!("wrong type for value; expected string; got {}", layout.kind())),
                _ => Err(format!(
                    "wrong number of args for Format: want 1 got {}",
                    arguments.len()
                )),
            });
        }
        "String" => Value::text(time.go_string()),
        "Unix" => Value::Int(time.unix()),
        "UnixMilli" => Value::Int(time.unix() * 1_000 + nanosecond / 1_000_000),
        "UnixMicro" => Value::Int(time.unix() * 1_000_000 + nanosecond / 1_000),
        "UnixNano" => Value::Int(time.unix().wrapping_mul(1_000_000_000).wrapping_add(nanosecond)),
        "Year" => Value::Int(parts.year),
        "Month" => Value::text(MONTHS[parts.month]),
        "Day" => Value::Int(parts.day),
        "Hour" => Value::Int(parts.hour),
        "Minute" => Value::Int(parts.minute),
        "Second" => Value::Int(parts.second),
        "Nanosecond" => Value::Int(nanosecond),
        "YearDay" => Value::Int(parts.day_of_year()),
        "Weekday" => Value::text(DAYS[parts.weekday]),
        "IsZero" => Value::Bool(time.unix() == Timestamp::GO_ZERO.unix() && nanosecond == 0),
        "UTC" => Value::time(Timestamp::from_unix(time.unix(), time.nanosecond())),
        _ => return None,
    };
    Some(match arguments {
        [] => Ok(value),
        _ => Err(format!(
            "wrong number of args for {name}: want 0 got {}",
            arguments.len()
        )),
    })
}

/// The parts of a moment, where it was written.
struct Parts {
    year: i64,
    /// From 0.
    month: usize,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    nanosecond: u32,
    /// Minutes east of UTC.
    offset: i64,
    weekday: usize,
}

impl Parts {
    fn of(time: &Timestamp) -> Self {
        // By RFC 3339 all parts have known places.
        let text = time.to_string();
        let number = |text: &str, from: usize| -> i64 {
            text.get(from..from + 2)
                .and_then(|digits| digits.parse().ok())
                .unwrap_or_default()
        };
        let zone = text.get(text.len() - 6..).filter(|zone| zone.starts_with(['+', '-']));
        let offset = zone.map_or(0, |zone| {
            let minutes = number(zone, 1) * 60 + number(zone, 4);
            if zone.starts_with('-') { -minutes } else { minutes }
        });
        // 1 January 1970 was a Thursday.
        let weekday = ((time.unix() + offset * 60).div_euclid(86_400) + 4).rem_euclid(7);
        Self {
            year: number(&text, 0) * 100 + number(&text, 2),
            month: usize::try_from(number(&text, 5) - 1).unwrap_or_default().min(11),
            day: number(&text, 8),
            hour: number(&text, 11),
            minute: number(&text, 14),
            second: number(&text, 17),
            nanosecond: time.nanosecond(),
            offset,
            weekday: usize::try_from(weekday).unwrap_or_default(),
        }
    }

    fn day_of_year(&self) -> i64 {
        const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
        let leap = (self.year % 4 == 0 && self.year % 100 != 0) || self.year % 400 == 0;
        BEFORE[self.month] + self.day + i64::from(leap && self.month > 1)
    }

    /// By a layout of Go's: what `Mon Jan 2 15:04:05 MST 2006` would be written as, in place of this moment.
    fn format(&self, layout: &str) -> String {
        let mut out = String::new();
        let mut rest = layout;
        while !rest.is_empty() {
            match self.element(rest) {
                Some((taken, text)) => {
                    out.push_str(&text);
                    rest = &rest[taken..];
                }
                None => {
                    let mut characters = rest.chars();
                    out.extend(characters.next());
                    rest = characters.as_str();
                }
            }
        }
        out
    }

    /// The element that a layout begins with: how long it is there, and what it is here.
    fn element(&self, layout: &str) -> Option<(usize, String)> {
        let hour = match self.hour % 12 {
            0 => 12,
            hour => hour,
        };
        let month = MONTHS[self.month];
        let day = DAYS[self.weekday];
        let starts = |element: &str| layout.starts_with(element);
        // A word such as January begins with another, Jan, that could begin another word.
        let no_word =
            |element: &str| starts(element) && !layout[element.len()..].starts_with(|c: char| c.is_ascii_lowercase());
        let found = |element: &str, text: String| Some((element.len(), text));
        match layout.as_bytes()[0] {
            b'J' if starts("January") => found("January", month.to_owned()),
            b'J' if no_word("Jan") => found("Jan", month[..3].to_owned()),
            b'M' if starts("Monday") => found("Monday", day.to_owned()),
            b'M' if no_word("Mon") => found("Mon", day[..3].to_owned()),
            b'M' if starts("MST") => found("MST", self.zone_name()),
            b'0' if starts("002") => found("002", format!("{:03}", self.day_of_year())),
            b'0' if starts("01") => found("01", format!("{:02}", self.month + 1)),
            b'0' if starts("02") => found("02", format!("{:02}", self.day)),
            b'0' if starts("03") => found("03", format!("{hour:02}")),
            b'0' if starts("04") => found("04", format!("{:02}", self.minute)),
            b'0' if starts("05") => found("05", format!("{:02}", self.second)),
            b'0' if starts("06") => found("06", format!("{:02}", self.year % 100)),
            b'1' if starts("15") => found("15", format!("{:02}", self.hour)),
            b'1' => found("1", format!("{}", self.month + 1)),
            b'2' if starts("2006") => found("2006", format!("{:04}", self.year)),
            b'2' => found("2", format!("{}", self.day)),
            b'_' if starts("_2006") => found("_", "_".to_owned()),
            b'_' if starts("__2") => found("__2", format!("{:3}", self.day_of_year())),
            b'_' if starts("_2") => found("_2", format!("{:2}", self.day)),
            b'3' => found("3", format!("{hour}")),
            b'4' => found("4", format!("{}", self.minute)),
            b'5' => found("5", format!("{}", self.second)),
            b'P' if starts("PM") => found("PM", if self.hour < 12 { "AM" } else { "PM" }.to_owned()),
            b'p' if starts("pm") => found("pm", if self.hour < 12 { "am" } else { "pm" }.to_owned()),
            b'-' | b'Z' => self.zone(layout),
            b'.' | b',' => self.fraction(layout),
            _ => None,
        }
    }

    fn zone(&self, layout: &str) -> Option<(usize, String)> {
        const FORMS: [&str; 5] = ["07:00:00", "070000", "07:00", "0700", "07"];
        let form = FORMS.into_iter().find(|form| layout[1..].starts_with(form))?;
        let length = form.len() + 1;
        if layout.starts_with('Z') && self.offset == 0 {
            return Some((length, "Z".to_owned()));
        }
        let sign = if self.offset < 0 { '-' } else { '+' };
        let (hours, minutes) = (self.offset.abs() / 60, self.offset.abs() % 60);
        Some((
            length,
            match form {
                "07:00:00" => format!("{sign}{hours:02}:{minutes:02}:00"),
                "070000" => format!("{sign}{hours:02}{minutes:02}00"),
                "07:00" => format!("{sign}{hours:02}:{minutes:02}"),
                "0700" => format!("{sign}{hours:02}{minutes:02}"),
                _ => format!("{sign}{hours:02}"),
            },
        ))
    }

    /// A zone that has no name is called by its offset.
    fn zone_name(&self) -> String {
        match self.offset {
            0 => "UTC".to_owned(),
            offset => {
                let sign = if offset < 0 { '-' } else { '+' };
                format!("{sign}{:02}{:02}", offset.abs() / 60, offset.abs() % 60)
            }
        }
    }

    /// `.000`, with as many digits as there are zeros, or `.999`, without those at the end that are 0.
    fn fraction(&self, layout: &str) -> Option<(usize, String)> {
        let digit = layout[1..].chars().next().filter(|c| matches!(c, '0' | '9'))?;
        let count = layout[1..].chars().take_while(|c| *c == digit).count();
        let behind = layout[1 + count..].chars().next();
        if count > 9 || behind.is_some_and(|c| c.is_ascii_digit()) {
            return None;
        }
        let digits = &format!("{:09}", self.nanosecond)[..count];
        let digits = if digit == '9' {
            digits.trim_end_matches('0')
        } else {
            digits
        };
        let text = match digits {
            "" => String::new(),
            digits => format!("{}{digits}", &layout[..1]),
        };
        Some((1 + count, text))
    }
}
