//! How is a document changed without losing anything? By an [`Editor`], which splices into the bytes that it was given.
//!
//! What is not touched keeps its bytes: fields that we do not know, their order, white space, escapes, the form of numbers. What is new is
//! put in the manner of what stands beside it: on a line of its own with the same indent, or close behind.
//!
//! ```
//! use teu_spec::json::edit::Editor;
//!
//! let raw = &b"{\n  \"a\": 1.50,\n  \"b\": {}\n}\n"[..];
//! let mut editor = Editor::new(raw.into())?;
//! editor.set(&["b".into(), "c".into()], "new")?;
//! assert_eq!(editor.finish(), "{\n  \"a\": 1.50,\n  \"b\": {\n    \"c\": \"new\"\n  }\n}\n");
//! # Ok::<(), teu_spec::Error>(())
//! ```

use bytes::Bytes;
use serde::Serialize;

use super::{Shape, check};
use crate::{
    Error,
    json::{
        extent::{value_end, whitespace_end},
        style::Style,
    },
};

/// One step from a value to one inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// To the value of a key of an object.
    Key(&'a str),
    /// To an element of an array, counted from 0.
    At(usize),
}

impl<'a> From<&'a str> for Step<'a> {
    fn from(key: &'a str) -> Self {
        Self::Key(key)
    }
}

impl From<usize> for Step<'_> {
    fn from(place: usize) -> Self {
        Self::At(place)
    }
}

/// Changes values of one document, found by their path from the root.
///
/// A method that fails may have made the empty objects that the path asked for; nothing else was changed.
#[derive(Clone, Debug)]
pub struct Editor {
    before: Bytes,
    root: Node,
    after: Bytes,
    style: Style,
}

impl Editor {
    /// An editor of `raw`, which must be one JSON object that passes [`check`].
    ///
    /// # Errors
    /// [`Error::Json`] where it does not.
    pub fn new(raw: Bytes) -> Result<Self, Error> {
        check(&raw, Shape::Any)?;
        let start = whitespace_end(&raw, 0);
        let end = value_end(&raw, start);
        let container = Container::read(&raw.slice(start..end));
        Ok(Self {
            before: raw.slice(..start),
            after: raw.slice(end..),
            style: container.style(),
            root: Node::Open(container),
        })
    }

