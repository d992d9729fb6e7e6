//! What goes between the thread that reads a layer ahead and the one that applies it? [`Line`]: entries in their order, as many as memory and disk may
//! hold, and one end.

use std::{
    collections::VecDeque,
    ops::ControlFlow,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use teu_store::{Error, ErrorKind};

use super::ahead::{AheadLimits, End, Item};

/// What was lined up, between the two threads.
pub(super) struct Line {
    state: Mutex<State>,
    moved: Condvar,
    memory: usize,
    lying: u64,
}

struct State {
    items: VecDeque<Item>,
    end: Option<End>,
    held: usize,
    lying: u64,
    /// How many bytes the tree may have yet.
    left: u64,
    /// All was applied that was there: it is the layer's turn, and more is waited for.
    wanted: bool,
    /// Nobody will apply anything.
    abandoned: bool,
    /// How many wait.
    waiting: usize,
}

impl State {
    fn new(left: u64) -> Self {
        Self {
            items: VecDeque::new(),
            end: None,
            held: 0,
            lying: 0,
            left,
            wanted: false,
            abandoned: false,
            waiting: 0,
        }
    }
}

impl Line {
    /// Of a tree that may have `left` more bytes of content: no more than that lie there, beside what the layer that is applied meanwhile takes.
    pub(super) fn new(most: &AheadLimits, left: u64) -> Self {
        Self {
            state: Mutex::new(State::new(left)),
            moved: Condvar::new(),
            memory: most.memory,
            lying: most.lying,
        }
    }

    /// Another layer was applied: how many bytes the tree may have yet.
    pub(super) fn leave(&self, left: u64) {
        self.state().left = left;
    }

    /// How many bytes may lie there.
    fn most(&self, state: &State) -> u64 {
        self.lying.min(state.left)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(&self, holds: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let mut state = self.state();
        while holds(&state) {
            state.waiting += 1;
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        state
    }

    fn wake(&self, state: &State) {
        if state.waiting > 0 {
            self.moved.notify_all();
        }
    }

    /// Lines an item up, and waits for room before it.
    pub(super) fn push(&self, item: Item) {
        let held = item.held();
        let mut state = self.wait_while(|state| self.is_full(state, held, 0));
        if state.abandoned {
            return;
        }
        state.held += held;
        state.lying += item.lying();
        state.items.push_back(item);
        self.wake(&state);
    }

    /// Waits for room for a file of so many bytes; whether there is some before more is wanted.
    pub(super) fn waits_for_room(&self, bytes: u64) -> bool {
        let state = self.wait_while(|state| self.is_full(state, 0, bytes));
        state.lying.saturating_add(bytes) <= self.most(&state)
    }

    /// Whether all was applied that was lined up, or never will be.
    pub(super) fn is_wanted(&self) -> bool {
        let state = self.state();
        state.wanted || state.abandoned
    }

    /// Ends the line, where it has no end yet.
    pub(super) fn end(&self, end: End) {
        let mut state = self.state();
        if state.end.is_none() && !state.abandoned {
            state.end = Some(end);
        }
        self.wake(&state);
    }

    pub(super) fn abandon(&self) {
        let mut state = self.state();
        state.abandoned = true;
        let (items, end) = (std::mem::take(&mut state.items), state.end.take());
        self.wake(&state);
        drop(state);
        drop((items, end));
    }

    /// Whether who fills the line is to wait with so much more.
    fn is_full(&self, state: &State, held: usize, lying: u64) -> bool {
        let is_full = state.held + held > self.memory || state.lying.saturating_add(lying) > self.most(state);
        is_full && !state.wanted && !state.abandoned
    }

    /// What is to be applied next, or how it ends.
    pub(super) fn next(&self) -> ControlFlow<End, Item> {
        let mut state = self.state();
        loop {
            if let Some(item) = state.items.pop_front() {
                state.held -= item.held();
                state.lying -= item.lying();
                state.left = state.left.saturating_sub(item.lying());
                if state.held <= self.memory / 2 && state.lying <= self.most(&state) / 2 {
                    self.wake(&state);
                }
                return ControlFlow::Continue(item);
            }
            if let Some(end) = state.end.take() {
                return ControlFlow::Break(end);
            }
            state.wanted = true;
            self.wake(&state);
            drop(state);
            state = self.wait_while(|state| state.items.is_empty() && state.end.is_none());
        }
    }
}

/// Who fills the line: it has an end when he is gone.
pub(super) struct Filling(pub(super) Arc<Line>);

impl Drop for Filling {
    fn drop(&mut self) {
        let broken = Error::new(ErrorKind::Cancelled, "the layer was broken off before its end");
        self.0.end(End::Failed(broken));
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn failed(name: &str) -> Item {
        Item::Failed(name.into(), 0, Error::new(ErrorKind::Invalid, "as asked"))
    }

    fn line(memory: usize, lying: u64, left: u64) -> Line {
        let most = AheadLimits {
            least: 0,
            memory,
            lying,
        };
        Line::new(&most, left)
    }

    #[test]
    fn there_is_room_up_to_what_the_tree_may_have() {
        for (line, is_full) in [
            (line(0, 10, 100), [false, true]),
            (line(0, 100, 10), [false, true]),
            (line(0, 11, 11), [false, false]),
        ] {
            let state = line.state();
            assert_eq!([10, 11].map(|bytes| line.is_full(&state, 0, bytes)), is_full);
        }
        let line = line(1000, 10, 10);
        let mut state = State::new(10);
        (state.lying, state.held) = (4, 900);
        assert_eq!([6, 7].map(|bytes| line.is_full(&state, 0, bytes)), [false, true]);
        assert_eq!([100, 101].map(|bytes| line.is_full(&state, bytes, 0)), [false, true]);
        state.wanted = true;
        assert!(!line.is_full(&state, 101, 7));
    }

    #[test]
    fn what_the_layers_below_take_is_no_room() {
        let line = line(1000, 100, 90);
        line.leave(40);
        let is_full = |bytes| line.is_full(&line.state(), 0, bytes);
        assert_eq!([40, 41].map(is_full), [false, true]);
        // What lay there and was applied has been taken, too: there is as much room as before, and no more.
        line.state().lying = 30;
        assert_eq!([10, 11].map(is_full), [false, true]);
        line.leave(0);
        assert!(is_full(1));
    }

    #[test]
    fn what_is_too_large_waits_until_more_is_wanted() {
        let line = line(1000, 10, 10);
        thread::scope(|scope| {
            let filling = scope.spawn(|| line.waits_for_room(11));
            // It is its turn, and nothing is there.
            let next = scope.spawn(|| line.next());
            assert!(!filling.join().expect("a thread"));
            assert!(line.is_wanted());
            line.push(failed("late"));
            assert!(matches!(
                next.join().expect("a thread"),
                ControlFlow::Continue(Item::Failed(..))
            ));
        });
        assert!(line.waits_for_room(10));
    }

    #[test]
    fn a_line_ends_however_who_fills_it_ends() {
        let line = Arc::new(line(1000, 10, 10));
        line.push(failed("first"));
        drop(Filling(Arc::clone(&line)));
        assert!(matches!(line.next(), ControlFlow::Continue(_)));
        let ControlFlow::Break(End::Failed(error)) = line.next() else {
            panic!("it has no end")
        };
        assert_eq!(error.kind(), &ErrorKind::Cancelled);
    }

    #[test]
    fn nobody_waits_for_room_in_a_line_that_was_abandoned() {
        let line = line(0, 0, 0);
        line.abandon();
        line.push(failed("lost"));
        assert!(!line.waits_for_room(1));
        assert!(line.state().items.is_empty());
    }
}
