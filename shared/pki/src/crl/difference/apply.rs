//! Carrying out the runs of a difference.

use std::thread;

use bytes::Bytes;

use super::encoding::runs;
use super::{Difference, DifferenceError, Run};

/// From this size on two threads make one half each. Nearly all of the time goes into memory that is touched for
/// the first time, and the system gives it to both at once.
const TWO_THREADS_FROM: usize = 1 << 23;

/// Makes what `difference` says from the base's TBSCertList.
pub(super) fn apply(difference: &Difference, tbs: &[u8]) -> Result<Bytes, DifferenceError> {
    let mut der = vec![0; difference.made];
    if der.len() < TWO_THREADS_FROM {
        fill(&mut der, 0, difference, tbs)?;
    } else {
        let middle = der.len() / 2;
        let (first, second) = der.split_at_mut(middle);
        thread::scope(|scope| {
            let filled = scope.spawn(|| fill(second, middle, difference, tbs));
            fill(first, 0, difference, tbs)?;
            filled.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
    }
    Ok(der.into())
}

/// Fills `part`, which begins at `at` of what is made.
fn fill(part: &mut [u8], at: usize, difference: &Difference, tbs: &[u8]) -> Result<(), DifferenceError> {
    let mut made = 0;
    for run in runs(difference) {
        let octets = match run {
            Run::Insert(octets) => Some(octets),
            Run::Copy { start, length } => start.checked_add(length).and_then(|end| tbs.get(start..end)),
        };
        let octets = octets.ok_or(DifferenceError::OutOfBase)?;
        // What of the run falls into the part.
        let skipped = at.saturating_sub(made).min(octets.len());
        let target = part.get_mut(made.saturating_sub(at)..).unwrap_or_default();
        let source = octets.get(skipped..).unwrap_or_default();
        let length = target.len().min(source.len());
        target[..length].copy_from_slice(&source[..length]);
        made += octets.len();
    }
    Ok(())
}
