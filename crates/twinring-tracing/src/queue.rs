//! Records that wait for a collector, in the order of their numbers, and what was dropped between them.

use std::collections::VecDeque;

/// What a record costs besides its bytes.
const OVERHEAD: usize = 64;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Record(Vec<u8>),
    /// So many, of which this was the last number.
    Dropped {
        last: u64,
        count: u64,
    },
}

impl Item {
    fn cost(&self) -> usize {
        match self {
            Item::Record(record) => record.len() + OVERHEAD,
            Item::Dropped { .. } => 0,
        }
    }
}

pub(crate) struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
    limit: usize,
}

impl Queue {
    pub(crate) fn new(limit: usize) -> Queue {
        Queue {
            items: VecDeque::new(),
            bytes: 0,
            limit,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether a record of this length may be pushed.
    pub(crate) fn has_room(&self, len: usize) -> bool {
        self.bytes + len + OVERHEAD <= self.limit
    }

    pub(crate) fn push(&mut self, record: Vec<u8>) {
        self.push_back(Item::Record(record));
    }

    /// The record of this number is dropped.
    pub(crate) fn push_dropped(&mut self, number: u64) {
        match self.items.back_mut() {
            Some(Item::Dropped { last, count }) => (*last, *count) = (number, *count + 1),
            _ => self.push_back(Item::Dropped {
                last: number,
                count: 1,
            }),
        }
    }

    fn push_back(&mut self, item: Item) {
        self.bytes += item.cost();
        self.items.push_back(item);
    }

    /// The first items, one or more until they have this many bytes.
    pub(crate) fn take(&mut self, bytes: usize) -> Vec<Item> {
        let (mut taken, mut cost) = (Vec::new(), 0);
        while cost < bytes {
            let Some(item) = self.items.pop_front() else {
                break;
            };
            cost += item.cost();
            taken.push(item);
        }
        self.bytes -= cost;
        taken
    }

    /// Puts items before all others. They may go beyond the limit.
    pub(crate) fn put_back(&mut self, items: impl DoubleEndedIterator<Item = Item>) {
        for item in items.rev() {
            self.bytes += item.cost();
            self.items.push_front(item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(len: usize) -> Item {
        Item::Record(vec![0; len])
    }

    #[test]
    fn what_is_dropped_keeps_its_place() {
        let mut queue = Queue::new(2 * (10 + OVERHEAD));
        queue.push(vec![0; 10]);
        queue.push(vec![0; 10]);
        assert!(!queue.has_room(0));
        queue.push_dropped(3);
        queue.push_dropped(4);
        assert_eq!(queue.take(1), [record(10)]);
        assert!(queue.has_room(10));
        queue.push(vec![0; 9]);
        queue.push_dropped(6);
        queue.put_back([record(10)].into_iter());
        let dropped = |last, count| Item::Dropped { last, count };
        assert_eq!(
            queue.take(usize::MAX),
            [
                record(10),
                record(10),
                dropped(4, 2),
                record(9),
                dropped(6, 1)
            ]
        );
        assert!(queue.is_empty() && queue.bytes == 0);
    }
}
