//! What a validator counts.

use std::ops::Deref;
use std::sync::Arc;

use revocast_daemon::{Counter, Gauge, Histogram, Metrics, Series};
use revocast_messages::{Outcome, Source};

/// Why messages are put aside.
const ASIDE: &[&str] = &[
    "subject",
    "stream",
    "version",
    "size",
    "undecodable",
    "disagreement",
    "certificate",
    "limit",
    "unverifiable",
    "given_up",
    "not_shown",
];

/// The validator's series, under the names that exporters of this field use where there are such. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Counts(Arc<All>);

impl Deref for Counts {
    type Target = All;

    fn deref(&self) -> &All {
        &self.0
    }
}

pub(crate) struct All {
    /// Notices by what became of them.
    notices: Vec<(&'static str, Series)>,
    /// CRLs that came to be enforced, by source.
    applied: Vec<(&'static str, Series)>,
    /// Messages put aside, by reason.
    pub aside: Counter,
    /// Notices that are owed.
    pub owed: Gauge,
    /// Seconds from a notice's arrival to the swap.
    pub apply_seconds: Histogram,
    pub persist_seconds: Histogram,
    answers: [Series; 4],
    /// Seconds per question.
    pub question_seconds: Histogram,
    /// CRLs of one number with different words.
    pub conflicts: Counter,
    /// Conflicting CRLs beyond those that are joined.
    pub conflicts_dropped: Counter,
    /// CRL number enforced, by issuer, scope and kind.
    pub crl_number: Gauge,
    /// nextUpdate enforced, seconds since the epoch.
    pub crl_next_update: Gauge,
    /// 1 where what is enforced is past its nextUpdate, else 0.
    pub crl_stale: Gauge,
}

impl Counts {
    pub(crate) fn new(metrics: &Metrics) -> Counts {
        let notices = metrics.counter("revocast_notices", "notices by what became of them");
        let applied = metrics.counter("revocast_crls_applied", "CRLs that came to be enforced, by source");
        let all = All {
            notices: series(&notices, "outcome", NOTICES),
            applied: series(&applied, "source", SOURCES.map(Source::word)),
            aside: metrics.counter("revocast_put_aside", "messages put aside, by reason"),
            owed: metrics.gauge("revocast_notices_owed", "notices that are still to be finished"),
            apply_seconds: metrics.histogram("revocast_apply_seconds", "from a notice's arrival to the swap"),
            persist_seconds: metrics
                .histogram("revocast_persist_seconds", "writing a CRL and its mark to the disk"),
            answers: answers(metrics),
            question_seconds: metrics.histogram("revocast_question_seconds", "per question"),
            conflicts_dropped: metrics.counter(
                "revocast_crl_conflicts_dropped",
                "conflicting CRLs that were let go, since more conflict than are joined",
            ),
            conflicts: metrics.counter("revocast_crl_conflicts", "CRLs of one number with different words"),
            crl_number: metrics.gauge("x509_crl_number", "CRL number that is enforced"),
            crl_next_update: metrics.gauge(
                "x509_crl_next_update",
                "nextUpdate of the CRL that is enforced, seconds since the epoch",
            ),
            crl_stale: metrics
                .gauge("x509_crl_stale", "1 while the CRL that is enforced is past its nextUpdate, else 0"),
        };
        all.begin();
        Counts(Arc::new(all))
    }
}

impl All {
    /// A series that begins with its first event hides that event from `increase`: each begins at zero, as far as its
    /// labels are known.
    fn begin(&self) {
        let begin = |counter: &Counter, label: &str, values: &[&str]| {
            values.iter().for_each(|value| counter.add(&[(label, value)], 0));
        };
        begin(&self.aside, "reason", ASIDE);
        self.conflicts.add(&[], 0);
        self.conflicts_dropped.add(&[], 0);
        self.owed.set(&[], 0.0);
    }
}

/// What becomes of notices.
const NOTICES: [&str; 6] = ["applied", "learned", "obsolete", "withheld", "owed", "aside"];

/// Whence CRLs come that come to be enforced.
const SOURCES: [Source; 4] = [Source::Inline, Source::Difference, Source::Object, Source::Repository];

/// The series of these values, which are not looked up each time.
fn series<const N: usize>(
    counter: &Counter,
    label: &str,
    values: [&'static str; N],
) -> Vec<(&'static str, Series)> {
    values.into_iter().map(|value| (value, counter.series(&[(label, value)]))).collect()
}

fn count(series: &[(&'static str, Series)], value: &str) {
    if let Some((_, series)) = series.iter().find(|(known, _)| *known == value) {
        series.add_one();
    }
}

/// The outcomes in the order of the series.
const OUTCOMES: [Outcome; 4] = [Outcome::Valid, Outcome::Revoked, Outcome::Invalid, Outcome::Indeterminate];

fn answers(metrics: &Metrics) -> [Series; 4] {
    let counter = metrics.counter("revocast_answers", "certificates judged, by outcome");
    OUTCOMES.map(|outcome| counter.series(&[("outcome", &outcome.to_string())]))
}

impl All {
    /// Counts a notice of which this became.
    pub(crate) fn notice(&self, outcome: &str) {
        count(&self.notices, outcome);
    }

    /// Counts a CRL that came to be enforced.
    pub(crate) fn applied(&self, source: Source) {
        count(&self.applied, source.word());
    }

    /// Certificates judged, by outcome.
    pub(crate) fn answer(&self, outcome: Outcome) -> &Series {
        let [valid, revoked, invalid, indeterminate] = &self.answers;
        match outcome {
            Outcome::Valid => valid,
            Outcome::Revoked => revoked,
            Outcome::Invalid => invalid,
            Outcome::Indeterminate => indeterminate,
        }
    }
}
