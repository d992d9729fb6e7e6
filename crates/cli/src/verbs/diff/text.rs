//! How do two images differ, as a person reads it? What was taken away has a `-`, what was put in a `+`, what is other a `~`.

use std::io::Write;

use teu_archive::Escaped;
use teu_image::{
    Layer,
    diff::{Aspect, Change, Field, Pair, Text, Texts},
    tree::{Described, File},
};
use teu_rootfs::Node;

use super::{Files, Found};
use crate::{
    failure::Failure,
    listed,
    output::{self, Paint, plain},
};

/// The most characters that are shown of a field's value.
const LONGEST: usize = 300;

/// Writes it to `out`.
pub(super) fn report(found: &Found<'_>, paint: Paint, out: &mut impl Write) -> Result<(), Failure> {
    if found.is_same() {
        return Ok(());
    }
    let of = |side: usize| {
        let image = &found.sides[side].image;
        format!(
            "{} {} {}",
            found.names[side],
            image.descriptor.digest,
            image.config.platform()
        )
    };
    let mut text = heads([of(0), of(1)], paint);
    if let Some(documents) = &found.documents {
        for (title, differing) in [("manifest", &documents.manifest), ("config", &documents.config)] {
            if !differing.is_empty() {
                text.push_str(&format!("\n{}\n", paint.strong(title)));
                text.extend(differing.iter().map(|field| fields(field, paint)));
            }
        }
    }
    if let Some(pairs) = found.layers.as_ref().filter(|pairs| !pairs.iter().all(Pair::is_same)) {
        text.push_str(&format!(
            "\n{}\n{}",
            paint.strong("layers"),
            layers(found, pairs, paint)
        ));
    }
    out.write_all(text.as_bytes())?;
    match found.files.as_ref().filter(|files| files.all() > 0) {
        Some(found) => files(found, paint, out),
        None => Ok(()),
    }
}

/// The two lines that say what is compared.
pub(super) fn heads([before, after]: [String; 2], paint: Paint) -> String {
    let line = |text: String| paint.strong(&plain(&text)) + "\n";
    line(format!("--- {before}")) + &line(format!("+++ {after}"))
}

pub(super) fn fields(field: &Field, paint: Paint) -> String {
    let value = |value: &serde_json::Value| {
        let text = plain(&value.to_string());
        match text.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{}… ({} bytes more)", &text[..end], text.len() - end),
            None => text,
        }
    };
    let path = plain(&field.path);
    let line = match (&field.before, &field.after) {
        (Some(before), Some(after)) => paint.changed(&format!("~ {path}: {} -> {}", value(before), value(after))),
        (Some(before), None) => paint.removed(&format!("- {path}: {}", value(before))),
        (None, Some(after)) => paint.added(&format!("+ {path}: {}", value(after))),
        (None, None) => return String::new(),
    };
    format!("  {line}\n")
}

fn layers(found: &Found<'_>, pairs: &[Pair<'_>], paint: Paint) -> String {
    let histories = found.sides.map(|side| side.image.history());
    let cells = |sign: &str, layer: &Layer, side: usize| {
        let made_by = histories[side][layer.position].map_or("", |history| history.created_by.trim());
        vec![
            format!("  {sign}"),
            layer.position.to_string(),
            layer.descriptor.digest.short(),
            output::size(layer.descriptor.size),
            plain(made_by),
        ]
    };
    let mut rows = Vec::new();
    let mut signs = Vec::new();
    for pair in pairs {
        match (pair.before, pair.after) {
            (Some(before), Some(after)) => {
                let mut row = cells(if pair.is_same() { " " } else { "=" }, after, 1);
                if before.descriptor.digest != after.descriptor.digest {
                    row[2] = format!("{} -> {}", before.descriptor.digest.short(), row[2]);
                    row[3] = format!("{} -> {}", output::size(before.descriptor.size), row[3]);
                }
                rows.push(row);
                signs.push(' ');
            }
            (Some(before), None) => {
                rows.push(cells("-", before, 0));
                signs.push('-');
            }
            (None, Some(after)) => {
                rows.push(cells("+", after, 1));
                signs.push('+');
            }
            (None, None) => {}
        }
    }
    let lines = output::cut_text(&rows);
    let lines = lines.lines().zip(signs).map(|(line, sign)| match sign {
        '-' => paint.removed(line),
        '+' => paint.added(line),
        _ => line.to_owned(),
    });
    lines.map(|line| line + "\n").collect()
}

