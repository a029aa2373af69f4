//! One HTTP/1.1 exchange: a GET over a connection of its own, and its answer under the caps.

use std::time::{Duration, Instant, SystemTime};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio_util::task::AbortOnDropHandle;
use url::Position;

use crate::connect::Stream;
use crate::deadline::{Pace, Stage};
use crate::error::FetchError;
use crate::fetcher::{Exchange, Validators};
use crate::target::{Target, shown};

/// A larger head is refused; servers themselves limit heads to 8 to 64 KiB.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// A longer ETag or Last-Modified is not kept.
const MAX_VALIDATOR_BYTES: usize = 1_024;

/// Reserved before the first byte of a body, at most. Once as much has come, the declared length is believed.
const FIRST_RESERVE: usize = 1024 * 1024;

const USER_AGENT: &str = concat!("revocast/", env!("CARGO_PKG_VERSION"));

/// What a host answered.
#[derive(Debug)]
pub(crate) enum Answer {
    NotModified,
    Moved(String),
    Document(Bytes, Validators),
}

/// Asks for the target of `exchange` over `stream`.
pub(crate) async fn get(
    stream: Box<dyn Stream>,
    exchange: &Exchange<'_>,
    validators: &Validators,
) -> Result<Answer, FetchError> {
    let request = request(exchange.target, validators)?;
    let conditional = is_conditional(&request);
    let (_driver, response) =
        exchange.deadlines.keep(Stage::FirstByte, &exchange.host, send(stream, exchange, request)).await?;
    match response.status() {
        StatusCode::OK => document(response, exchange).await,
        StatusCode::NOT_MODIFIED if conditional => Ok(Answer::NotModified),
        StatusCode::NOT_MODIFIED => Err(FetchError::UnaskedNotModified { host: exchange.host.clone() }),
        status => match location(&response) {
            Some(location) if is_redirect(status) => Ok(Answer::Moved(location)),
            _ => Err(FetchError::Status {
                host: exchange.host.clone(),
                code: status.as_u16(),
                retry_after: retry_after(response.headers(), SystemTime::now()),
            }),
        },
    }
}

/// The connection is closed when the handle is dropped.
type Driver = AbortOnDropHandle<()>;

async fn send(
    stream: Box<dyn Stream>,
    exchange: &Exchange<'_>,
    request: Request<Empty<Bytes>>,
) -> Result<(Driver, Response<Incoming>), FetchError> {
    let broken = |error| broken(exchange, &error);
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let place = exchange.place.clone();
    let driver = AbortOnDropHandle::new(tokio::spawn(async move {
        // What goes wrong is told by the response, or by its body.
        let _ = connection.await;
        drop(place);
    }));
    let response = sender.send_request(request).await.map_err(broken)?;
    Ok((driver, response))
}

fn request(target: &Target, validators: &Validators) -> Result<Request<Empty<Bytes>>, FetchError> {
    let url = &target.url;
    let mut request = Request::get(&url[Position::BeforePath..Position::AfterQuery])
        .header(header::HOST, &url[Position::BeforeHost..Position::AfterPort])
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::ACCEPT, "*/*")
        .header(header::ACCEPT_ENCODING, "identity")
        .header(header::CONNECTION, "close")
        .body(Empty::new())
        .map_err(|_| FetchError::BadUrl { url: shown(url.as_str()), why: "HTTP cannot carry it" })?;
    if validators.url == url.as_str() {
        let conditions = [
            (header::IF_NONE_MATCH, &validators.etag),
            (header::IF_MODIFIED_SINCE, &validators.last_modified),
        ];
        for (name, value) in conditions {
            if let Some(value) = value.as_deref().and_then(|value| HeaderValue::from_str(value).ok()) {
                request.headers_mut().insert(name, value);
            }
        }
    }
    Ok(request)
}

