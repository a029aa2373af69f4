//! [`PlainQuestion`]: what most questions are, read where it lies.

use crate::codec::{Message, Octets};
use crate::question::{Question, QuestionOptions};

/// A question about a few certificates that asks for verdicts of now and for no explanation. It borrows all that it asks
/// about, so one that can be answered from what is known costs no copy of its certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainQuestion<'a> {
    certificates: [&'a [u8]; PlainQuestion::MAX_CERTIFICATES],
    count: usize,
    /// A policy of the validator's configuration, by name.
    pub policy: Option<&'a str>,
    /// A DNS name that the certificates must be for.
    pub dns: Option<&'a str>,
    /// The extended key usage that is asked for, by name or dotted OID.
    pub eku: Option<&'a str>,
}

impl<'a> PlainQuestion<'a> {
    /// Certificates that a plain question is about at the most; at least it is about one.
    pub const MAX_CERTIFICATES: usize = 8;

    /// Reads the binary form. `None` says that it is no plain question, if it is one at all: [`decode`](crate::decode)
    /// tells. Whatever is read here, `decode` reads alike.
    pub fn read(octets: &'a [u8]) -> Option<PlainQuestion<'a>> {
        if octets.len() > Question::MAX_BYTES {
            return None;
        }
        let mut octets = Octets(octets);
        if octets.next()? != Question::VERSION {
            return None;
        }
        let count = octets.count()?;
        let mut certificates = [&[][..]; PlainQuestion::MAX_CERTIFICATES];
        for place in certificates.get_mut(..count)? {
            *place = octets.blob()?;
        }
        // They are for whoever searches.
        let intermediates = octets.count()?;
        for _ in 0..intermediates {
            octets.blob()?;
        }
        let (policy, dns, eku) = (octets.optional_text()?, octets.optional_text()?, octets.optional_text()?);
        let is_plain = count > 0 && intermediates <= Question::MAX_INTERMEDIATES && octets.0 == NO_MORE;
        is_plain.then_some(PlainQuestion { certificates, count, policy, dns, eku })
    }

    /// The same of a question that was read.
    pub fn of(question: &'a Question) -> Option<PlainQuestion<'a>> {
        let Question { certificates: asked, intermediates, options } = question;
        let QuestionOptions { policy, dns, eku, explain, .. } = options;
        let count = asked.len();
        let mut certificates = [&[][..]; PlainQuestion::MAX_CERTIFICATES];
        for (place, certificate) in certificates.get_mut(..count)?.iter_mut().zip(asked) {
            *place = certificate;
        }
        let (policy, dns, eku) = (policy.as_deref(), dns.as_deref(), eku.as_deref());
        let is_plain = count > 0
            && intermediates.len() <= Question::MAX_INTERMEDIATES
            && !explain
            && !options.is_historical();
        is_plain.then_some(PlainQuestion { certificates, count, policy, dns, eku })
    }

    /// What it is about, DER: at least one.
    pub fn certificates(&self) -> &[&'a [u8]] {
        self.certificates.get(..self.count).unwrap_or_default()
    }
}

/// No explanation, and no instant of the past.
const NO_MORE: [u8; 3] = [0; 3];
