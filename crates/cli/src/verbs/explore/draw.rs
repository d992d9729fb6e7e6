//! How does what is looked at stand on the screen? On the left layers and what is known of them, on the right files, below the chosen one and the
//! keys; on a narrow screen one side at a time.

use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
    style::{Color, Modifier, Style},
};
use teu_archive::Escaped;
use teu_image::growth::{Did, State as There};
use teu_rootfs::Node;

use super::{
    names,
    sheet::Sheet,
    state::{Asked, Focus, State},
    view::Row,
};
use crate::{listed, output};

/// The least that something can be seen on.
const LEAST: (u16, u16) = (30, 8);
/// From how many columns on both sides are seen, and what files say of themselves.
const BOTH: u16 = 70;
const LONG: u16 = 50;

/// Draws it, and says where the cursor stands, if anywhere.
pub(super) fn draw(state: &mut State, colours: bool, area: Rect, buffer: &mut Buffer) -> Option<Position> {
    let paint = Paint(colours);
    if area.width < LEAST.0 || area.height < LEAST.1 {
        put(buffer, area, "the terminal is too small", Style::new());
        return None;
    }
    let Rect { width, height, .. } = area;
    let rows = |y: u16, height: u16| Rect {
        y: area.y + y,
        height,
        ..area
    };
    let middle = rows(1, height - 3);
    if let Some(sheet) = &state.sheet {
        state.sheet_height = usize::from(middle.height);
        put(buffer, area, &sheet.title, paint.heading(true));
        lines(sheet, middle, buffer);
        let seen = (sheet.top + usize::from(middle.height)).min(sheet.lines.len());
        let place = format!("{seen} of {} lines", sheet.lines.len());
        put(buffer, rows(height - 2, 1), &place, paint.faint());
        return keys(
            state,
            rows(height - 1, 1),
            "arrows move  / search  n next  Esc back",
            paint,
            buffer,
        );
    }
    put(buffer, area, &state.about.title, paint.strong());
    let left = match width < BOTH {
        true if state.focus == Focus::Layers => width,
        true => 0,
        false => (width * 2 / 5).min(60),
    };
    if left > 0 {
        layers(state, Rect { width: left, ..middle }, paint, buffer);
    }
    if left < width {
        let gap = u16::from(left > 0);
        for y in middle.y..middle.bottom() {
            if gap > 0 {
                put(
                    buffer,
                    Rect {
                        x: area.x + left,
                        y,
                        width: 1,
                        height: 1,
                    },
                    "│",
                    paint.faint(),
                );
            }
        }
        let right = Rect {
            x: area.x + left + gap,
            width: width - left - gap,
            ..middle
        };
        files(state, right, paint, buffer);
    }
    put(buffer, rows(height - 2, 1), &chosen(state), Style::new());
    let help = match width < 76 {
        false => "Tab side  [ ] layer  m alone  / search  f filter  Enter open  ? keys  q end",
        // What leads to all others comes first, where not all have room.
        true => "? keys  q end  Tab side  / search  f filter  [ ] layer  m alone",
    };
    keys(state, rows(height - 1, 1), help, paint, buffer)
}

