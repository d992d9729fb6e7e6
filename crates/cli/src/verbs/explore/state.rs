//! What is looked at, and what becomes of it when a key is pressed? Nothing here knows a terminal.

use std::collections::HashSet;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use teu_image::growth::{Growth, ROOT, Version};
use teu_rootfs::Node;

use super::{
    image::About,
    names,
    query::Query,
    sheet::Sheet,
    view::{Row, View},
};

/// What is to be done about a key, beside looking at another thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Nothing,
    Quit,
    /// As ^C does elsewhere.
    Interrupt,
    Suspend,
    /// Read what is in this file, as it is in the chosen layer.
    Read(u32),
    /// Read no further.
    Cancel,
}

/// Which side has the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Focus {
    Layers,
    Files,
}

/// What is being typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prompt {
    pub(super) what: Asked,
    pub(super) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Search,
    Filter,
}

/// All that is seen.
pub(super) struct State {
    pub(super) about: About,
    pub(super) growth: Growth,
    pub(super) layer: usize,
    pub(super) focus: Focus,
    /// What the layer did, and not all until then.
    pub(super) alone: bool,
    pub(super) view: View,
    /// The line that is chosen, and the first that is seen.
    pub(super) cursor: usize,
    pub(super) top: usize,
    /// How many lines of files are seen, and of a sheet: as they were drawn last.
    pub(super) height: usize,
    pub(super) sheet_height: usize,
    pub(super) open: HashSet<u32>,
    pub(super) filter: String,
    search: Option<Query>,
    pub(super) prompt: Option<Prompt>,
    pub(super) sheet: Option<Sheet>,
    /// What is said in the last line.
    pub(super) note: String,
    /// A file is being read.
    pub(super) reading: bool,
}

impl State {
    pub(super) fn new(about: About, growth: Growth) -> Self {
        let mut state = Self {
            about,
            growth,
            layer: 0,
            focus: Focus::Layers,
            alone: false,
            view: View::default(),
            cursor: 0,
            top: 0,
            height: 20,
            sheet_height: 20,
            open: HashSet::new(),
            filter: String::new(),
            search: None,
            prompt: None,
            sheet: None,
            note: String::new(),
            reading: false,
        };
        state.look();
        state
    }

    /// The path that is chosen.
    pub(super) fn chosen(&self) -> Option<u32> {
        self.view.rows.get(self.cursor).map(|row| row.number)
    }

    /// Shows what was read, or why it was not.
    pub(super) fn read(&mut self, read: Result<Sheet, String>) {
        self.reading = false;
        match read {
            Ok(sheet) => {
                self.sheet = Some(sheet);
                self.note.clear();
            }
            Err(why) => self.note = why,
        }
    }

    pub(super) fn is_directory(&self, number: u32) -> bool {
        match self.growth.at(number, self.layer).filter(Version::is_there) {
            Some(version) => version.is_directory(),
            // What was removed is shown with what was in it.
            None => !self.growth.children(number).is_empty(),
        }
    }

    pub(super) fn is_open(&self, number: u32) -> bool {
        !self.filter.is_empty() || self.open.contains(&number)
    }

