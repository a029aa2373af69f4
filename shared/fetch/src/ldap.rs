//! One LDAPv3 search (RFC 4511): the values of the attributes that an LDAP URL (RFC 4516) names, in one entry.
//!
//! As much of LDAP as CRL distribution points and AIA need (RFC 4516; RFC 4523 for the attributes): anonymous,
//! without a bind, scope base, no filter of consequence, no referrals. Everything else is refused by name.

use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use percent_encoding::percent_decode_str;
use revocast_pki::asn1::{Tag, Writer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};

use crate::connect::Stream;
use crate::deadline::{Pace, Stage};
use crate::error::FetchError;
use crate::fetcher::{Exchange, Validators};
use crate::http::Answer;
use crate::target::{Target, shown};

/// Attributes that a URL may name; those of certificates name one.
const MAX_ATTRIBUTES: usize = 8;

/// Read at once, at most.
const PIECE: usize = 64 * 1024;

/// `[APPLICATION n]`, constructed.
const fn application(n: u8) -> Tag {
    Tag(0x60 | n)
}

const SEARCH_REQUEST: Tag = application(3);
const SEARCH_RESULT_ENTRY: Tag = application(4);
const SEARCH_RESULT_DONE: Tag = application(5);
const SEARCH_RESULT_REFERENCE: Tag = application(19);
const EXTENDED_RESPONSE: Tag = application(24);
const INTERMEDIATE_RESPONSE: Tag = application(25);

/// Result codes (RFC 4511 appendix A).
const SUCCESS: u32 = 0;
const NO_SUCH_ATTRIBUTE: u32 = 16;
const NO_SUCH_OBJECT: u32 = 32;

/// Searches for what the target of `exchange` names. Several values are given one after the other, in the
/// directory's order: each is DER and tells its own length.
pub(crate) async fn search(stream: Box<dyn Stream>, exchange: &Exchange<'_>) -> Result<Answer, FetchError> {
    let request = Query::of(exchange.target)?.request();
    let mut conversation = Conversation {
        stream: BufReader::new(stream),
        exchange,
        pace: Pace::new(exchange.config, Instant::now(), 0),
    };
    let (deadlines, host) = (exchange.deadlines, &exchange.host);
    let tag = deadlines.keep(Stage::FirstByte, host, conversation.begin(&request)).await?;
    let values = deadlines.keep(Stage::Total, host, conversation.values(tag)).await?;
    let validators = Validators { url: exchange.target.url.to_string(), ..Validators::default() };
    Ok(Answer::Document(values, validators))
}

/// What an LDAP URL asks for.
#[derive(Debug, PartialEq, Eq)]
struct Query {
    entry: String,
    attributes: Vec<String>,
}

impl Query {
    fn of(target: &Target) -> Result<Query, FetchError> {
        let bad = |why| FetchError::BadUrl { url: shown(target.url.as_str()), why };
        let decoded = |text: &str| {
            percent_decode_str(text).decode_utf8().map(String::from).map_err(|_| bad("it is not UTF-8"))
        };
        let mut parts = target.url.query().unwrap_or_default().splitn(4, '?');
        let mut next = || decoded(parts.next().unwrap_or_default());
        let (attributes, scope, filter, extensions) = (next()?, next()?, next()?, next()?);
        if !matches!(scope.to_ascii_lowercase().as_str(), "" | "base") {
            return Err(bad("its scope is not base"));
        }
        if !filter.is_empty() && !is_class(&filter) {
            return Err(bad("it has a filter"));
        }
        if extensions.split(',').any(|extension| extension.starts_with('!')) {
            return Err(bad("it has a critical extension"));
        }
        let attributes: Vec<String> =
            attributes.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        if attributes.is_empty() || attributes.len() > MAX_ATTRIBUTES {
            return Err(bad("it names no attribute, or too many"));
        }
        let path = target.url.path();
        Ok(Query { entry: decoded(path.strip_prefix('/').unwrap_or(path))?, attributes })
    }

    /// The LDAPMessage with the SearchRequest (RFC 4511 4.5.1).
    fn request(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.sequence(|message| {
            message.small_integer(Tag::INTEGER, 1);
            message.nested(SEARCH_REQUEST, |search| {
                search.value(Tag::OCTET_STRING, self.entry.as_bytes());
                search.small_integer(Tag::ENUMERATED, 0); // baseObject
                search.small_integer(Tag::ENUMERATED, 0); // neverDerefAliases
                search.small_integer(Tag::INTEGER, 1); // entries at most
                search.small_integer(Tag::INTEGER, 0); // no time limit but ours
                search.value(Tag::BOOLEAN, &[0x00]); // values too
                search.value(Tag::context(7), b"objectClass"); // present
                search.sequence(|attributes| {
                    for attribute in &self.attributes {
                        attributes.value(Tag::OCTET_STRING, attribute.as_bytes());
                    }
                });
            });
        });
        writer.finish()
    }
}

