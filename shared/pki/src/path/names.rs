//! The name that a question asks for: whom the certificate must speak of besides being valid.
//!
//! Judged against subjectAltName alone; there is no falling back to the common name (RFC 9525 section 2).

use std::fmt;
use std::net::IpAddr;

use crate::certificate::Certificate;
use crate::general_name::GeneralName;

/// A name that the target must bear.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AskedName {
    /// A host by its name; a wildcard in the certificate stands for exactly its left-most label.
    Dns(String),
    /// A host by its address.
    Ip(IpAddr),
    /// A mailbox; the local part is compared octet by octet.
    Email(String),
}

impl AskedName {
    /// Whether the certificate bears it.
    pub(crate) fn is_borne_by(&self, certificate: &Certificate) -> bool {
        certificate.subject_alt_names().is_some_and(|mut names| names.any(|name| self.is(&name)))
    }

    fn is(&self, name: &GeneralName<'_>) -> bool {
        match (self, name) {
            (AskedName::Dns(asked), GeneralName::Dns(presented)) => host_matches(presented, asked),
            (AskedName::Ip(IpAddr::V4(asked)), GeneralName::Ip(presented)) => asked.octets() == *presented,
            (AskedName::Ip(IpAddr::V6(asked)), GeneralName::Ip(presented)) => asked.octets() == *presented,
            (AskedName::Email(asked), GeneralName::Email(presented)) => same_mailbox(presented, asked),
            _ => false,
        }
    }
}

impl fmt::Display for AskedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AskedName::Dns(name) => write!(f, "dns:{}", name.escape_debug()),
            AskedName::Ip(address) => write!(f, "ip:{address}"),
            AskedName::Email(mailbox) => write!(f, "email:{}", mailbox.escape_debug()),
        }
    }
}

fn host_matches(presented: &str, asked: &str) -> bool {
    let asked = asked.strip_suffix('.').unwrap_or(asked);
    if !is_host(asked) {
        return false;
    }
    match presented.strip_prefix("*.") {
        // At least two labels after the wildcard: `*.com` speaks of no one's host.
        Some(rest) => {
            let tail = asked.split_once('.').map_or("", |(_, tail)| tail);
            is_host(rest) && rest.contains('.') && tail.eq_ignore_ascii_case(rest)
        }
        None => is_host(presented) && presented.eq_ignore_ascii_case(asked),
    }
}

/// Whether each label has 1 to 63 letters, digits, hyphens or underscores, and no hyphen at its ends.
pub(super) fn is_host(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_')
}

pub(super) fn same_mailbox(a: &str, b: &str) -> bool {
    match (a.rsplit_once('@'), b.rsplit_once('@')) {
        (Some((local_a, host_a)), Some((local_b, host_b))) => {
            local_a == local_b && host_a.eq_ignore_ascii_case(host_b)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_label_and_nothing_else() {
        for (presented, asked, matches) in [
            ("a.example", "A.Example.", true),
            ("*.example.org", "www.example.org", true),
            ("*.example.org", "example.org", false),
            ("*.example.org", "a.b.example.org", false),
            ("w*.example.org", "www.example.org", false),
            ("www.*.org", "www.example.org", false),
            ("*.*.org", "a.b.org", false),
            ("*.org", "example.org", false),
            ("*", "org", false),
            ("*.example.org", "*.example.org", false),
            ("a..example", "a..example", false),
            ("", "", false),
            ("127.0.0.1", "127.0.0.2", false),
        ] {
            assert_eq!(host_matches(presented, asked), matches, "{presented} {asked}");
        }
    }

    #[test]
    fn mailboxes_differ_in_the_case_of_their_local_part_only() {
        assert!(same_mailbox("Ann@example.org", "Ann@EXAMPLE.org"));
        assert!(!same_mailbox("Ann@example.org", "ann@example.org"));
        assert!(!same_mailbox("example.org", "example.org"));
    }
}
