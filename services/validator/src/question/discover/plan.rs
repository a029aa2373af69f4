//! Whom to ask about a gap, and in which order. Pure: the plan is a value.
//!
//! The repository first: it is ours, near, and asked by name. Then the URLs that the certificate below the gap names,
//! as far as the rule admits them: a URL counts if the configuration names its prefix, or if the certificate itself
//! leads to an anchor. Anybody can put any URL into a certificate of his own making.

use std::collections::HashSet;

use revocast_messages::SearchBy;
use revocast_pki::certificate::Certificate;
use revocast_pki::name::Name;

use super::gaps::Gap;

/// At most this many are asked at once.
const MAX_ASKS: usize = 8;

/// What comes is held against at most this many certificates that it could have issued: targets of one question often
/// have one issuer.
const MAX_BELOW: usize = 8;

/// Octets of what is asked for, a name as it arrived and as it is compared, or a URL: of what anybody wrote into a
/// certificate, no more is asked or remembered. Real names have some hundred (RFC 5280 allows most attributes 64
/// characters), and longer ones are no CA's that could be found.
const MAX_ASK_SIZE: usize = 4 << 10;

/// Who is asked for what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Ask {
    /// A repository, for the certificates of a subject, best with this key.
    Repository(Name, Option<Vec<u8>>),
    /// The host of a URL.
    Url(String),
}

impl Ask {
    /// The word under which it is counted.
    pub(super) fn source(&self) -> &'static str {
        match self {
            Ask::Repository(..) => "repository",
            Ask::Url(_) => "url",
        }
    }

    /// Octets of what is asked for.
    pub(super) fn size(&self) -> usize {
        match self {
            Ask::Repository(name, key_id) => {
                name.der().len() + name.normal().len() + key_id.as_ref().map_or(0, Vec::len)
            }
            Ask::Url(url) => url.len(),
        }
    }

    /// As a search, where it is one.
    pub(super) fn search(&self) -> Option<SearchBy> {
        match self {
            Ask::Repository(name, key_id) => Some(SearchBy::Subject {
                name: name.der().clone().into(),
                key_id: key_id.clone().map(Into::into),
            }),
            Ask::Url(_) => None,
        }
    }
}

/// One thing to ask, and the certificates that what comes should have issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Errand {
    pub ask: Ask,
    pub below: Vec<Certificate>,
}

impl Errand {
    fn also_below(&mut self, below: &Certificate) {
        if self.below.len() < MAX_BELOW && !self.below.contains(below) {
            self.below.push(below.clone());
        }
    }
}

/// What may be asked.
pub(super) struct Rules<'a> {
    /// Whether there is a repository to ask.
    pub repository: bool,
    /// Whether a URL may be fetched that this certificate names.
    pub admits: &'a dyn Fn(&str, &Certificate) -> bool,
}

/// What to ask next about these gaps, leaving out what was asked.
pub(super) fn errands(gaps: &[Gap], asked: &HashSet<Ask>, rules: &Rules<'_>) -> Vec<Errand> {
    let mut errands: Vec<Errand> = Vec::new();
    for gap in gaps {
        for ask in next(gap, asked, rules) {
            let room = errands.len() < MAX_ASKS;
            match errands.iter_mut().find(|errand| errand.ask == ask) {
                Some(errand) => errand.also_below(&gap.below),
                None if room => errands.push(Errand { ask, below: vec![gap.below.clone()] }),
                None => return errands,
            }
        }
    }
    errands
}

/// The repository, or once it was asked, the URLs.
fn next(gap: &Gap, asked: &HashSet<Ask>, rules: &Rules<'_>) -> Vec<Ask> {
    // Asks are remembered: a name that is a part of the certificate would keep all of it.
    let repository = Ask::Repository(gap.issuer().detached(), gap.key_id());
    let is_new = |ask: &Ask| ask.size() <= MAX_ASK_SIZE && !asked.contains(ask);
    if rules.repository && is_new(&repository) {
        return vec![repository];
    }
    let urls = gap.urls().into_iter().filter(|url| (rules.admits)(url, &gap.below));
    urls.map(Ask::Url).filter(is_new).collect()
}