/// Whether `filter` is `(objectClass=*)`, or names a class as `objectClass=cRLDistributionPoint` does, with or
/// without its parentheses: directories' tools write that into every URL, and to one entry it adds nothing.
fn is_class(filter: &str) -> bool {
    let inner = filter.strip_prefix('(').and_then(|filter| filter.strip_suffix(')')).unwrap_or(filter);
    inner.split_once('=').is_some_and(|(attribute, class)| {
        let is_name = class.bytes().all(|octet| octet.is_ascii_alphanumeric());
        attribute.eq_ignore_ascii_case("objectClass") && (class == "*" || is_name)
    })
}

struct Conversation<'a> {
    stream: BufReader<Box<dyn Stream>>,
    exchange: &'a Exchange<'a>,
    pace: Pace,
}

impl Conversation<'_> {
    /// Sends `request` and reads the first octet of the answer.
    async fn begin(&mut self, request: &[u8]) -> Result<u8, FetchError> {
        let begun = async {
            self.stream.write_all(request).await?;
            self.stream.flush().await?;
            self.stream.read_u8().await
        };
        let tag = begun.await.map_err(|error| self.exchange.broken(error.to_string()))?;
        self.pace = Pace::new(self.exchange.config, Instant::now(), self.exchange.meter.received());
        Ok(tag)
    }

    /// The values of the entry, once the search is done.
    async fn values(&mut self, mut tag: u8) -> Result<Bytes, FetchError> {
        let mut values = BytesMut::new();
        loop {
            let message = self.message(tag).await?;
            match Response::read(&message).ok_or_else(|| self.exchange.broken("no LDAP".into()))? {
                Response::Entry(found) => self.keep(&mut values, found)?,
                Response::Done(SUCCESS) if !values.is_empty() => return Ok(values.freeze()),
                Response::Done(SUCCESS | NO_SUCH_ATTRIBUTE | NO_SUCH_OBJECT) => {
                    return Err(FetchError::Absent { host: self.exchange.host.clone() });
                }
                Response::Done(code) => {
                    return Err(FetchError::Directory { host: self.exchange.host.clone(), code });
                }
                Response::OfNoInterest => {}
            }
            tag = self.octets(1).await?.first().copied().unwrap_or_default();
        }
    }

    fn keep(&self, values: &mut BytesMut, found: Vec<&[u8]>) -> Result<(), FetchError> {
        for value in found {
            if value.len() > self.exchange.limit.saturating_sub(values.len()) {
                return Err(self.exchange.too_large());
            }
            values.put_slice(value);
        }
        Ok(())
    }

    /// The content of the LDAPMessage whose first octet was `tag`.
    async fn message(&mut self, tag: u8) -> Result<Bytes, FetchError> {
        if Tag(tag) != Tag::SEQUENCE {
            return Err(self.exchange.broken("no LDAP message".into()));
        }
        let first = self.octets(1).await?;
        let length = match first.as_ref() {
            [short @ ..=0x7f] => usize::from(*short),
            [long @ 0x81..=0x84] => big_endian(&self.octets(usize::from(long & 0x7f)).await?),
            _ => return Err(self.exchange.broken("a length that LDAP forbids".into())),
        };
        self.octets(length).await
    }

    /// The next `count` octets; memory is taken as they come, and the meter bounds them all.
    async fn octets(&mut self, count: usize) -> Result<Bytes, FetchError> {
        let mut octets = BytesMut::with_capacity(count.min(PIECE));
        while octets.len() < count {
            octets.reserve((count - octets.len()).min(PIECE));
            let mut rest = (&mut self.stream).take((count - octets.len()) as u64);
            let reading = rest.read_buf(&mut octets);
            match self.pace.watch(&self.exchange.host, &self.exchange.meter, reading).await? {
                Some(Ok(0)) => return Err(self.exchange.broken("it ends inside a message".into())),
                Some(Err(error)) => return Err(self.exchange.broken(error.to_string())),
                Some(Ok(_)) | None => {}
            }
        }
        Ok(octets.freeze())
    }
}

/// A message of the directory.
#[derive(Debug, PartialEq, Eq)]
enum Response<'a> {
    /// SearchResultEntry: the values of all its attributes.
    Entry(Vec<&'a [u8]>),
    /// SearchResultDone, or the notice of disconnection: the result code.
    Done(u32),
    /// References, which are not followed, and intermediate responses.
    OfNoInterest,
}

