//! What a validator counts.

use revocast_daemon::{Counter, Gauge, Histogram, Metrics, Series};
use revocast_messages::Outcome;

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

/// The validator's series, under the names that exporters of this field use where there are such.
#[derive(Clone)]
pub(crate) struct Counts {
    /// Notices by what became of them.
    pub notices: Counter,
    /// CRLs that came to be enforced, by source.
    pub applied: Counter,
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
        let counts = Counts {
            notices: metrics.counter("revocast_notices", "notices by what became of them"),
            applied: metrics.counter("revocast_crls_applied", "CRLs that came to be enforced, by source"),
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
        counts.begin();
        counts
    }

    /// A series that begins with its first event hides that event from `increase`: each begins at zero, as far as its
    /// labels are known.
    fn begin(&self) {
        let begin = |counter: &Counter, label: &str, values: &[&str]| {
            values.iter().for_each(|value| counter.add(&[(label, value)], 0));
        };
        begin(&self.notices, "outcome", &["applied", "learned", "obsolete", "withheld", "owed", "aside"]);
        begin(&self.applied, "source", &["inline", "difference", "object", "repository"]);
        begin(&self.aside, "reason", ASIDE);
        self.conflicts.add(&[], 0);
        self.conflicts_dropped.add(&[], 0);
        self.owed.set(&[], 0.0);
    }
}

/// The outcomes in the order of the series.
const OUTCOMES: [Outcome; 4] = [Outcome::Valid, Outcome::Revoked, Outcome::Invalid, Outcome::Indeterminate];

fn answers(metrics: &Metrics) -> [Series; 4] {
    let counter = metrics.counter("revocast_answers", "certificates judged, by outcome");
    OUTCOMES.map(|outcome| counter.series(&[("outcome", &outcome.to_string())]))
}

impl Counts {
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
