//! In which order do images come to their names that are copied side by side? In that of their list: a place that lists what it was given, as a layout,
//! lists the same each time, whichever of them was read first.

use tokio::sync::watch;

/// What those do one after the other that otherwise go side by side. Each has a number, from 0 on, and each passes once, whatever becomes of it.
#[derive(Debug)]
pub(super) struct Order(watch::Sender<usize>);

/// The place of one of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    order: &'a Order,
    number: usize,
}

impl Order {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    pub(super) fn place(&self, number: usize) -> Place<'_> {
        Place { order: self, number }
    }
}

impl Place<'_> {
    /// Returns once all before it have passed.
    pub(super) async fn come(self) {
        // It is not closed while it is held here.
        let _ = self.order.0.subscribe().wait_for(|next| *next >= self.number).await;
    }

    /// Has the next come.
    pub(super) fn pass(self) {
        self.order.0.send_replace(self.number + 1);
    }
}
