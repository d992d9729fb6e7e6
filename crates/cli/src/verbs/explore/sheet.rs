//! What is read page by page? The text of a file, as far as it is shown, and the help.

use super::query::Query;
use crate::listed;

/// The most bytes of a file that are shown.
pub(super) const MOST_TEXT: usize = 1 << 20;
/// The most bytes of one that is no text.
const MOST_BINARY: usize = 64 << 10;
/// How many columns a tab goes to.
const TAB: usize = 8;

/// Lines that are looked through.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    pub(super) title: String,
    pub(super) lines: Vec<String>,
    /// The first line that is seen, and the first column.
    pub(super) top: usize,
    pub(super) left: usize,
}

impl Sheet {
    pub(super) fn help() -> Self {
        Self {
            title: "Keys".to_owned(),
            lines: HELP.lines().map(str::to_owned).collect(),
            ..Self::default()
        }
    }

    /// The beginning of a file of so many bytes; what is no text is shown as bytes.
    pub(super) fn file(path: &[u8], content: &[u8], size: u64) -> Self {
        let is_text = !content.contains(&0);
        let most = if is_text { MOST_TEXT } else { MOST_BINARY };
        let shown = &content[..content.len().min(most)];
        let mut lines = match is_text {
            true => shown
                .split_inclusive(|byte| *byte == b'\n')
                .map(|line| without_tabs(&listed::text_line(line.strip_suffix(b"\n").unwrap_or(line))))
                .collect(),
            false => bytes(shown),
        };
        if (shown.len() as u64) < size {
            lines.push(format!("… {} of {size} bytes are shown", shown.len()));
        }
        Self {
            title: listed::path(path),
            lines,
            ..Self::default()
        }
    }

    /// Moves by so many lines, and no further than the last page.
    pub(super) fn scroll(&mut self, by: isize, height: usize) {
        let last = self.lines.len().saturating_sub(height);
        self.top = self.top.saturating_add_signed(by).min(last);
    }

    /// Goes to the next line, or the one before, that has it; false where there is none.
    pub(super) fn find(&mut self, query: &Query, forward: bool, from_here: bool) -> bool {
        let count = self.lines.len();
        let start = usize::from(!from_here);
        let found = (start..=count).find_map(|step| {
            let at = match forward {
                true => (self.top + step) % count.max(1),
                false => (self.top + count - step % count.max(1)) % count.max(1),
            };
            self.lines.get(at).filter(|line| query.is_in(line)).map(|_| at)
        });
        if let Some(at) = found {
            self.top = at;
        }
        found.is_some()
    }
}

fn without_tabs(line: &str) -> String {
    let mut text = String::new();
    let mut column = 0;
    for c in line.chars() {
        if c == '\t' {
            let gap = TAB - column % TAB;
            text.extend(std::iter::repeat_n(' ', gap));
            column += gap;
        } else {
            text.push(c);
            column += 1;
        }
    }
    text
}

/// As `hexdump -C` shows them.
fn bytes(content: &[u8]) -> Vec<String> {
    let line = |(place, bytes): (usize, &[u8])| {
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let text: String = bytes
            .iter()
            .map(|byte| match byte {
                b' '..=b'~' => char::from(*byte),
                _ => '.',
            })
            .collect();
        format!("{:08x}  {:<47}  |{text}|", place * 16, hex.join(" "))
    };
    content.chunks(16).enumerate().map(line).collect()
}

const HELP: &str = "\
Tab            to the other side
↑ ↓, k j       up and down
PgUp PgDn      a page; also ^U ^D, b and Space
Home End, g G  to the first and to the last
[ ]            the layer below, the layer above
m              the files up to this layer, or this layer alone

→, l           unfold a directory, or go into it
←, h           fold it, or go to the directory that it is in
Enter          unfold or fold a directory; show what is in a file
* -            unfold all that is in a directory; fold everything

/              search by a part of a name; of a path, if there is a slash in it;
               by a pattern such as *.so or etc/**/conf
n N            the next one, the one before
f              show only what is so called; an empty one shows all
Esc            end of search, filter, file or help

+ ~ -          the layer added it, changed it, removed it
·              something in it was added, changed or removed

?              these keys
^Z             stop for a while
q, ^C          end";

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(content: &[u8]) -> Vec<String> {
        Sheet::file(b"etc/x", content, content.len() as u64).lines
    }

    #[test]
    fn text_cannot_act_and_keeps_its_columns() {
        assert_eq!(
            lines(b"a\tb\n\x1b[2J\xff\r\nend"),
            ["a       b", "\\u{1b}[2J\\xff\\r", "end"]
        );
        assert_eq!(lines(b""), [""; 0]);
        assert_eq!(
            lines(b"\0ELF and more bytes"),
            [
                "00000000  00 45 4c 46 20 61 6e 64 20 6d 6f 72 65 20 62 79  |.ELF and more by|",
                "00000010  74 65 73                                         |tes|",
            ]
        );
        let cut = Sheet::file(b"x", b"a\n", 5);
        assert_eq!(cut.lines, ["a", "… 2 of 5 bytes are shown"]);
    }

    #[test]
    fn a_search_goes_round() {
        let mut sheet = Sheet::file(b"x", b"a\nB\nc\nb", 7);
        let query = Query::new("b").expect("a query");
        let mut tops = Vec::new();
        for forward in [true, true, true, false] {
            assert!(sheet.find(&query, forward, false));
            tops.push(sheet.top);
        }
        assert_eq!(tops, [1, 3, 1, 3]);
        assert!(!sheet.find(&Query::new("x").expect("a query"), true, true));
        sheet.scroll(-100, 2);
        assert_eq!(sheet.top, 0);
        sheet.scroll(100, 2);
        assert_eq!(sheet.top, 2);
        assert!(!Sheet::default().find(&query, false, false));
    }
}