fn is_conditional(request: &Request<Empty<Bytes>>) -> bool {
    let headers = request.headers();
    headers.contains_key(header::IF_NONE_MATCH) || headers.contains_key(header::IF_MODIFIED_SINCE)
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn location(response: &Response<Incoming>) -> Option<String> {
    Some(response.headers().get(header::LOCATION)?.to_str().ok()?.to_owned())
}

async fn document(response: Response<Incoming>, exchange: &Exchange<'_>) -> Result<Answer, FetchError> {
    let (head, body) = response.into_parts();
    if let Some(encoding) = encoding(&head.headers) {
        return Err(FetchError::Encoded { host: exchange.host.clone(), encoding });
    }
    let bytes = exchange.deadlines.keep(Stage::Total, &exchange.host, read(body, exchange)).await?;
    let validators = Validators {
        url: exchange.target.url.to_string(),
        etag: validator(&head.headers, header::ETAG),
        last_modified: validator(&head.headers, header::LAST_MODIFIED),
    };
    Ok(Answer::Document(bytes, validators))
}

/// An encoding of the content, or of the transfer beyond chunks: none was asked for, and a bomb needs one.
fn encoding(headers: &HeaderMap) -> Option<String> {
    let content = headers.get_all(header::CONTENT_ENCODING).iter().map(|value| (value, "identity"));
    let transfer = headers.get_all(header::TRANSFER_ENCODING).iter().map(|value| (value, "chunked"));
    content.chain(transfer).find_map(|(value, plain)| {
        let is_plain = value.to_str().is_ok_and(|value| value.trim().eq_ignore_ascii_case(plain));
        (!is_plain).then(|| shown(&String::from_utf8_lossy(value.as_bytes())))
    })
}

fn validator(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    (value.len() <= MAX_VALIDATOR_BYTES).then(|| value.to_owned())
}

async fn read(mut body: Incoming, exchange: &Exchange<'_>) -> Result<Bytes, FetchError> {
    let declared = body.size_hint().exact().unwrap_or(0);
    if declared > exchange.limit as u64 {
        return Err(exchange.too_large());
    }
    let mut document = BytesMut::with_capacity(FIRST_RESERVE.min(declared as usize));
    let mut pace = Pace::new(exchange.config, Instant::now(), exchange.meter.received());
    loop {
        let frame = match pace.watch(&exchange.host, &exchange.meter, body.frame()).await? {
            Some(Some(frame)) => frame.map_err(|error| broken(exchange, &error))?,
            Some(None) => return Ok(document.freeze()),
            None => continue,
        };
        if let Ok(data) = frame.into_data() {
            if data.len() > exchange.limit.saturating_sub(document.len()) {
                return Err(exchange.too_large());
            }
            make_room(&mut document, data.len(), declared as usize);
            document.extend_from_slice(&data);
        }
    }
}

fn make_room(document: &mut BytesMut, more: usize, declared: usize) {
    if document.capacity() - document.len() < more {
        document.reserve(more.max(declared.saturating_sub(document.len())));
    }
}

fn broken(exchange: &Exchange<'_>, error: &hyper::Error) -> FetchError {
    match std::error::Error::source(error) {
        Some(source) => exchange.broken(format!("{error}: {source}")),
        None => exchange.broken(error.to_string()),
    }
}

/// Retry-After as seconds or as a date (RFC 9110 10.2.3), at most a century.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    const CENTURY: u64 = 100 * 365 * 86_400;
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|octet| octet.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(CENTURY).min(CENTURY)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Scheme;

    fn check_retry_after(value: &str, expected: Option<u64>) {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_str(value).unwrap());
        assert_eq!(retry_after(&headers, now), expected.map(Duration::from_secs), "{value}");
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        check_retry_after("120", Some(120));
        check_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", Some(0));
        check_retry_after("Sun, 06 Nov 1994 08:51:37 GMT", Some(120));
        check_retry_after("Sun, 06 Nov 1994 08:40:00 GMT", Some(0));
        check_retry_after("99999999999999999999999", Some(3_153_600_000));
        check_retry_after("-1", None);
        check_retry_after("soon", None);
    }

    fn check_encoding(name: HeaderName, value: &'static str, expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        assert_eq!(encoding(&headers).as_deref(), expected);
    }

    #[test]
    fn only_identity_and_chunks_are_no_encoding() {
        check_encoding(header::CONTENT_ENCODING, "Identity", None);
        check_encoding(header::TRANSFER_ENCODING, "chunked", None);
        check_encoding(header::CONTENT_ENCODING, "gzip", Some("gzip"));
        check_encoding(header::CONTENT_ENCODING, "identity, br", Some("identity, br"));
        check_encoding(header::TRANSFER_ENCODING, "gzip, chunked", Some("gzip, chunked"));
    }

    #[test]
    fn validators_are_sent_only_to_the_url_that_gave_them() {
        let target = |url| Target::parse(url, &[Scheme::Http].into()).unwrap();
        let validators = Validators {
            url: "http://h/x".into(),
            etag: Some("\"1\"".into()),
            last_modified: Some("yesterday".into()),
        };
        assert!(is_conditional(&request(&target("http://h/x"), &validators).unwrap()));
        assert!(!is_conditional(&request(&target("http://mirror/x"), &validators).unwrap()));
        let damaged = Validators { etag: Some("\r\nHost: x".into()), last_modified: None, ..validators };
        assert!(!is_conditional(&request(&target("http://h/x"), &damaged).unwrap()));
    }
}
