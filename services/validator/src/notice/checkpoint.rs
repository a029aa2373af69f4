//! Step 9: the stream's checkpoint moves past notices that are done with: applied, obsolete, put aside, or durably
//! owed. A crash at any point leads to the same notices again, which changes nothing.

use std::collections::BTreeMap;

use revocast_bus::Checkpoint;

/// Which messages of a stream are under way. Pure.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    under_way: BTreeMap<u64, Option<Checkpoint>>,
    reached: Option<Checkpoint>,
}

impl Progress {
    /// A message was taken up.
    pub(crate) fn begin(&mut self, sequence: u64) {
        self.under_way.insert(sequence, None);
    }

    /// A message is done with.
    pub(crate) fn done(&mut self, position: Checkpoint) {
        self.under_way.insert(position.sequence, Some(position));
        while let Some(first) = self.under_way.first_entry() {
            if first.get().is_none() {
                break;
            }
            self.reached = first.remove();
        }
    }

    /// A message could not be finished, for a fault of our own: the checkpoint stays before it.
    /// Everything is begun anew when the stream is attached again.
    pub(crate) fn restart(&mut self) {
        self.under_way.clear();
    }

    /// Takes the position that is reached since the last call.
    pub(crate) fn take(&mut self) -> Option<Checkpoint> {
        self.reached.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(sequence: u64) -> Checkpoint {
        Checkpoint { stream_created: "x".into(), sequence, stored_at_ns: 0, subject: "s".into() }
    }

    #[test]
    fn the_checkpoint_never_passes_a_message_that_is_under_way() {
        let mut progress = Progress::default();
        for sequence in [3, 5, 6, 9] {
            progress.begin(sequence);
        }
        progress.done(at(5));
        progress.done(at(6));
        assert_eq!(progress.take(), None);
        progress.done(at(3));
        assert_eq!(progress.take(), Some(at(6)));
        assert_eq!(progress.take(), None);
        progress.done(at(9));
        assert_eq!(progress.take(), Some(at(9)));
    }
}
