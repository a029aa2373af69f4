//! [`Document`]: bytes over HTTP, sent only to whoever does not have them yet (RFC 9110 13).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use revocast_pki::asn1::Time;
use revocast_pki::identity::Digest;

/// Media type of a CRL (RFC 2585 4.2).
pub(crate) const CRL: &str = "application/pkix-crl";
/// Media type of a certificate (RFC 2585 4.1).
pub(crate) const CERTIFICATE: &str = "application/pkix-cert";

/// Something that is served.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub bytes: Bytes,
    /// SHA-256 of the bytes: the strong entity tag.
    pub digest: Digest,
    pub media: &'static str,
    /// When it came to be, if no other document of this URL shares the time.
    pub last_modified: Option<Time>,
    /// Whether the URL never leads to anything else.
    pub lasting: bool,
}

impl Document {
    /// The answer to a request with these headers: the bytes, or 304 if the asker has them.
    pub(crate) fn answer(self, request: &HeaderMap) -> Response {
        let tag = format!("\"{}\"", self.digest);
        let modified = self.last_modified.and_then(system_time);
        let is_current = is_current(request, &tag, modified);
        // Caches may keep it, but ask again: a CRL must not be older than it has to be.
        let caching = if self.lasting { "public, max-age=31536000, immutable" } else { "public, no-cache" };
        let mut headers = HeaderMap::new();
        let mut set = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        set(header::ETAG, &tag);
        set(header::CACHE_CONTROL, caching);
        if let Some(modified) = modified {
            set(header::LAST_MODIFIED, &httpdate::fmt_http_date(modified));
        }
        if is_current {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        set(header::CONTENT_TYPE, self.media);
        set(header::CONTENT_LENGTH, &self.bytes.len().to_string());
        (StatusCode::OK, headers, self.bytes).into_response()
    }
}

/// Whether the asker has the document that bears `tag`. If-None-Match stands above If-Modified-Since; the time must
/// be the very one that was given out, since an earlier document may have had a later one.
fn is_current(request: &HeaderMap, tag: &str, modified: Option<SystemTime>) -> bool {
    if request.contains_key(header::IF_NONE_MATCH) {
        let lines = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
        // Our tags have no comma, so a foreign one that has is only split into more that are not ours.
        let mut tags = lines.flat_map(|line| line.split(',')).map(str::trim);
        return tags.any(|given| given == "*" || given.strip_prefix("W/").unwrap_or(given) == tag);
    }
    let since = request.get(header::IF_MODIFIED_SINCE).and_then(|line| line.to_str().ok());
    let since = since.and_then(|line| httpdate::parse_http_date(line).ok());
    since.is_some() && since == modified
}

/// HTTP dates begin in 1970 here; whoever issued a CRL before gives none.
fn system_time(time: Time) -> Option<SystemTime> {
    let seconds = u64::try_from(time.unix()).ok()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Time = Time::from_unix(784_111_777);
    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn check(request: &[(HeaderName, &str)], last_modified: Option<Time>, expected: StatusCode) {
        let document = Document {
            bytes: Bytes::from_static(b"x"),
            digest: Digest([0xab; 32]),
            media: CRL,
            last_modified,
            lasting: false,
        };
        let headers = request
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect();
        assert_eq!(document.answer(&headers).status(), expected, "{request:?}");
    }

    #[test]
    fn an_asker_gets_304_exactly_if_it_has_the_document() {
        let ours = format!("\"{}\"", "ab".repeat(32));
        let (has, has_not) = (StatusCode::NOT_MODIFIED, StatusCode::OK);
        let tagged = |tags: &str, expected| check(&[(header::IF_NONE_MATCH, tags)], Some(AT), expected);
        tagged(&ours, has);
        tagged(&format!("W/{ours}"), has);
        tagged(&format!("\"x\", {ours}"), has);
        tagged("*", has);
        tagged("\"x\"", has_not);
        tagged(&ours.replace('"', ""), has_not);
        check(&[], Some(AT), has_not);
    }

    #[test]
    fn a_time_counts_only_if_it_is_the_very_one_and_no_tag_is_given() {
        let since = |date: &'static str| (header::IF_MODIFIED_SINCE, date);
        check(&[since(DATE)], Some(AT), StatusCode::NOT_MODIFIED);
        check(&[since(DATE)], Some(AT.plus(-1)), StatusCode::OK);
        check(&[since(DATE)], None, StatusCode::OK);
        check(&[since("soon")], Some(AT), StatusCode::OK);
        check(&[since(DATE), (header::IF_NONE_MATCH, "\"x\"")], Some(AT), StatusCode::OK);
    }

    #[test]
    fn an_answer_says_what_it_is() {
        let document = Document {
            bytes: Bytes::from_static(b"1234"),
            digest: Digest([1; 32]),
            media: CERTIFICATE,
            last_modified: Some(AT),
            lasting: true,
        };
        let answer = document.answer(&HeaderMap::new());
        let header = |name: HeaderName| answer.headers().get(name).unwrap().to_str().unwrap();
        assert_eq!(header(header::CONTENT_TYPE), CERTIFICATE);
        assert_eq!(header(header::CONTENT_LENGTH), "4");
        assert_eq!(header(header::LAST_MODIFIED), DATE);
        assert_eq!(header(header::ETAG), format!("\"{}\"", "01".repeat(32)));
        assert!(header(header::CACHE_CONTROL).contains("immutable"));
    }
}
