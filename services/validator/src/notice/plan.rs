//! Step 3: how to come by the bytes, cheapest first. Pure: the plan is a value.

use revocast_messages::{CrlNotice, NoticeDifference, Source};
use revocast_pki::crl::Crl;

use crate::state::Live;

/// One way to come by the bytes of a CRL.
pub(crate) enum Step {
    /// They are in the notice.
    Inline(bytes::Bytes),
    /// They can be made from a CRL that is held.
    Difference(Crl, NoticeDifference),
    /// They are in the object store, under their hash.
    Object,
    /// A repository has them.
    Repository(String),
}

impl Step {
    /// What a receipt will say.
    pub(crate) fn source(&self) -> Source {
        match self {
            Step::Inline(_) => Source::Inline,
            Step::Difference(..) => Source::Difference,
            Step::Object => Source::Object,
            Step::Repository(_) => Source::Repository,
        }
    }
}

/// At most this many repositories are asked for one notice.
const MAX_LOCATIONS: usize = 4;

/// Which repositories may be asked: a notice can be anybody's, so its locations alone count for nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Repositories {
    /// URL prefixes of the configuration.
    pub prefixes: Vec<String>,
}

impl Repositories {
    /// Whether the configuration names a location.
    pub(crate) fn admit(&self, location: &str) -> bool {
        self.prefixes.iter().any(|prefix| location.starts_with(prefix.as_str()))
    }
}

/// The ways to come by a notice's CRL without leaving the broker, in the order in which they are tried.
pub(crate) fn plan(notice: &CrlNotice, live: &Live) -> Vec<Step> {
    let scope = (notice.issuer, notice.scope, notice.kind);
    let mut steps = Vec::new();
    if let Some(inline) = &notice.crl {
        steps.push(Step::Inline(inline.0.clone()));
    }
    if let Some(difference) = &notice.difference
        && let Some(base) = live.base(&scope, difference.base)
    {
        steps.push(Step::Difference(base, difference.clone()));
    }
    steps.push(Step::Object);
    steps
}

/// The repositories that are asked where nothing of that brings it: `named` are those of the notice's locations that
/// certificates name which lead to an anchor.
pub(crate) fn plan_repositories(
    notice: &CrlNotice,
    repositories: &Repositories,
    named: &[String],
) -> Vec<Step> {
    let admitted =
        notice.locations.iter().filter(|location| repositories.admit(location) || named.contains(location));
    admitted.take(MAX_LOCATIONS).cloned().map(Step::Repository).collect()
}