    /// Puts `value` at `path`, in place of what is there, or as a new key or element behind the others. Objects that the path asks for
    /// are made where they are absent or `null`.
    ///
    /// # Errors
    /// [`Error::Json`] where the path leads through what is no object or array, or past the end of an array.
    pub fn set<T: Serialize + ?Sized>(&mut self, path: &[Step<'_>], value: &T) -> Result<(), Error> {
        self.put(path, value, |container| container.entries.len())
    }

    /// As [`Self::set`], but a new key stands behind the last of the keys `after` that are there, or first where none is.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn set_after<T: Serialize + ?Sized>(
        &mut self,
        path: &[Step<'_>],
        after: &[&str],
        value: &T,
    ) -> Result<(), Error> {
        self.put(path, value, |container| {
            let known = |entry: &Entry| after.contains(&entry.name.as_str());
            container.entries.iter().rposition(known).map_or(0, |place| place + 1)
        })
    }

    /// Puts `values` into an array before the element that `path` names, or at the end where it names the place behind the last.
    ///
    /// # Errors
    /// [`Error::Json`] where the path leads to no place of an array.
    pub fn insert<T: Serialize>(&mut self, path: &[Step<'_>], values: &[T]) -> Result<(), Error> {
        let Some((Step::At(place), parent)) = path.split_last() else {
            return Err(no_such(path));
        };
        let depth = parent.len();
        let style = self.style.clone();
        match self.container(parent, true)? {
            Some(container) if !container.object && *place <= container.entries.len() => {
                container.insert_all(*place, values, &style, depth)
            }
            _ => Err(no_such(path)),
        }
    }

    /// Takes away what stands at `path`, and says whether there was anything.
    ///
    /// # Errors
    /// [`Error::Json`] where the path leads through what is no object or array.
    pub fn remove(&mut self, path: &[Step<'_>]) -> Result<bool, Error> {
        let Some((last, parent)) = path.split_last() else {
            return Err(no_such(path));
        };
        let Some(container) = self.container(parent, false)? else {
            return Ok(false);
        };
        let Some(place) = container.find(*last) else {
            return Ok(false);
        };
        container.retain(|other| other != place);
        Ok(true)
    }

    /// Keeps those entries of the array or object at `path` for which `keep` says so, by their place. Nothing happens where there is none.
    ///
    /// # Errors
    /// [`Error::Json`] where the path leads to what is no object or array.
    pub fn retain(&mut self, path: &[Step<'_>], keep: impl Fn(usize) -> bool) -> Result<(), Error> {
        if let Some(container) = self.container(path, false)? {
            container.retain(keep);
        }
        Ok(())
    }

    /// The document as it is now.
    #[must_use]
    pub fn finish(self) -> Bytes {
        let mut out = Vec::new();
        out.extend_from_slice(&self.before);
        self.root.write(&mut out);
        out.extend_from_slice(&self.after);
        out.into()
    }

    fn put<T: Serialize + ?Sized>(
        &mut self,
        path: &[Step<'_>],
        value: &T,
        place_of_new: impl Fn(&Container) -> usize,
    ) -> Result<(), Error> {
        let Some((last, parent)) = path.split_last() else {
            return Err(no_such(path));
        };
        let depth = parent.len();
        let style = self.style.clone();
        let Some(container) = self.container(parent, true)? else {
            return Err(no_such(path));
        };
        match (container.find(*last), *last) {
            (Some(place), _) => {
                let entry = &mut container.entries[place];
                entry.value = Node::Text(style.render(value, &entry.lead, depth + 1)?);
                Ok(())
            }
            (None, Step::Key(key)) if container.object => {
                let place = place_of_new(container);
                container.insert(place, Some(key), value, &style, depth)
            }
            (None, Step::At(place)) if !container.object && place == container.entries.len() => {
                container.insert(place, None, value, &style, depth)
            }
            _ => Err(no_such(path)),
        }
    }

    /// The container at `path`. Where a key is absent or its value `null`, it is made as an object if `create` says so, and `None` if not.
    fn container(&mut self, path: &[Step<'_>], create: bool) -> Result<Option<&mut Container>, Error> {
        let Self { root, style, .. } = self;
        let mut node = root;
        for (depth, step) in path.iter().enumerate() {
            let container = node.open().ok_or_else(|| no_such(path))?;
            let place = match (container.find(*step), *step) {
                (Some(place), _) => place,
                (None, _) if !create => return Ok(None),
                (None, Step::Key(key)) if container.object => {
                    let place = container.entries.len();
                    container.insert(place, Some(key), &serde_json::Map::new(), style, depth)?;
                    place
                }
                _ => return Err(no_such(path)),
            };
            node = &mut container.entries[place].value;
            if matches!(node, Node::Text(text) if text == "null") {
                if !create {
                    return Ok(None);
                }
                *node = Node::Text(Bytes::from_static(b"{}"));
            }
        }
        node.open().map(Some).ok_or_else(|| no_such(path))
    }
}

fn no_such(path: &[Step<'_>]) -> Error {
    let path: Vec<String> = path
        .iter()
        .map(|step| match step {
            Step::Key(key) => format!("{key:?}"),
            Step::At(place) => place.to_string(),
        })
        .collect();
    Error::Json(format!("there is no place [{}] in it", path.join(", ")))
}

/// A value: as it was written, or taken apart because something inside it is changed.
#[derive(Clone, Debug)]
enum Node {
    Text(Bytes),
    Open(Container),
}

impl Node {
    fn open(&mut self) -> Option<&mut Container> {
        if let Self::Text(text) = self {
            if !text.starts_with(b"{") && !text.starts_with(b"[") {
                return None;
            }
            *self = Self::Open(Container::read(text));
        }
        match self {
            Self::Open(container) => Some(container),
            Self::Text(_) => None,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => out.extend_from_slice(text),
            Self::Open(container) => container.write(out),
        }
    }
}

/// An object or an array, with all the white space in it.
#[derive(Clone, Debug)]
struct Container {
    object: bool,
    entries: Vec<Entry>,
    /// What stands between the brackets where there are no entries.
    hollow: Bytes,
}

#[derive(Clone, Debug)]
struct Entry {
    /// The white space from the bracket or comma before it.
    lead: Bytes,
    /// The key as it is written, quotes and all; empty in an array.
    key: Bytes,
    /// The key as it is meant.
    name: String,
    /// The colon with the white space around it; empty in an array.
    colon: Bytes,
    value: Node,
    /// The white space to the comma or bracket behind it.
    trail: Bytes,
}

impl Container {
    /// Takes apart what is known to be valid.
    fn read(text: &Bytes) -> Self {
        let object = text.starts_with(b"{");
        let mut entries = Vec::new();
        let mut hollow = Bytes::new();
        let end = text.len() - 1;
        let mut at = 1;
        while at < end {
            let lead = text.slice(at..whitespace_end(text, at));
            at += lead.len();
            if at == end {
                hollow = lead;
                break;
            }
            let (key, colon) = if object {
                let key = text.slice(at..value_end(text, at));
                at += key.len();
                let value = whitespace_end(text, whitespace_end(text, at) + 1);
                let colon = text.slice(at..value);
                at = value;
                (key, colon)
            } else {
                (Bytes::new(), Bytes::new())
            };
            let value = text.slice(at..value_end(text, at));
            at += value.len();
            let trail = text.slice(at..whitespace_end(text, at));
            at += trail.len() + 1;
            entries.push(Entry {
                lead,
                name: serde_json::from_slice(&key).unwrap_or_default(),
                key,
                colon,
                value: Node::Text(value),
                trail,
            });
        }
        Self {
            object,
            entries,
            hollow,
        }
    }

    fn style(&self) -> Style {
        let leads: Vec<&[u8]> = self.entries.iter().take(2).map(|entry| &*entry.lead).collect();
        Style::of(&leads, self.entries.first().map(|entry| &*entry.colon))
    }

    fn find(&self, step: Step<'_>) -> Option<usize> {
        match step {
            Step::Key(key) if self.object => self.entries.iter().position(|entry| entry.name == key),
            Step::At(place) if !self.object && place < self.entries.len() => Some(place),
            _ => None,
        }
    }

    fn insert<T: Serialize + ?Sized>(
        &mut self,
        place: usize,
        key: Option<&str>,
        value: &T,
        style: &Style,
        depth: usize,
    ) -> Result<(), Error> {
        // White space belongs to a place, not to an entry: the first one's lead, what stands between two, the last one's trail.
        let first_lead = match self.entries.first() {
            Some(first) => first.lead.clone(),
            None => style.line(depth + 1),
        };
        let between = match self.entries.get(1) {
            Some(second) => second.lead.clone(),
            None => style.between(&first_lead),
        };
        let last_trail = match self.entries.last() {
            Some(last) => last.trail.clone(),
            None => style.line(depth),
        };
        let lead = if place == 0 { first_lead } else { between.clone() };
        let value = Node::Text(style.render(value, &lead, depth + 1)?);
        let colon = match (key, self.entries.last()) {
            (None, _) => Bytes::new(),
            (Some(_), Some(sibling)) => sibling.colon.clone(),
            (Some(_), None) => style.colon(),
        };
        let key_text = match key {
            Some(key) => style.render(key, &[], depth)?,
            None => Bytes::new(),
        };
        if place == 0
            && let Some(first) = self.entries.first_mut()
        {
            first.lead = between;
        }
        let trail = if place == self.entries.len() {
            let usual = match &*self.entries {
                [first, _, ..] => first.trail.clone(),
                _ => Bytes::new(),
            };
            if let Some(last) = self.entries.last_mut() {
                last.trail = usual;
            }
            last_trail
        } else {
            Bytes::new()
        };
        let entry = Entry {
            lead,
            key: key_text,
            name: key.unwrap_or_default().to_owned(),
            colon,
            value,
            trail,
        };
        self.entries.insert(place, entry);
        Ok(())
    }

    /// Inserts elements into an array. The first and the last find their white space by [`Self::insert`]; the others stand between two,
    /// and go in at once, for each insertion moves all that is behind it.
    fn insert_all<T: Serialize>(
        &mut self,
        place: usize,
        values: &[T],
        style: &Style,
        depth: usize,
    ) -> Result<(), Error> {
        let (first, others) = match values {
            [] => return Ok(()),
            [only] => return self.insert(place, None, only, style, depth),
            [first, others @ .., last] => {
                self.insert(place, None, last, style, depth)?;
                (first, others)
            }
        };
        self.insert(place, None, first, style, depth)?;
        let lead = self.entries[place + 1].lead.clone();
        let entry = |value| {
            Ok(Entry {
                value: Node::Text(style.render(value, &lead, depth + 1)?),
                lead: lead.clone(),
                key: Bytes::new(),
                name: String::new(),
                colon: Bytes::new(),
                trail: Bytes::new(),
            })
        };
        let entries: Vec<Entry> = others.iter().map(entry).collect::<Result<_, Error>>()?;
        self.entries.splice(place + 1..place + 1, entries);
        Ok(())
    }

    fn retain(&mut self, keep: impl Fn(usize) -> bool) {
        let (Some(first), Some(last)) = (self.entries.first(), self.entries.last()) else {
            return;
        };
        let (lead, trail) = (first.lead.clone(), last.trail.clone());
        let mut place = 0;
        self.entries.retain(|_| {
            place += 1;
            keep(place - 1)
        });
        if let Some(first) = self.entries.first_mut() {
            first.lead = lead;
        }
        if let Some(last) = self.entries.last_mut() {
            last.trail = trail;
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(if self.object { b'{' } else { b'[' });
        if self.entries.is_empty() {
            out.extend_from_slice(&self.hollow);
        }
        for (place, entry) in self.entries.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&entry.lead);
            out.extend_from_slice(&entry.key);
            out.extend_from_slice(&entry.colon);
            entry.value.write(out);
            out.extend_from_slice(&entry.trail);
        }
        out.push(if self.object { b'}' } else { b']' });
    }
}
