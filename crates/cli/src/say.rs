//! How is something said on standard error? In one line, as whoever we were called as says it, and so that what others wrote of it neither
//! acts on a terminal nor looks like lines of ours.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, SystemTime},
};

use teu_spec::Timestamp;

/// Says a message of failure, also before there are settings.
pub(crate) fn complain(as_skopeo: bool, message: &str) {
    // What a registry or a document says may be in it: it is neither to act on a terminal nor to look like lines of ours.
    complain_in(as_skopeo, &[&one_line(message)]);
}

/// Says what is wrong with a command line, in lines that are ours.
pub(crate) fn complain_in(as_skopeo: bool, lines: &[&str]) {
    let shown = || lines.iter().map(|line| plain(line)).collect::<Vec<_>>().join("\n");
    let line = match as_skopeo {
        false => format!("teu: {}\n", shown()),
        true if io::stderr().is_terminal() => format!("FATA[0000] {}\n", shown()),
        true => return log("fatal", &now(), &lines.join("\n"), ""),
    };
    // Where even that cannot be said, the exit code is all there is.
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Says what is done, with what it is done to, as skopeo's log does.
pub(crate) fn inform(message: &str, fields: &[(&str, &str)]) {
    let fields = fields.iter().map(|(name, value)| format!(" {name}={}", quoted(value)));
    log("info", &now(), message, &fields.collect::<String>());
}

/// Says, as skopeo's log does, that something failed and that the rest goes on.
pub(crate) fn pass_over(message: &str) {
    log("error", &now(), message, "");
}

/// Says something that stops nothing.
pub(crate) fn warn(as_skopeo: bool, message: &str) {
    match as_skopeo {
        true => log("warning", &now(), message, ""),
        // Where it cannot be said, that stops nothing either.
        false => {
            let _ = io::stderr().write_all(format!("teu: warning: {}\n", one_line(message)).as_bytes());
        }
    }
}

/// Says what only who looks for a fault wants to know.
pub(crate) fn detail(as_skopeo: bool, message: &str) {
    match as_skopeo {
        true => log("debug", &now(), message, ""),
        false => {
            let _ = io::stderr().write_all(format!("teu: {}\n", one_line(message)).as_bytes());
        }
    }
}

/// Text that came from elsewhere, safe on a terminal: control characters are escaped, and those that turn text round or hide in it.
pub(crate) fn plain(text: &str) -> String {
    let hides =
        |c| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    let shown = |c: char| match c.is_control() || hides(c) {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(shown).collect()
}

/// The most characters of a message that are said: whoever wrote a part of it may have had no end.
const LONGEST: usize = 8 << 10;

/// A message as one line that ends.
fn one_line(message: &str) -> String {
    let shown = plain(message);
    match shown.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}… ({} bytes more)", &shown[..end], shown.len() - end),
        None => shown,
    }
}

/// Says a line as logrus does, as skopeo's other programs read it.
fn log(level: &str, now: &str, message: &str, fields: &str) {
    let line = format!("time=\"{now}\" level={level} msg={}{fields}\n", quoted(message));
    // Where even that cannot be said, the exit code is all there is.
    let _ = io::stderr().write_all(line.as_bytes());
}

/// As Go's `%q` has it, where a message is more than one word.
fn quoted(message: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._/@^+".contains(c);
    if !message.is_empty() && message.chars().all(plain) {
        return message.to_owned();
    }
    let mut out = String::from("\"");
    for c in message.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x80 && c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out + "\""
}

/// The present time, as RFC 3339 has it.
pub(crate) fn now() -> String {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    let seconds = i64::try_from(since.as_secs()).unwrap_or_default();
    Timestamp::from_unix(seconds, 0)
        .map(|now| now.to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_that_ends() {
        assert_eq!(
            one_line("no tag\nteu: warning: \u{1b}[2Jmind\r"),
            "no tag\\nteu: warning: \\u{1b}[2Jmind\\r"
        );
        let long = "é".repeat(LONGEST);
        assert_eq!(one_line(&long), long);
        assert_eq!(one_line(&format!("{long}éa")), format!("{long}… (3 bytes more)"));
    }

    #[test]
    fn foreign_text_cannot_act() {
        assert_eq!(plain("a\u{1b}[31mé\n"), "a\\u{1b}[31mé\\n");
        assert_eq!(plain("a\u{202e}txt\u{200b}"), "a\\u{202e}txt\\u{200b}");
    }

    #[test]
    fn messages_are_quoted_as_logrus_does() {
        for (message, said) in [
            ("word", "word"),
            ("a-b._/@^+", "a-b._/@^+"),
            ("", "\"\""),
            ("two words", "\"two words\""),
            ("a:b", "\"a:b\""),
            ("\"q\"\\\n\t\u{1b}é\u{2028}", "\"\\\"q\\\"\\\\\\n\\t\\x1bé\\u2028\""),
        ] {
            assert_eq!(quoted(message), said);
        }
    }
}
