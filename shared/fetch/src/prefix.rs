//! [`Prefixes`]: the URLs that a configuration admits, judged by what a URL means and not by how it is written.

use serde::{Deserialize, Serialize};
use url::Url;

use crate::target::shown;

/// URL prefixes. `http://pki.example/certs` admits itself and what lies below it; not `http://pki.example/certs-of-others`,
/// not `http://pki.example.evil/certs`, and nothing that leaves it by `..`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Prefixes(Vec<Prefix>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Prefix {
    /// As it was written.
    text: String,
    url: Url,
}

/// A text that admits nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} is not a URL prefix: scheme, host and path are asked for, without query, fragment or credentials"
)]
pub struct NotAPrefix(pub String);

impl Prefixes {
    /// Reads prefixes.
    pub fn new(texts: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Prefixes, NotAPrefix> {
        texts.into_iter().map(|text| Prefix::read(text.as_ref())).collect::<Result<_, _>>().map(Prefixes)
    }

    /// Whether a URL is, or lies below, one of them.
    pub fn admits(&self, url: &str) -> bool {
        let Ok(url) = Url::parse(url) else { return false };
        url.username().is_empty()
            && url.password().is_none()
            && self.0.iter().any(|prefix| prefix.admits(&url))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Prefix {
    fn read(text: &str) -> Result<Prefix, NotAPrefix> {
        let refused = || NotAPrefix(shown(text));
        let url = Url::parse(text).map_err(|_| refused())?;
        let is_plain = url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
            && !url.cannot_be_a_base();
        let has_host = url.has_host() || url.scheme() == "file";
        if is_plain && has_host { Ok(Prefix { text: text.to_owned(), url }) } else { Err(refused()) }
    }

    fn admits(&self, url: &Url) -> bool {
        let ours = self.url.path().trim_end_matches('/');
        self.url.scheme() == url.scheme()
            && self.url.host() == url.host()
            && self.url.port_or_known_default() == url.port_or_known_default()
            && url.path().strip_prefix(ours).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl TryFrom<Vec<String>> for Prefixes {
    type Error = NotAPrefix;

    fn try_from(texts: Vec<String>) -> Result<Prefixes, NotAPrefix> {
        Prefixes::new(texts)
    }
}

impl From<Prefixes> for Vec<String> {
    fn from(prefixes: Prefixes) -> Vec<String> {
        prefixes.0.into_iter().map(|prefix| prefix.text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(prefix: &str, admitted: bool, urls: &[&str]) {
        let prefixes = Prefixes::new([prefix]).unwrap();
        for url in urls {
            assert_eq!(prefixes.admits(url), admitted, "{url} under {prefix}");
        }
    }

    #[test]
    fn a_prefix_admits_itself_and_what_lies_below() {
        for prefix in
            ["http://pki.example/certs", "http://pki.example/certs/", "HTTP://PKI.example:80/x/../certs"]
        {
            check(
                prefix,
                true,
                &[
                    "http://pki.example/certs",
                    "http://PKI.example/certs/a.crt?x=y",
                    "http://pki.example:80/certs/",
                ],
            );
        }
        check("https://pki.example", true, &["https://pki.example/anything", "https://pki.example"]);
    }

    #[test]
    fn a_prefix_admits_no_neighbour_no_other_host_and_no_way_out() {
        check(
            "http://pki.example/certs",
            false,
            &[
                "http://pki.example/certs-of-others/a.crt",
                "http://pki.example/",
                "http://pki.example.evil/certs/a.crt",
                "http://pki.example@evil/certs/a.crt",
                "http://me:x@pki.example/certs/a.crt",
                "http://pki.example:8080/certs/a.crt",
                "https://pki.example/certs/a.crt",
                "http://pki.example/certs/../admin",
                "http://pki.example/certs/%2e%2e/admin",
                "http:pki.example",
                "",
            ],
        );
    }

    #[test]
    fn what_is_no_prefix_is_refused_and_what_is_one_is_shown_as_it_was_written() {
        for wrong in
            ["pki.example/certs", "http://", "http://h/?q", "http://u@h/", "http://h/#x", "mailto:x", ""]
        {
            assert!(Prefixes::new([wrong]).is_err(), "{wrong}");
        }
        let texts = r#"["http://H/a","file:///var/pki"]"#;
        let prefixes: Prefixes = serde_json::from_str(texts).unwrap();
        assert_eq!(serde_json::to_string(&prefixes).unwrap(), texts);
        assert!(prefixes.admits("file:///var/pki/a.crt") && !prefixes.admits("file:///var/pk"));
        assert!(serde_json::from_str::<Prefixes>(r#"["x"]"#).is_err());
    }
}
