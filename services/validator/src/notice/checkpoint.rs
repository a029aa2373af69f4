//! Step 9: the stream's checkpoint moves past notices that are done with: applied, obsolete, put aside, or durably
//! owed. A crash at any point leads to the same notices again, which changes nothing.

use std::collections::BTreeMap;

use revocast_bus::Checkpoint;

/// Which messages of a stream are under way. Pure.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Counts how often the stream was begun anew: what was begun before counts no more.
    generation: u64,
    /// Counts that, and how often sequences came to mean other messages.
    epoch: u64,
    /// Our own disk failed us since then.
    is_broken: bool,
    under_way: BTreeMap<u64, Option<Checkpoint>>,
    reached: Option<Checkpoint>,
}

/// A message that was taken up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    generation: u64,
    epoch: u64,
    /// `None` for a head, which no checkpoint waits for.
    sequence: Option<u64>,
}

impl Progress {
    /// The next message in order was taken up.
    pub(crate) fn begin(&mut self, sequence: u64) -> Ticket {
        self.under_way.insert(sequence, None);
        Ticket { sequence: Some(sequence), ..self.begin_head() }
    }

    /// A head was taken up.
    pub(crate) fn begin_head(&self) -> Ticket {
        Ticket { generation: self.generation, epoch: self.epoch, sequence: None }
    }

    /// A message is done with. Returns up to where all are, if that is farther than before.
    pub(crate) fn done(&mut self, ticket: Ticket, position: Checkpoint) -> Option<&Checkpoint> {
        if ticket.epoch != self.epoch {
            return None;
        }
        *self.under_way.get_mut(&ticket.sequence?)? = Some(position);
        let mut moved = false;
        while let Some(first) = self.under_way.first_entry() {
            if first.get().is_none() {
                break;
            }
            (self.reached, moved) = (first.remove(), true);
        }
        self.reached.as_ref().filter(|_| moved)
    }

    /// A message could not be finished, for a fault of our own: the checkpoint stays before it. `true` if it is to be
    /// begun anew; what was begun before the last time already is.
    pub(crate) fn failed(&mut self, ticket: Ticket) -> bool {
        let is_current = ticket.generation == self.generation;
        self.is_broken |= is_current;
        is_current
    }

    /// Whether all that was taken up since this ticket's beginning was finished, or is under way.
    pub(crate) fn is_sound_since(&self, ticket: Ticket) -> bool {
        ticket.generation == self.generation && !self.is_broken
    }

    /// Everything that is not finished is begun anew, since the stream is attached again.
    pub(crate) fn restart(&mut self) {
        self.generation += 1;
        self.is_broken = false;
        self.resync();
    }

    /// The stream is another one now, or lost its tail: what is under way is of the heads that were just told, or gone.
    pub(crate) fn resync(&mut self) {
        self.epoch += 1;
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
        let [three, five, six, nine] = [3, 5, 6, 9].map(|sequence| progress.begin(sequence));
        assert_eq!(progress.done(five, at(5)), None);
        assert_eq!(progress.done(six, at(6)), None);
        assert_eq!(progress.take(), None);
        assert_eq!(progress.done(three, at(3)), Some(&at(6)));
        assert_eq!(progress.take(), Some(at(6)));
        assert_eq!(progress.take(), None);
        progress.done(nine, at(9));
        assert_eq!(progress.take(), Some(at(9)));
    }

    /// I7.
    #[test]
    fn what_is_finished_after_a_disk_fault_moves_no_checkpoint_past_what_failed() {
        let mut progress = Progress::default();
        let (five, seven) = (progress.begin(5), progress.begin(7));
        assert!(progress.failed(five));
        progress.restart();
        assert_eq!(progress.done(seven, at(7)), None);
        assert_eq!(progress.take(), None, "nothing was begun anew");
        let [five, again] = [5, 7].map(|sequence| progress.begin(sequence));
        assert_eq!(progress.done(seven, at(7)), None);
        assert_eq!(progress.done(five, at(5)), Some(&at(5)), "7 is begun anew, and not done with");
        assert_eq!(progress.done(again, at(7)), Some(&at(7)));
    }

    #[test]
    fn after_a_resync_a_sequence_is_another_message_and_a_fault_is_still_one() {
        let mut progress = Progress::default();
        let (head, old) = (progress.begin_head(), progress.begin(5));
        progress.resync();
        let new = progress.begin(5);
        assert_eq!(progress.done(old, at(5)), None);
        assert_eq!(progress.done(new, at(5)), Some(&at(5)));
        assert!(progress.failed(head), "a head that was told before the resync was");
    }

    #[test]
    fn a_fault_is_over_when_the_stream_was_begun_anew_and_only_then() {
        let mut progress = Progress::default();
        let (head, message) = (progress.begin_head(), progress.begin(5));
        assert!(progress.is_sound_since(head));
        assert!(progress.failed(message) && !progress.is_sound_since(head));
        progress.done(message, at(5));
        assert!(!progress.is_sound_since(head));
        progress.restart();
        assert!(!progress.is_sound_since(head) && progress.is_sound_since(progress.begin_head()));
        assert!(!progress.failed(message), "that fault is known already");
    }
}