fn layers(state: &State, area: Rect, paint: Paint, buffer: &mut Buffer) {
    let line = |y: u16| Rect {
        y: area.y + y,
        height: 1,
        ..area
    };
    put(buffer, area, " Layers", paint.heading(state.focus == Focus::Layers));
    let count = state.about.layers.len();
    // What is known of them has the other half.
    let most = usize::from((area.height - 1) / 2).max(1);
    let shown = count.min(most);
    let top = state.layer.saturating_sub(shown.saturating_sub(1));
    for (y, (place, layer)) in (1..).zip(state.about.layers.iter().enumerate().skip(top).take(shown)) {
        let text = format!(" {place:>2} {:>9}  {}", output::size(layer.size), layer.made_by);
        let style = if place == state.layer {
            paint.chosen(state.focus == Focus::Layers)
        } else {
            Style::new()
        };
        put(buffer, line(y), &text, style);
    }
    let mut told = vec![(String::new(), Style::new())];
    let whole = state.about.whole();
    if let Some(layer) = state.about.layers.get(state.layer) {
        told.push((format!(" Layer {}", state.layer), paint.heading(false)));
        let [added, changed, removed] = state.view.counts;
        told.push((format!(" files    +{added} ~{changed} -{removed}"), Style::new()));
        for (name, value) in &layer.facts {
            told.push((format!(" {name:<8} {value}"), Style::new()));
        }
        let width = usize::from(area.width.saturating_sub(2)).max(1);
        let made_by: Vec<char> = layer.made_by.chars().collect();
        // Its lines and the whole image's have their room.
        let room = usize::from(area.height).saturating_sub(1 + shown + told.len() + 2 + whole.len());
        told.extend(
            made_by
                .chunks(width)
                .take(room)
                .map(|part| (format!(" {}", part.iter().collect::<String>()), paint.strong())),
        );
    }
    if !whole.is_empty() {
        told.push((String::new(), Style::new()));
        told.push((" Image".to_owned(), paint.heading(false)));
        told.extend(whole.iter().map(|line| (format!(" {line}"), Style::new())));
    }
    for (y, (text, style)) in (1 + shown as u16..area.height).zip(told) {
        put(buffer, line(y), &text, style);
    }
}

fn files(state: &mut State, area: Rect, paint: Paint, buffer: &mut Buffer) {
    let what = if state.alone { "of layer" } else { "up to layer" };
    let size = output::size(state.view.size(teu_image::growth::ROOT));
    let mut title = format!(" Files {what} {}, {size}", state.layer);
    if !state.filter.is_empty() {
        title.push_str(&format!(", called {:?}", state.filter));
    }
    put(buffer, area, &title, paint.heading(state.focus == Focus::Files));
    let height = usize::from(area.height - 1);
    state.height = height;
    // The chosen line is always seen, and the others stand still where they can.
    let lowest = (state.cursor + 1).saturating_sub(height);
    let full = state.view.rows.len().saturating_sub(height);
    state.top = state.top.min(full).clamp(lowest, state.cursor.max(lowest));
    if state.view.rows.is_empty() {
        let line = Rect {
            y: area.y + 1,
            height: 1,
            ..area
        };
        put(buffer, line, "   nothing", paint.faint());
    }
    let seen = state.view.rows.iter().enumerate().skip(state.top).take(height);
    for (y, (place, row)) in (1..).zip(seen) {
        let line = Rect {
            y: area.y + y,
            height: 1,
            ..area
        };
        let (text, style) = file(state, *row, area.width, paint);
        let style = match place == state.cursor {
            true => style.patch(paint.chosen(state.focus == Focus::Files)),
            false => style,
        };
        put(buffer, line, &text, style);
    }
}

/// A line of the tree.
fn file(state: &State, row: Row, width: u16, paint: Paint) -> (String, Style) {
    let number = row.number;
    let version = state.growth.at(number, state.layer);
    let did = version
        .as_ref()
        .filter(|version| version.layer == state.layer)
        .map(|version| version.did);
    let is_directory = state.is_directory(number);
    let (mark, style) = match did {
        Some(Did::Add) => ('+', paint.colour(Color::Green)),
        Some(Did::Change) => ('~', paint.colour(Color::Yellow)),
        Some(Did::Remove) => ('-', paint.colour(Color::Red)),
        _ if is_directory && state.view.is_touched(number) => ('·', paint.colour(Color::Yellow)),
        _ => (' ', Style::new()),
    };
    let there = names::state(&state.growth, version.as_ref());
    let about = match &there {
        _ if width < LONG => String::new(),
        Some(there) => {
            let metadata = &there.metadata;
            let owner = format!("{}:{}", metadata.uid, metadata.gid);
            format!(
                "{}{} {owner:>9} ",
                listed::letter(&there.node),
                listed::permissions(metadata.mode)
            )
        }
        None => " ".repeat(21),
    };
    let arrow = match is_directory {
        true if state.is_open(number) => "▾ ",
        true => "▸ ",
        false => "  ",
    };
    let indent = usize::from(row.depth) * 2;
    let indent = " ".repeat(indent.min(usize::from(width) / 2));
    let size = output::size(state.view.size(number));
    let name = names::name(&state.growth, number);
    let name = Escaped(&name);
    (
        format!("{mark} {about}{size:>9} {indent}{arrow}{name}{}", leads(there.as_ref())),
        style,
    )
}

