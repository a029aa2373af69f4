//! [`Merge`]: the messages of several streams in one order.

/// Puts what several streams bring, each in its own order, into the order of time, as far as that can be told. A stream
/// that has caught up with the present is not waited for: what it brings later comes later. Pure.
#[derive(Debug)]
pub struct Merge<T> {
    lanes: Vec<Lane<T>>,
}

#[derive(Debug)]
struct Lane<T> {
    waiting: Option<(i64, T)>,
    caught_up: bool,
}

impl<T> Merge<T> {
    /// Of this many streams.
    pub fn new(streams: usize) -> Merge<T> {
        Merge { lanes: (0..streams).map(|_| Lane { waiting: None, caught_up: false }).collect() }
    }

    /// Whether a stream may bring its next: one is held at a time.
    pub fn has_room(&self, stream: usize) -> bool {
        self.lanes.get(stream).is_some_and(|lane| lane.waiting.is_none())
    }

    /// A stream brings its next, which is of this time.
    pub fn put(&mut self, stream: usize, time: i64, item: T) {
        if let Some(lane) = self.lanes.get_mut(stream) {
            lane.waiting = Some((time, item));
        }
    }

    /// A stream has nothing more that is old.
    pub fn catch_up(&mut self, stream: usize) {
        if let Some(lane) = self.lanes.get_mut(stream) {
            lane.caught_up = true;
        }
    }

    /// What comes next; nothing while a stream might still bring something earlier, or all is taken.
    pub fn take(&mut self) -> Option<T> {
        if self.lanes.iter().any(|lane| lane.waiting.is_none() && !lane.caught_up) {
            return None;
        }
        let time = |lane: &Lane<T>| lane.waiting.as_ref().map(|(time, _)| *time);
        let first =
            self.lanes.iter_mut().filter(|lane| lane.waiting.is_some()).min_by_key(|lane| time(lane))?;
        first.waiting.take().map(|(_, item)| item)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_stream_that_caught_up_is_not_waited_for() {
        let mut merge = Merge::new(2);
        merge.put(0, 10, "a");
        assert_eq!(merge.take(), None);
        merge.catch_up(1);
        assert_eq!(merge.take(), Some("a"));
        merge.put(1, 5, "late");
        assert_eq!(merge.take(), None);
        merge.catch_up(0);
        assert_eq!(merge.take(), Some("late"));
        assert_eq!(merge.take(), None);
    }

    proptest! {
        #[test]
        fn streams_that_are_in_order_merge_into_the_order_of_time(
            mut left in proptest::collection::vec(0i64..50, 0..20),
            mut right in proptest::collection::vec(0i64..50, 0..20),
            seed in any::<u64>(),
        ) {
            left.sort_unstable();
            right.sort_unstable();
            let mut expected = [left.clone(), right.clone()].concat();
            expected.sort_unstable();
            let mut random = fastrand::Rng::with_seed(seed);
            let mut sources = [left.into_iter().peekable(), right.into_iter().peekable()];
            let (mut merge, mut merged) = (Merge::new(2), Vec::new());
            while merged.len() < expected.len() {
                let lane = random.usize(0..2);
                match sources[lane].peek().copied() {
                    None => merge.catch_up(lane),
                    Some(time) if merge.has_room(lane) => {
                        merge.put(lane, time, time);
                        sources[lane].next();
                    }
                    Some(_) => {}
                }
                merged.extend(merge.take());
            }
            prop_assert_eq!(merged, expected);
        }
    }
}
