//! [`Target`]: a URL that may be asked, as far as its text can tell.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::error::FetchError;

/// Longer URLs are refused: those of certificates have a few hundred bytes, and HTTP asks servers for 8,000
/// (RFC 9110 4.1).
pub(crate) const MAX_URL_BYTES: usize = 8_000;

/// The URL schemes that the fetcher speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// HTTP/1.1 in clear: what CRLs are published at (CA/Browser Forum, RFC 5280 section 8).
    Http,
    /// HTTP/1.1 over TLS.
    Https,
    /// A file below one of the configured directories.
    File,
    /// An LDAP entry's attribute (RFC 4516), asked for anonymously.
    Ldap,
    /// The same over TLS.
    Ldaps,
}

impl Scheme {
    fn of(name: &str) -> Option<Scheme> {
        match name {
            "http" => Some(Scheme::Http),
            "https" => Some(Scheme::Https),
            "file" => Some(Scheme::File),
            "ldap" => Some(Scheme::Ldap),
            "ldaps" => Some(Scheme::Ldaps),
            _ => None,
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
            Scheme::Ldap => 389,
            Scheme::Ldaps => 636,
            Scheme::File => 0,
        }
    }

    /// Whether TLS is spoken.
    pub(crate) fn is_secure(self) -> bool {
        matches!(self, Scheme::Https | Scheme::Ldaps)
    }
}

/// Who a URL names: an address as it stands, or a name to be resolved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum HostName {
    Address(IpAddr),
    Name(String),
}

/// A URL of an admitted scheme. Its host is not judged yet.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) url: Url,
    pub(crate) scheme: Scheme,
    pub(crate) host: HostName,
    pub(crate) port: u16,
}

impl Target {
    /// Reads `text`; fails on an unknown or not admitted scheme, credentials, or a host that is missing.
    pub(crate) fn parse(text: &str, schemes: &BTreeSet<Scheme>) -> Result<Target, FetchError> {
        let bad = |why: &'static str| FetchError::BadUrl { url: shown(text), why };
        if text.len() > MAX_URL_BYTES {
            return Err(bad("it is longer than 8,000 bytes"));
        }
        let mut url = Url::parse(text).map_err(|_| bad("it does not parse"))?;
        url.set_fragment(None);
        let scheme = Scheme::of(url.scheme())
            .filter(|scheme| schemes.contains(scheme))
            .ok_or_else(|| FetchError::UnsupportedScheme { scheme: shown(url.scheme()) })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("it carries credentials"));
        }
        let host = host_of(&url, scheme).ok_or_else(|| bad("it names no host"))?;
        let port = url.port().unwrap_or(scheme.default_port());
        Ok(Target { url, scheme, host, port })
    }

    /// Where a redirect to `location` leads. Only HTTP redirects, and only to HTTP; out of TLS never into the clear.
    pub(crate) fn redirected(
        &self,
        location: &str,
        schemes: &BTreeSet<Scheme>,
    ) -> Result<Target, FetchError> {
        let url = self
            .url
            .join(location)
            .map_err(|_| FetchError::BadUrl { url: shown(location), why: "a redirect leads to it" })?;
        let target = Target::parse(url.as_str(), schemes)?;
        match (self.scheme, target.scheme) {
            (Scheme::Http, Scheme::Http | Scheme::Https) | (Scheme::Https, Scheme::Https) => Ok(target),
            _ => Err(FetchError::UnsafeRedirect { host: self.host(), to: shown(target.url.as_str()) }),
        }
    }

    /// The host as text, for errors, TLS and the count of connections.
    pub(crate) fn host(&self) -> String {
        match &self.host {
            HostName::Address(address) => address.to_string(),
            HostName::Name(name) => name.clone(),
        }
    }

    /// The place that back-off is about: scheme, host, port and path, without the query.
    pub(crate) fn place(&self) -> String {
        let mut place = self.url.clone();
        place.set_query(None);
        place.into()
    }
}