fn leads(there: Option<&There>) -> String {
    match there.map(|there| &there.node) {
        Some(Node::Directory) => "/".to_owned(),
        Some(Node::Symlink(target)) => format!(" -> {}", Escaped(target)),
        _ => String::new(),
    }
}

/// What is told of the chosen file.
fn chosen(state: &State) -> String {
    let Some(number) = state.chosen() else {
        return String::new();
    };
    let path = listed::path(&names::path(&state.growth, number));
    let Some(version) = state.growth.at(number, state.layer) else {
        return path;
    };
    let Some(there) = names::state(&state.growth, Some(&version)) else {
        return format!("{path}  removed by layer {}", version.layer);
    };
    let metadata = &there.metadata;
    let mut text = format!(
        "{path}{}  {}{} {}:{}  layer {}  {}",
        leads(Some(&there)),
        listed::letter(&there.node),
        listed::permissions(metadata.mode),
        metadata.uid,
        metadata.gid,
        version.layer,
        listed::time(metadata.mtime),
    );
    match &there.node {
        Node::File(size) => text.push_str(&format!("  {size} bytes")),
        Node::CharDevice(device) | Node::BlockDevice(device) => {
            text.push_str(&format!("  device {},{}", device.major, device.minor));
        }
        _ => {}
    }
    for name in metadata.xattrs.keys() {
        text.push_str(&format!("  {}", Escaped(name)));
    }
    text
}

/// The last line: what is typed, what is said, or which keys there are.
fn keys(state: &State, area: Rect, help: &str, paint: Paint, buffer: &mut Buffer) -> Option<Position> {
    if let Some(prompt) = &state.prompt {
        let asked = match prompt.what {
            Asked::Search => "search: ",
            Asked::Filter => "filter: ",
        };
        let end = put(buffer, area, &format!("{asked}{}", prompt.text), paint.strong());
        return Some(Position::new(end.min(area.right() - 1), area.y));
    }
    match state.note.as_str() {
        "" => put(buffer, area, help, paint.faint()),
        note => put(buffer, area, note, paint.strong()),
    };
    None
}

fn lines(sheet: &Sheet, area: Rect, buffer: &mut Buffer) {
    let seen = sheet.lines.iter().skip(sheet.top).take(usize::from(area.height));
    for (y, text) in (area.y..).zip(seen) {
        let line = Rect { y, height: 1, ..area };
        let text: String = text.chars().skip(sheet.left).take(usize::from(area.width)).collect();
        put(buffer, line, &text, Style::new());
    }
}

/// Writes a line, cut to its area; the whole of it has the style. Where it ended.
fn put(buffer: &mut Buffer, area: Rect, text: &str, style: Style) -> u16 {
    let line = Rect { height: 1, ..area };
    buffer.set_style(line, style);
    let (x, _) = buffer.set_stringn(area.x, area.y, text, usize::from(area.width), style);
    x
}

/// Colours, where they are wanted.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn colour(self, colour: Color) -> Style {
        match self.0 {
            true => Style::new().fg(colour),
            false => Style::new(),
        }
    }

    fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    fn faint(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    fn heading(self, focused: bool) -> Style {
        match focused {
            true => self.strong().add_modifier(Modifier::REVERSED),
            false => self.strong().add_modifier(Modifier::UNDERLINED),
        }
    }

    fn chosen(self, focused: bool) -> Style {
        match focused {
            true => Style::new().add_modifier(Modifier::REVERSED),
            false => self.strong(),
        }
    }
}
