//! How do two texts differ? As `diff -u` shows it, for bytes of any encoding.

use similar::{Algorithm, DiffOp, capture_diff_slices, group_diff_ops};

/// Lines around what differs.
const CONTEXT: usize = 3;

/// The differences of two texts in the unified form of diff(1), from the first `@@` on: lines of bytes, each with its newline. None where one of them is
/// no text, which is what has a NUL in it. Where they are the same there are no lines.
///
/// It takes bounded time: of long texts that differ in most of their lines it finds differences, but not always the fewest.
#[must_use]
pub fn unified(before: &[u8], after: &[u8]) -> Option<Vec<u8>> {
    if before.contains(&0) || after.contains(&0) {
        return None;
    }
    let (old, new) = (lines(before), lines(after));
    let operations = capture_diff_slices(Algorithm::Myers, &old, &new);
    let mut text = Vec::new();
    for group in group_diff_ops(operations, CONTEXT) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else {
            continue;
        };
        let range = |from: usize, to: usize| match to - from {
            // Where nothing is, the line before is named.
            0 => format!("{from},0"),
            1 => format!("{}", from + 1),
            length => format!("{},{length}", from + 1),
        };
        let from = range(first.old_range().start, last.old_range().end);
        let to = range(first.new_range().start, last.new_range().end);
        text.extend_from_slice(format!("@@ -{from} +{to} @@\n").as_bytes());
        for operation in &group {
            let mut put = |sign: u8, lines: &[&[u8]]| {
                for line in lines {
                    text.push(sign);
                    text.extend_from_slice(line);
                    if !line.ends_with(b"\n") {
                        text.extend_from_slice(b"\n\\ No newline at end of file\n");
                    }
                }
            };
            if let DiffOp::Equal { .. } = operation {
                put(b' ', &old[operation.old_range()]);
                continue;
            }
            put(b'-', &old[operation.old_range()]);
            put(b'+', &new[operation.new_range()]);
        }
    }
    Some(text)
}

/// The lines of a text, each with its newline; the last may have none.
fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(before: &[u8], after: &[u8]) -> String {
        let text = unified(before, after).expect("text");
        String::from_utf8_lossy(&text).into_owned()
    }

    #[test]
    fn lines_are_as_diff_has_them() {
        let numbers = |from: usize, to: usize| -> String { (from..to).map(|number| format!("{number}\n")).collect() };
        for (before, after, expected) in [
            (String::new(), String::new(), String::new()),
            ("a\n".to_owned(), "a\n".to_owned(), String::new()),
            (String::new(), "a\n".to_owned(), "@@ -0,0 +1 @@\n+a\n".to_owned()),
            ("a\nb\n".to_owned(), String::new(), "@@ -1,2 +0,0 @@\n-a\n-b\n".to_owned()),
            (
                "a".to_owned(),
                "a\n".to_owned(),
                "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n".to_owned(),
            ),
            (
                numbers(1, 20),
                numbers(1, 19).replace("3\n", "x\n"),
                "@@ -1,6 +1,6 @@\n 1\n 2\n-3\n+x\n 4\n 5\n 6\n@@ -10,10 +10,9 @@\n 10\n 11\n 12\n-13\n+1x\n 14\n 15\n 16\n 17\n 18\n-19\n"
                    .to_owned(),
            ),
        ] {
            assert_eq!(shown(before.as_bytes(), after.as_bytes()), expected, "{before:?} {after:?}");
        }
        assert_eq!(
            unified(b"\xff\n", b"\xfe\n"),
            Some(b"@@ -1 +1 @@\n-\xff\n+\xfe\n".to_vec())
        );
    }

    #[test]
    fn what_has_a_nul_is_no_text() {
        assert_eq!(unified(b"a\0", b"a"), None);
        assert_eq!(unified(b"a", b"\0"), None);
    }
}
