//! Which path comes next of those that are looked for? In the order of the tree, round and round, whatever is folded.

use teu_image::growth::{Growth, ROOT};

use super::{query::Query, view::View};

/// The next path that `query` means, or the one before; `from_here` counts the one that is chosen.
pub(super) fn find(
    growth: &Growth,
    view: &View,
    query: &Query,
    chosen: Option<u32>,
    forward: bool,
    from_here: bool,
) -> Option<u32> {
    let mut first = None;
    let mut before = None;
    let mut last = None;
    let mut passed = chosen.is_none();
    let mut next = vec![ROOT];
    while let Some(number) = next.pop() {
        if !view.is_shown(number) {
            continue;
        }
        next.extend(growth.children(number).rev());
        let is_chosen = chosen == Some(number);
        let is_meant = number != ROOT && query.matches(growth, number);
        if is_chosen && !forward {
            before = last;
        }
        if is_meant {
            if forward && (passed || (is_chosen && from_here)) {
                return Some(number);
            }
            first = first.or(Some(number));
            last = Some(number);
        }
        passed |= is_chosen;
    }
    match forward {
        true => first,
        false => before.or(last),
    }
}