    pub(super) fn key(&mut self, key: KeyEvent) -> Action {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => return Action::Interrupt,
            KeyCode::Char('z') if control => return Action::Suspend,
            _ => {}
        }
        if self.prompt.is_some() {
            self.typed(key.code, control);
            return Action::Nothing;
        }
        self.note.clear();
        if self.reading && key.code == KeyCode::Esc {
            self.reading = false;
            return Action::Cancel;
        }
        if self.sheet.is_some() {
            self.page(key.code, control);
            return Action::Nothing;
        }
        match key.code {
            KeyCode::Char('q') => return Action::Quit,
            KeyCode::Char('?') | KeyCode::F(1) => self.sheet = Some(Sheet::help()),
            KeyCode::Tab | KeyCode::BackTab => {
                self.focus = match self.focus {
                    Focus::Layers => Focus::Files,
                    Focus::Files => Focus::Layers,
                };
            }
            KeyCode::Char('[') => self.choose_layer(self.layer.saturating_sub(1)),
            KeyCode::Char(']') => self.choose_layer(self.layer + 1),
            KeyCode::Char('m') => {
                self.alone = !self.alone;
                self.look();
            }
            KeyCode::Char('/') => self.ask(Asked::Search),
            KeyCode::Char('f') if !control => self.ask(Asked::Filter),
            KeyCode::Char('n') => self.find(true, false),
            KeyCode::Char('N') => self.find(false, false),
            KeyCode::Esc if !self.filter.is_empty() => {
                self.filter.clear();
                self.look();
            }
            KeyCode::Esc => self.search = None,
            code => match (self.focus, step(code, control, self.height)) {
                (Focus::Layers, Some(by)) => self.choose_layer(self.layer.saturating_add_signed(by)),
                (Focus::Files, Some(by)) => self.cursor = self.cursor.saturating_add_signed(by).min(self.last()),
                (Focus::Layers, None) => {
                    if matches!(code, KeyCode::Right | KeyCode::Enter | KeyCode::Char('l')) {
                        self.focus = Focus::Files;
                    }
                }
                (Focus::Files, None) => return self.fold(code),
            },
        }
        Action::Nothing
    }

    fn last(&self) -> usize {
        self.view.rows.len().saturating_sub(1)
    }

    fn choose_layer(&mut self, layer: usize) {
        let layer = layer.min(self.growth.layers().saturating_sub(1));
        if layer != self.layer {
            self.layer = layer;
            self.look();
        }
    }

    /// Looks at all of it anew, and stays at the path that was chosen, or near it.
    fn look(&mut self) {
        let chosen = self.chosen();
        let filter = Query::new(&self.filter);
        self.view = View::of(&self.growth, self.layer, self.alone, filter.as_ref());
        self.unfold(chosen);
    }

    fn unfold(&mut self, chosen: Option<u32>) {
        self.view.unfold(&self.growth, &self.open, !self.filter.is_empty());
        self.cursor = self.cursor.min(self.last());
        let mut near = chosen;
        while let Some(number) = near.filter(|number| *number != ROOT) {
            if let Some(row) = self.view.rows.iter().position(|row| row.number == number) {
                self.cursor = row;
                return;
            }
            near = Some(self.growth.parent(number));
        }
    }

    fn fold(&mut self, code: KeyCode) -> Action {
        let Some(Row { number, .. }) = self.view.rows.get(self.cursor).copied() else {
            return Action::Nothing;
        };
        let is_directory = self.is_directory(number);
        match code {
            KeyCode::Right | KeyCode::Char('l') if is_directory && self.is_open(number) => {
                let is_in = |row: &Row| self.growth.parent(row.number) == number;
                if self.view.rows.get(self.cursor + 1).is_some_and(is_in) {
                    self.cursor += 1;
                }
            }
            KeyCode::Right | KeyCode::Char('l') if is_directory => self.set_open(number, true),
            KeyCode::Left | KeyCode::Char('h') if is_directory && self.open.contains(&number) => {
                self.set_open(number, false);
            }
            KeyCode::Left | KeyCode::Char('h') => {
                let parent = self.growth.parent(number);
                let above = self.view.rows[..self.cursor]
                    .iter()
                    .rposition(|row| row.number == parent);
                self.cursor = above.unwrap_or(self.cursor);
            }
            KeyCode::Enter if is_directory => self.set_open(number, !self.open.contains(&number)),
            KeyCode::Enter => return self.open_file(number),
            KeyCode::Char('*') => {
                let mut next = vec![number];
                while let Some(number) = next.pop() {
                    let below: Vec<u32> = self.growth.children(number).collect();
                    if !below.is_empty() {
                        self.open.insert(number);
                        next.extend(below);
                    }
                }
                self.unfold(Some(number));
            }
            KeyCode::Char('-') => {
                self.open.clear();
                self.unfold(Some(number));
            }
            _ => {}
        }
        Action::Nothing
    }

    fn set_open(&mut self, number: u32, open: bool) {
        match open {
            true => self.open.insert(number),
            false => self.open.remove(&number),
        };
        self.unfold(Some(number));
    }

    fn open_file(&mut self, number: u32) -> Action {
        let state = names::state(&self.growth, self.growth.at(number, self.layer).as_ref());
        match state.map(|state| (state.node, state.entry)) {
            Some((Node::File(_), Some(_))) => {
                self.reading = true;
                Action::Read(number)
            }
            Some(_) => {
                "only regular files have content".clone_into(&mut self.note);
                Action::Nothing
            }
            None => {
                "it was removed here; in a layer below it can be read".clone_into(&mut self.note);
                Action::Nothing
            }
        }
    }

    fn ask(&mut self, what: Asked) {
        let text = match what {
            Asked::Search => String::new(),
            Asked::Filter => self.filter.clone(),
        };
        self.prompt = Some(Prompt { what, text });
    }

    fn typed(&mut self, code: KeyCode, control: bool) {
        let Some(prompt) = &mut self.prompt else { return };
        match code {
            KeyCode::Esc => self.prompt = None,
            KeyCode::Backspace if prompt.text.is_empty() => self.prompt = None,
            KeyCode::Backspace => drop(prompt.text.pop()),
            KeyCode::Char('u') if control => prompt.text.clear(),
            KeyCode::Char(c) if !control => prompt.text.push(c),
            KeyCode::Enter => {
                let Prompt { what, text } = prompt.clone();
                self.prompt = None;
                match what {
                    Asked::Filter => {
                        self.filter = text;
                        self.focus = Focus::Files;
                        self.look();
                    }
                    Asked::Search => {
                        self.search = Query::new(&text);
                        self.find(true, true);
                    }
                }
            }
            _ => {}
        }
    }

    /// Goes to what is looked for: the next in the order of the tree, folded away or not.
    fn find(&mut self, forward: bool, from_here: bool) {
        let Some(query) = &self.search else { return };
        if let Some(sheet) = &mut self.sheet {
            if !sheet.find(query, forward, from_here) {
                "nothing like that is in it".clone_into(&mut self.note);
            }
            return;
        }
        self.focus = Focus::Files;
        match super::walk::find(&self.growth, &self.view, query, self.chosen(), forward, from_here) {
            Some(number) => {
                let mut above = self.growth.parent(number);
                while above != ROOT {
                    self.open.insert(above);
                    above = self.growth.parent(above);
                }
                self.unfold(Some(number));
            }
            None => "nothing here is called so".clone_into(&mut self.note),
        }
    }

    fn page(&mut self, code: KeyCode, control: bool) {
        let height = self.sheet_height;
        let Some(sheet) = &mut self.sheet else { return };
        match code {
            KeyCode::Esc | KeyCode::Char('q' | '?') => self.sheet = None,
            KeyCode::Right | KeyCode::Char('l') => sheet.left += 8,
            KeyCode::Left | KeyCode::Char('h') => sheet.left = sheet.left.saturating_sub(8),
            KeyCode::Char('/') => self.ask(Asked::Search),
            KeyCode::Char('n') => self.find(true, false),
            KeyCode::Char('N') => self.find(false, false),
            code => {
                if let Some(by) = step(code, control, height) {
                    sheet.scroll(by, height);
                }
            }
        }
    }
}

/// By how many lines a key moves.
fn step(code: KeyCode, control: bool, height: usize) -> Option<isize> {
    let page = isize::try_from(height.saturating_sub(1).max(1)).unwrap_or(isize::MAX);
    match code {
        KeyCode::Up | KeyCode::Char('k') => Some(-1),
        KeyCode::Down | KeyCode::Char('j') => Some(1),
        KeyCode::PageUp | KeyCode::Char('b') => Some(-page),
        KeyCode::PageDown | KeyCode::Char(' ') => Some(page),
        KeyCode::Char('u') if control => Some(-page),
        KeyCode::Char('d') if control => Some(page),
        KeyCode::Home | KeyCode::Char('g') => Some(isize::MIN),
        KeyCode::End | KeyCode::Char('G') => Some(isize::MAX),
        _ => None,
    }
}