fn host_of(url: &Url, scheme: Scheme) -> Option<HostName> {
    if scheme == Scheme::File {
        // `file://elsewhere/...` would be another machine's file.
        return url.host().is_none().then(|| HostName::Name("localhost".into()));
    }
    match url.host()? {
        Host::Ipv4(address) => Some(HostName::Address(address.into())),
        Host::Ipv6(address) => Some(HostName::Address(address.to_canonical())),
        Host::Domain(name) => name_or_address(name.strip_suffix('.').unwrap_or(name)),
    }
}

/// Schemes that the URL standard does not know keep their host as it was written.
fn name_or_address(name: &str) -> Option<HostName> {
    if let Ok(address) = name.parse() {
        return Some(HostName::Address(address));
    }
    let is_name = |octet: u8| octet.is_ascii_alphanumeric() || b"-._".contains(&octet);
    (!name.is_empty() && name.bytes().all(is_name)).then(|| HostName::Name(name.to_ascii_lowercase()))
}

/// `text` as an error may show it: it comes from strangers, so it is cut short and cannot drive a terminal.
pub(crate) fn shown(text: &str) -> String {
    const SHOWN: usize = 200;
    text.chars().take(SHOWN).flat_map(char::escape_default).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> BTreeSet<Scheme> {
        [Scheme::Http, Scheme::Https, Scheme::File, Scheme::Ldap, Scheme::Ldaps].into()
    }

    fn check(url: &str, host: &str, port: u16) {
        let target = Target::parse(url, &all()).unwrap();
        assert_eq!((target.host().as_str(), target.port), (host, port), "{url}");
    }

    #[test]
    fn addresses_are_recognised_however_they_are_written() {
        for url in ["http://127.0.0.1/", "http://2130706433/", "http://0x7f.1/", "http://0177.0.0.1/"] {
            check(url, "127.0.0.1", 80);
        }
        check("http://[::ffff:7f00:1]:8080/x", "127.0.0.1", 8080);
        check("https://[::1]/", "::1", 443);
        check("ldap://10.0.0.1/cn=x", "10.0.0.1", 389);
        check("http://CRL.Example./a#b", "crl.example", 80);
        check("file:///var/crl/a.crl", "localhost", 0);
    }

    #[test]
    fn urls_without_a_host_with_credentials_or_over_long_are_refused() {
        let long = format!("http://x/{}", "a".repeat(MAX_URL_BYTES));
        for url in [
            "",
            "x",
            "http://",
            "ldap:///cn=x",
            "http://u@h/",
            "http://u:p@h/",
            "file://h/x",
            "ldap://%31/",
            &long,
        ] {
            assert!(matches!(Target::parse(url, &all()), Err(FetchError::BadUrl { .. })), "{url}");
        }
    }

    #[test]
    fn schemes_that_are_unknown_or_not_admitted_are_refused() {
        let web = BTreeSet::from([Scheme::Http, Scheme::Https]);
        for url in ["ftp://h/x", "file:///x", "ldap://h/x", "gopher://h/", "data:,x", "javascript:1"] {
            assert!(matches!(Target::parse(url, &web), Err(FetchError::UnsupportedScheme { .. })), "{url}");
        }
    }

    #[test]
    fn redirects_stay_with_http_and_never_leave_tls() {
        let from = |url: &str, to: &str| Target::parse(url, &all()).unwrap().redirected(to, &all());
        assert_eq!(from("http://a/x/y", "../z").unwrap().url.as_str(), "http://a/z");
        assert!(from("http://a/", "https://b/").is_ok() && from("https://a/", "https://b/").is_ok());
        for (url, to) in
            [("https://a/", "http://a/"), ("http://a/", "file:///x"), ("http://a/", "ldap://b/x")]
        {
            assert!(matches!(from(url, to), Err(FetchError::UnsafeRedirect { .. })), "{url} to {to}");
        }
    }

    #[test]
    fn a_place_has_no_query() {
        let target = Target::parse("http://h:8080/search.cgi?sHash=x", &all()).unwrap();
        assert_eq!(target.place(), "http://h:8080/search.cgi");
    }
}
