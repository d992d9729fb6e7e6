//! Which words can a config or a manifest say? Those that every runtime and registry would refuse are refused here; nothing, which takes away what
//! there is, is none of them.

/// The longest name of either part of a media type, in bytes (RFC 6838, section 4.2).
const MEDIA_TYPE_NAME: usize = 127;

/// The signals that have names, on any system that images are for.
const SIGNALS: [&str; 41] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "EMT", "FPE", "HUP", "ILL", "INFO", "INT", "IO", "IOT", "KILL",
    "LWP", "PIPE", "POLL", "PROF", "PWR", "QUIT", "RTMAX", "RTMIN", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "THR",
    "TRAP", "TSTP", "TTIN", "TTOU", "UNUSED", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
];

/// The greatest number of a signal: MIPS has the most.
const MOST_SIGNALS: u8 = 127;

/// How far from either end a signal for real time is counted, at most.
const MOST_REAL_TIME: u8 = 30;

/// A media type, as registries have an artifact's.
pub(super) fn media_type(text: &str) -> Result<String, String> {
    let is_name = |name: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || "!#$&-^_.+".contains(c);
        (1..=MEDIA_TYPE_NAME).contains(&name.len())
            && name.starts_with(|first: char| first.is_ascii_alphanumeric())
            && name.chars().all(known)
    };
    let is_type = text
        .split_once('/')
        .is_some_and(|(kind, rest)| is_name(kind) && is_name(rest));
    match text.is_empty() || is_type {
        true => Ok(text.to_owned()),
        false => Err("a media type is written application/vnd.example.sbom.v1+json".to_owned()),
    }
}

/// A signal by its name, with or without SIG, or by its number.
pub(super) fn signal(text: &str) -> Result<String, String> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let real_time = ["RTMIN+", "RTMAX-"].iter().find_map(|from| name.strip_prefix(from));
    let is_number = |text: &str, most: u8| {
        let digits = text.bytes().all(|digit| digit.is_ascii_digit());
        digits && text.parse().is_ok_and(|number: u8| (1..=most).contains(&number))
    };
    let is_signal = SIGNALS.contains(&name)
        || is_number(text, MOST_SIGNALS)
        || real_time.is_some_and(|number| is_number(number, MOST_REAL_TIME));
    match text.is_empty() || is_signal {
        true => Ok(text.to_owned()),
        false => Err("a signal is written SIGTERM, SIGRTMIN+3 or 15".to_owned()),
    }
}

/// A directory of a container, which may be Windows'.
pub(super) fn directory(text: &str) -> Result<String, String> {
    let of_drive = matches!(text.as_bytes(), [drive, b':', b'/' | b'\\', ..] if drive.is_ascii_alphabetic());
    match text.starts_with(['/', '\\']) || of_drive {
        true => Ok(text.to_owned()),
        false => Err("a directory is written from the root, as /var/lib/data".to_owned()),
    }
}

/// A user, and perhaps a group, by names or numbers.
pub(super) fn user(text: &str) -> Result<String, String> {
    match text.matches(':').count() < 2 {
        true => Ok(text.to_owned()),
        false => Err("a user is written USER or USER:GROUP, by names or numbers".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_some_machine_takes_is_taken_and_nothing_else() {
        type Parse = fn(&str) -> Result<String, String>;
        let long = format!("a/{}", "b".repeat(128));
        let cases: [(Parse, &[&str], &[&str]); 4] = [
            (
                media_type,
                &["", "a/b", "application/vnd.example.v1+json", &long[..129]],
                &["foo", "/b", "a/", "a/b/c", "a/b; c=d", "+a/b", "a b/c", &long],
            ),
            (
                signal,
                &["", "SIGTERM", "term", "15", "127", "SIGRTMIN", "SIGRTMIN+3", "rtmax-1"],
                &[
                    "SIGBLAH", "SIG", "0", "128", "-1", "SIG15", "RTMIN+0", "RTMIN++3", "+15", "RTMIN-1", "RTMIN+31",
                    "TERM ",
                ],
            ),
            (
                directory,
                &["/", "/a", "C:\\data", "c:/data", "\\data"],
                &["", "rel", "./a", "C:", "1:/a"],
            ),
            (user, &["", "a", "0", "a:b", "0:0", ":b", "DOMAIN\\a"], &["a:b:c", "::"]),
        ];
        for (parse, good, bad) in cases {
            for text in good {
                assert_eq!(parse(text), Ok((*text).to_owned()));
            }
            for text in bad {
                assert!(parse(text).is_err(), "{text:?}");
            }
        }
    }
}
