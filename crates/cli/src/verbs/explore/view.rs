//! Which files are seen, with which sizes and marks? One pass over all paths of the image for a layer and a filter, and one over what is unfolded.

use std::collections::HashSet;

use teu_image::growth::{Did, Growth, ROOT};

use super::query::Query;

/// What is seen of a layer.
#[derive(Debug, Default)]
pub(super) struct View {
    /// The lines, from the top.
    pub(super) rows: Vec<Row>,
    /// How many paths the layer added, changed and removed.
    pub(super) counts: [usize; 3],
    sizes: Vec<u64>,
    shown: Vec<bool>,
    touched: Vec<bool>,
}

/// A line: a path and how deep it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) number: u32,
    pub(super) depth: u16,
}

impl View {
    /// Looks at all paths; a directory has a lower number than what is in it.
    pub(super) fn of(growth: &Growth, layer: usize, alone: bool, filter: Option<&Query>) -> Self {
        let length = growth.len() as usize;
        let mut view = Self {
            sizes: vec![0; length],
            shown: vec![false; length],
            touched: vec![false; length],
            ..Self::default()
        };
        for number in (0..growth.len()).rev() {
            let at = number as usize;
            let parent = growth.parent(number) as usize;
            if let Some(version) = growth.at(number, layer) {
                let is_here = version.layer == layer;
                let count = match version.did {
                    Did::Add => Some(0),
                    Did::Change => Some(1),
                    Did::Remove => Some(2),
                    Did::Repeat => None,
                };
                if let Some(count) = count.filter(|_| is_here && number != ROOT) {
                    view.counts[count] += 1;
                    view.touched[at] = true;
                }
                let is_seen = version.is_there() || is_here;
                if is_seen && (is_here || !alone) {
                    view.sizes[at] += version.size;
                    view.shown[at] |= filter.is_none_or(|filter| filter.matches(growth, number));
                }
            }
            if number != ROOT {
                view.sizes[parent] += view.sizes[at];
                view.touched[parent] |= view.touched[at];
                view.shown[parent] |= view.shown[at];
            }
        }
        view
    }

    /// Makes the lines anew; where there is a filter everything is unfolded that leads to what it means.
    pub(super) fn unfold(&mut self, growth: &Growth, open: &HashSet<u32>, all: bool) {
        self.rows.clear();
        let mut next: Vec<Row> = Vec::new();
        let below = |number: u32, depth: u16, next: &mut Vec<Row>| {
            next.extend(growth.children(number).rev().map(|number| Row { number, depth }));
        };
        below(ROOT, 0, &mut next);
        while let Some(row) = next.pop() {
            if !self.shown[row.number as usize] {
                continue;
            }
            self.rows.push(row);
            if all || open.contains(&row.number) {
                below(row.number, row.depth.saturating_add(1), &mut next);
            }
        }
    }

    /// Bytes of a file, or of all that is in a directory.
    pub(super) fn size(&self, number: u32) -> u64 {
        self.sizes[number as usize]
    }

    /// Whether it is seen, though perhaps folded away.
    pub(super) fn is_shown(&self, number: u32) -> bool {
        self.shown[number as usize]
    }

    /// Whether the layer did something to it, or to something in it.
    pub(super) fn is_touched(&self, number: u32) -> bool {
        self.touched[number as usize]
    }
}
