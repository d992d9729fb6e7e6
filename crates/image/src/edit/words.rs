//! Which words can a config say? Those that every runtime would refuse are none of these types; what an image says already is looked at nowhere.

use std::{fmt, str::FromStr};

use serde::Serialize;
use teu_store::{Error, ErrorKind, Result};

/// The signals that have names, on any system that images are for.
const SIGNALS: [&str; 41] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "EMT", "FPE", "HUP", "ILL", "INFO", "INT", "IO", "IOT", "KILL",
    "LWP", "PIPE", "POLL", "PROF", "PWR", "QUIT", "RTMAX", "RTMIN", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "THR",
    "TRAP", "TSTP", "TTIN", "TTOU", "UNUSED", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
];

/// The greatest number of a signal: MIPS has the most.
const MOST_SIGNALS: u16 = 127;

/// How far from either end a signal for real time is counted, at most.
const MOST_REAL_TIME: u16 = 30;

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident is $check:ident, $advice:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl FromStr for $name {
            type Err = Error;

            /// # Errors
            /// `Invalid` for what is none.
            fn from_str(text: &str) -> Result<Self> {
                match $check(text) {
                    true => Ok(Self(text.to_owned())),
                    false => Err(Error::new(ErrorKind::Invalid, $advice)),
                }
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    )*};
}

words! {
    /// A signal by its name, with or without SIG, or by its number.
    Signal is is_signal, "a signal is written SIGTERM, SIGRTMIN+3 or 15";
    /// A user, and perhaps a group, by names or numbers.
    User is is_user, "a user is written USER or USER:GROUP, by names or numbers";
    /// A directory of a container, which may be Windows', in which data is kept.
    Volume is is_volume, "a directory is written from the root, as /var/lib/data";
    /// A port as image-spec has it: `80`, `80/tcp`, `53/udp`.
    Port is is_port, "a port is written 80, 80/tcp or 53/udp";
}

fn is_signal(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let real_time = ["RTMIN+", "RTMAX-"].iter().find_map(|from| name.strip_prefix(from));
    SIGNALS.contains(&name)
        || is_number(text, MOST_SIGNALS)
        || real_time.is_some_and(|number| is_number(number, MOST_REAL_TIME))
}

fn is_user(text: &str) -> bool {
    !text.is_empty() && text.matches(':').count() < 2
}

fn is_volume(text: &str) -> bool {
    let of_drive = matches!(text.as_bytes(), [drive, b':', b'/' | b'\\', ..] if drive.is_ascii_alphabetic());
    text.starts_with(['/', '\\']) || of_drive
}

fn is_port(text: &str) -> bool {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    is_number(number, u16::MAX) && ["tcp", "udp", "sctp"].contains(&protocol)
}

/// A number from 1 on, without a sign.
fn is_number(text: &str, most: u16) -> bool {
    let digits = text.bytes().all(|digit| digit.is_ascii_digit());
    digits && text.parse().is_ok_and(|number: u16| (1..=most).contains(&number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: FromStr<Err = Error> + AsRef<str>>(good: &[&str], bad: &[&str]) {
        for text in good {
            assert_eq!(text.parse::<T>().expect(text).as_ref(), *text);
        }
        for text in bad {
            match text.parse::<T>() {
                Ok(_) => panic!("{text:?} is taken"),
                Err(error) => assert_eq!(*error.kind(), ErrorKind::Invalid),
            }
        }
    }

    #[test]
    fn what_some_machine_takes_is_taken_and_nothing_else() {
        check::<Signal>(
            &["SIGTERM", "term", "15", "127", "SIGRTMIN", "SIGRTMIN+3", "rtmax-1"],
            &[
                "", "SIGBLAH", "SIG", "0", "128", "-1", "SIG15", "RTMIN+0", "RTMIN++3", "+15", "RTMIN-1", "RTMIN+31",
                "TERM ",
            ],
        );
        check::<Volume>(
            &["/", "/a", "C:\\data", "c:/data", "\\data"],
            &["", "rel", "./a", "C:", "1:/a"],
        );
        check::<User>(&["a", "0", "a:b", "0:0", ":b", "DOMAIN\\a"], &["", "a:b:c", "::"]);
        check::<Port>(
            &["1", "80/tcp", "53/udp", "65535/sctp"],
            &["", "0", "+80", "65536", "80/", "80/TCP", "http"],
        );
    }
}