impl<'a> Response<'a> {
    /// Reads the content of an LDAPMessage.
    fn read(message: &'a [u8]) -> Option<Response<'a>> {
        let mut message = Ber(message);
        message.expect(Tag::INTEGER)?;
        let (tag, mut content) = message.next()?;
        match tag {
            SEARCH_RESULT_ENTRY => Some(Response::Entry(entry_values(&mut content)?)),
            SEARCH_RESULT_DONE | EXTENDED_RESPONSE => {
                let code = content.expect(Tag::ENUMERATED)?.0;
                (1..=4).contains(&code.len()).then(|| Response::Done(big_endian(code) as u32))
            }
            SEARCH_RESULT_REFERENCE | INTERMEDIATE_RESPONSE => Some(Response::OfNoInterest),
            _ => None,
        }
    }
}

fn entry_values<'a>(entry: &mut Ber<'a>) -> Option<Vec<&'a [u8]>> {
    entry.expect(Tag::OCTET_STRING)?;
    let mut attributes = entry.expect(Tag::SEQUENCE)?;
    let mut found = Vec::new();
    while !attributes.0.is_empty() {
        let mut attribute = attributes.expect(Tag::SEQUENCE)?;
        attribute.expect(Tag::OCTET_STRING)?;
        let mut values = attribute.expect(Tag::SET)?;
        while !values.0.is_empty() {
            found.push(values.expect(Tag::OCTET_STRING)?.0);
        }
    }
    Some(found)
}

/// A cursor over BER as LDAP restricts it (RFC 4511 5.1): definite lengths, which need not be minimal.
/// (Active Directory always writes four octets, so the DER reader of `pki` cannot serve.)
struct Ber<'a>(&'a [u8]);

impl<'a> Ber<'a> {
    fn next(&mut self) -> Option<(Tag, Ber<'a>)> {
        let (tag, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            ..=0x7f => (usize::from(*first), rest),
            0x81..=0x84 => {
                let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (big_endian(digits), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((Tag(*tag), Ber(content)))
    }

    fn expect(&mut self, tag: Tag) -> Option<Ber<'a>> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }
}

/// Of at most four octets.
fn big_endian(octets: &[u8]) -> usize {
    octets.iter().fold(0u32, |number, octet| number << 8 | u32::from(*octet)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Scheme;
    use proptest::prelude::*;

    fn query(url: &str) -> Result<Query, FetchError> {
        Query::of(&Target::parse(url, &[Scheme::Ldap].into()).unwrap())
    }

    fn check(url: &str, entry: &str, attributes: &[&str]) {
        let expected =
            Query { entry: entry.into(), attributes: attributes.iter().map(|a| (*a).into()).collect() };
        assert_eq!(query(url).unwrap(), expected, "{url}");
    }

    #[test]
    fn urls_as_certificates_carry_them_are_read() {
        check(
            "ldap://h/cn=CA%201,o=X?certificateRevocationList;binary",
            "cn=CA 1,o=X",
            &["certificateRevocationList;binary"],
        );
        check(
            "ldap://h/CN=A?certificateRevocationList?base?objectClass=cRLDistributionPoint",
            "CN=A",
            &["certificateRevocationList"],
        );
        check("ldap://h/CN=A?a,b?BASE?(objectClass=*)?x-ext", "CN=A", &["a", "b"]);
    }

    #[test]
    fn what_a_url_asks_beyond_one_entry_is_refused() {
        for url in [
            "ldap://h/CN=A",
            "ldap://h/CN=A??base",
            "ldap://h/CN=A?a?sub",
            "ldap://h/CN=A?a?base?(cn=*)",
            "ldap://h/CN=A?a?base?(|(objectClass=x)(cn=y))",
            "ldap://h/CN=A?a?base??!bindname=x",
            "ldap://h/CN=A?a,b,c,d,e,f,g,h,i",
            "ldap://h/CN=%ff?a",
        ] {
            assert!(matches!(query(url), Err(FetchError::BadUrl { .. })), "{url}");
        }
    }

    #[test]
    fn a_request_is_golden() {
        let request = query("ldap://h/o=X?crl").unwrap().request();
        assert_eq!(
            data_encoding::HEXLOWER.encode(&request),
            concat!(
                "302d020101",                 // LDAPMessage, messageID 1
                "6328",                       // SearchRequest
                "04036f3d58",                 // o=X
                "0a01000a0100",               // baseObject, neverDerefAliases
                "020101020100010100",         // one entry, no time limit, values too
                "870b6f626a656374436c617373", // (objectClass=*)
                "3005040363726c"              // crl
            )
        );
    }

    proptest! {
        #[test]
        fn no_message_makes_the_reader_panic(message in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Response::read(&message);
            let mut entry = vec![0x02, 0x01, 0x01, 0x64, message.len() as u8];
            entry.extend_from_slice(&message);
            let _ = Response::read(&entry);
        }
    }
}