fn files(found: &Files, paint: Paint, out: &mut impl Write) -> Result<(), Failure> {
    let title = format!(
        "files: {} added, {} removed, {} changed",
        found.added, found.removed, found.changed
    );
    writeln!(out, "\n{}", paint.strong(&title))?;
    let mut texts = found.texts.as_ref().map(Texts::show);
    for change in found.changes() {
        let change = change?;
        let past = texts.as_mut().map(|texts| texts.past(&change)).transpose()?.flatten();
        let past = past.map(|(limit, value)| format!("not shown, past the limit {limit} of {value}"));
        let path = listed::path(&change.path);
        let [before, after] = [change.before, change.after].map(|file| file.map(File::read).transpose());
        let line = match (before?, after?) {
            (None, Some(file)) => paint.added(&format!("+ {path}{}", alone(&file, past))),
            (Some(file), None) => paint.removed(&format!("- {path}{}", alone(&file, past))),
            (Some(before), Some(after)) => {
                let aspects = change
                    .differs
                    .iter()
                    .map(|aspect| differs(aspect, &change.path, &before, &after));
                let aspects: Vec<String> = aspects.chain(past).collect();
                paint.changed(&format!("~ {path}  {}", aspects.join(", ")))
            }
            (None, None) => continue,
        };
        writeln!(out, "  {line}")?;
    }
    let Some(mut texts) = found.texts.as_ref().map(Texts::show) else {
        return Ok(());
    };
    for change in found.changes() {
        let change = change?;
        match texts.text(&change)? {
            Some(Text::Unified(lines)) if !lines.is_empty() => hunks(&change, &lines, paint, out)?,
            Some(Text::Binary) => {
                let [old, new] = names(&change);
                writeln!(
                    out,
                    "\n{}",
                    paint.strong(&format!("Binary files {old} and {new} differ"))
                )?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// What is told of a file that only one image has.
fn alone(file: &Described, past: Option<String>) -> String {
    let metadata = &file.metadata;
    let (letter, permissions) = (listed::letter(&file.node), listed::permissions(metadata.mode));
    let about = format!("  {letter}{permissions} {}:{}", metadata.uid, metadata.gid);
    match &file.node {
        Node::Symlink(target) => format!(" -> {}", Escaped(target)),
        Node::File(size) => match past {
            Some(past) => format!("{about} {}, {past}", output::size(*size)),
            None => format!("{about} {}", output::size(*size)),
        },
        Node::CharDevice(_) | Node::BlockDevice(_) => format!("{about} {}", device(file)),
        _ => about,
    }
}

fn differs(aspect: &Aspect, path: &[u8], before: &Described, after: &Described) -> String {
    let both = |what: &str, told: fn(&Described) -> String| format!("{what} {} -> {}", told(before), told(after));
    match aspect {
        Aspect::Kind => both("type", |file| listed::word(&file.node).to_owned()),
        Aspect::Content => match (&before.node, &after.node) {
            (Node::File(old), Node::File(new)) if old != new => {
                format!("content {} -> {}", output::size(*old), output::size(*new))
            }
            _ => "content".to_owned(),
        },
        Aspect::ContentUnknown => "perhaps content: its holes are too many to read".to_owned(),
        Aspect::Target => both("leads to", |file| match &file.node {
            Node::Symlink(target) => Escaped(target).to_string(),
            _ => String::new(),
        }),
        Aspect::Device => both("device", device),
        Aspect::Mode => both("mode", |file| listed::permissions(file.metadata.mode)),
        Aspect::Owner => both("owner", |file| format!("{}:{}", file.metadata.uid, file.metadata.gid)),
        Aspect::Xattrs(names) => {
            let (old, new) = (&before.metadata.xattrs, &after.metadata.xattrs);
            let told = names.iter().map(|name| {
                let sign = match (old.contains_key(name), new.contains_key(name)) {
                    (true, false) => '-',
                    (false, true) => '+',
                    _ => '~',
                };
                format!("{sign}{}", Escaped(name))
            });
            format!("xattrs {}", told.collect::<Vec<_>>().join(" "))
        }
        Aspect::Links(first) => {
            let of = |first: &[u8]| match first == path {
                true => "a file of its own".to_owned(),
                false => format!("one file with {}", listed::path(first)),
            };
            format!("{} -> {}", of(&first[0]), of(&first[1]))
        }
        Aspect::Time => both("time", |file| listed::time(file.metadata.mtime)),
    }
}

fn device(file: &Described) -> String {
    match &file.node {
        Node::CharDevice(device) | Node::BlockDevice(device) => format!("{},{}", device.major, device.minor),
        _ => String::new(),
    }
}

/// The lines of a file that differ, as `diff -u` has them. What is no text to a terminal is escaped, but for tabs.
fn hunks(change: &Change<'_>, lines: &[u8], paint: Paint, out: &mut impl Write) -> Result<(), Failure> {
    let [old, new] = names(change);
    writeln!(out, "\n{}", paint.strong(&format!("--- {old}")))?;
    writeln!(out, "{}", paint.strong(&format!("+++ {new}")))?;
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let shown = listed::text_line(line);
        let shown = match line.first() {
            Some(b'-') => paint.removed(&shown),
            Some(b'+') => paint.added(&shown),
            Some(b'@') => paint.place(&shown),
            _ => shown,
        };
        writeln!(out, "{shown}")?;
    }
    Ok(())
}

/// What a file is called on both sides, as patch(1) reads it.
fn names(change: &Change<'_>) -> [String; 2] {
    let path = listed::path(&change.path);
    let name = |letter: char, file: Option<File<'_>>| match file {
        Some(_) => format!("{letter}{path}"),
        None => "/dev/null".to_owned(),
    };
    [name('a', change.before), name('b', change.after)]
}
