//! Name constraints (RFC 5280 4.2.1.10, 6.1.3 (b), (c), 6.1.4 (g)) on every form of name.
//!
//! Each constraining certificate adds a [`Layer`]; a name must satisfy all layers, which is what intersecting the
//! permitted subtrees means. A form that has no defined matching (x400Address, ediPartyName, registeredID, otherName)
//! and a constraint that is not well formed fail closed: names of that form are refused as soon as the form is
//! constrained. A wildcard is judged as the set of hosts it stands for: permitted only if all of them are, excluded if
//! any of them is (CVE-2025-61727).

use crate::asn1::{Oid, SequenceOf};
use crate::certificate::{Certificate, NameConstraints, Subtree};
use crate::general_name::GeneralName;
use crate::name::{Name, attribute_type};

use super::budget::{Budget, Exhausted};
use super::names::{is_host, same_mailbox};

/// The constraints of one certificate.
pub(super) struct Layer<'a> {
    permitted: Vec<Base<'a>>,
    excluded: Vec<Base<'a>>,
}

/// The root of a subtree, read once.
struct Base<'a> {
    form: Form<'a>,
    shape: Shape<'a>,
}

/// The form of a name; one otherName is not like another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form<'a> {
    Other(Oid<'a>),
    Email,
    Dns,
    X400,
    Directory,
    EdiParty,
    Uri,
    Ip,
    RegisteredId,
}

enum Shape<'a> {
    Directory(Name),
    /// A host and everything below it; empty for all hosts.
    Dns(&'a str),
    Mailbox(&'a str),
    /// Mailboxes at, or URIs of, exactly this host.
    Host(&'a str),
    /// Mailboxes at, or URIs of, hosts below this one.
    Below(&'a str),
    Network(&'a [u8], &'a [u8]),
    /// Nothing that can be judged: whatever is compared with it fails.
    Unknown,
}

/// A name to be judged.
enum Subject<'a> {
    Directory(Name),
    Other(GeneralName<'a>),
}

/// How a name stands to a subtree.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Relation {
    Within,
    /// Of the hosts that a wildcard stands for some are within, some are not.
    Partly,
    Outside,
    Unknown,
}

impl<'a> Layer<'a> {
    pub(super) fn new(constraints: &NameConstraints<'a>) -> Layer<'a> {
        let bases =
            |list: Option<SequenceOf<'a, Subtree<'a>>>| list.into_iter().flatten().map(Base::new).collect();
        Layer { permitted: bases(constraints.permitted), excluded: bases(constraints.excluded) }
    }

    fn admits(&self, name: &Subject<'_>, budget: &mut Budget<'_>) -> Result<bool, Exhausted> {
        budget.comparisons(self.permitted.len() + self.excluded.len())?;
        let form = name.form();
        let mut constrained = false;
        let mut permitted = false;
        for base in self.permitted.iter().filter(|base| base.form == form) {
            constrained = true;
            permitted |= base.relation(name) == Relation::Within;
        }
        let clear = |base: &Base<'_>| base.form != form || base.relation(name) == Relation::Outside;
        Ok((permitted || !constrained) && self.excluded.iter().all(clear))
    }
}

/// Whether all names of a certificate satisfy all layers.
pub(super) fn admit(
    layers: &[Layer<'_>],
    certificate: &Certificate,
    budget: &mut Budget<'_>,
) -> Result<bool, Exhausted> {
    if layers.is_empty() {
        return Ok(true);
    }
    let alternative = || certificate.subject_alt_names().into_iter().flatten();
    let mut names: Vec<Subject<'_>> = alternative().map(Subject::new).collect();
    if !certificate.subject().is_empty() {
        names.push(Subject::Directory(certificate.subject().clone()));
    }
    // Mailboxes of old stand in the subject (4.2.1.10); they count where subjectAltName has none.
    if !alternative().any(|name| matches!(name, GeneralName::Email(_))) {
        names.extend(mailboxes_in_subject(certificate).map(Subject::Other));
    }
    for name in &names {
        for layer in layers {
            if !layer.admits(name, budget)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

fn mailboxes_in_subject(certificate: &Certificate) -> impl Iterator<Item = GeneralName<'_>> {
    let attributes = certificate.subject().attributes().into_iter();
    attributes.filter(|(oid, _)| *oid == attribute_type::EMAIL_ADDRESS).map(|(_, value)| {
        // What is no ASCII text is no mailbox either: the empty text is within no subtree.
        GeneralName::Email(
            std::str::from_utf8(value.content).ok().filter(|text| text.is_ascii()).unwrap_or(""),
        )
    })
}

impl<'a> Subject<'a> {
    fn new(name: GeneralName<'a>) -> Subject<'a> {
        match name.directory() {
            Some(directory) => Subject::Directory(directory),
            None => Subject::Other(name),
        }
    }

    fn form(&self) -> Form<'a> {
        match self {
            Subject::Directory(_) => Form::Directory,
            Subject::Other(name) => form(name),
        }
    }
}

fn form<'a>(name: &GeneralName<'a>) -> Form<'a> {
    match name {
        GeneralName::Other(kind, _) => Form::Other(*kind),
        GeneralName::Email(_) => Form::Email,
        GeneralName::Dns(_) => Form::Dns,
        GeneralName::X400(_) => Form::X400,
        GeneralName::Directory(_) => Form::Directory,
        GeneralName::EdiParty(_) => Form::EdiParty,
        GeneralName::Uri(_) => Form::Uri,
        GeneralName::Ip(_) => Form::Ip,
        GeneralName::RegisteredId(_) => Form::RegisteredId,
    }
}

impl<'a> Base<'a> {
    fn new(subtree: Subtree<'a>) -> Base<'a> {
        let shape = match subtree.base {
            _ if subtree.has_distance => Shape::Unknown,
            GeneralName::Directory(_) => subtree.base.directory().map_or(Shape::Unknown, Shape::Directory),
            GeneralName::Dns(host) if host.is_empty() || is_host(host) => Shape::Dns(host),
            GeneralName::Email(mailbox) if mailbox.contains('@') => Shape::Mailbox(mailbox),
            GeneralName::Email(host) | GeneralName::Uri(host) => host_or_below(host),
            GeneralName::Ip(octets) => network(octets),
            _ => Shape::Unknown,
        };
        Base { form: form(&subtree.base), shape }
    }

    fn relation(&self, name: &Subject<'_>) -> Relation {
        let inside = |is: bool| if is { Relation::Within } else { Relation::Outside };
        match (&self.shape, name) {
            (Shape::Directory(base), Subject::Directory(name)) => inside(name.is_within(base)),
            (Shape::Dns(base), Subject::Other(GeneralName::Dns(host))) => host_relation(host, base),
            (shape, Subject::Other(GeneralName::Email(mailbox))) => match mailbox.rsplit_once('@') {
                Some((local, host)) if !local.is_empty() && is_host(host) => match shape {
                    Shape::Mailbox(base) => inside(same_mailbox(mailbox, base)),
                    shape => inside_hosts(shape, host),
                },
                _ => Relation::Unknown,
            },
            (shape, Subject::Other(GeneralName::Uri(uri))) => match host_of(uri) {
                Some(host) => inside_hosts(shape, host),
                None => Relation::Unknown,
            },
            (Shape::Network(address, mask), Subject::Other(GeneralName::Ip(octets))) => {
                let same = |((a, b), m): ((&u8, &u8), &u8)| a & m == b & m;
                let bits = octets.iter().zip(*address).zip(*mask);
                match octets.len() {
                    4 | 16 => inside(octets.len() == address.len() && bits.into_iter().all(same)),
                    _ => Relation::Unknown,
                }
            }
            _ => Relation::Unknown,
        }
    }
}

fn host_or_below(host: &str) -> Shape<'_> {
    match host.strip_prefix('.') {
        Some(below) if is_host(below) => Shape::Below(below),
        None if is_host(host) => Shape::Host(host),
        _ => Shape::Unknown,
    }
}

/// Address and mask of equal length; a mask with holes is no network (RFC 4632).
fn network(octets: &[u8]) -> Shape<'_> {
    let (address, mask) = octets.split_at(octets.len() / 2);
    let ones: u32 = mask.iter().map(|octet| octet.leading_ones()).sum();
    let set: u32 = mask.iter().map(|octet| octet.count_ones()).sum();
    let contiguous = ones == set && mask.windows(2).all(|pair| pair[0] == 0xff || pair[1] == 0);
    match octets.len() {
        8 | 32 if contiguous => Shape::Network(address, mask),
        _ => Shape::Unknown,
    }
}

fn inside_hosts(shape: &Shape<'_>, host: &str) -> Relation {
    let inside = match shape {
        Shape::Host(base) => host.eq_ignore_ascii_case(base),
        Shape::Below(base) => is_below(host, base),
        _ => return Relation::Unknown,
    };
    if inside { Relation::Within } else { Relation::Outside }
}

fn host_relation(host: &str, base: &str) -> Relation {
    let within = |host: &str| base.is_empty() || host.eq_ignore_ascii_case(base) || is_below(host, base);
    match host.strip_prefix("*.") {
        Some(rest) if is_host(rest) => {
            if within(rest) {
                Relation::Within
            } else if is_below(base, rest) {
                // Whether or not the wildcard may stand for several labels: some host could be within.
                Relation::Partly
            } else {
                Relation::Outside
            }
        }
        None if is_host(host) => {
            if within(host) {
                Relation::Within
            } else {
                Relation::Outside
            }
        }
        _ => Relation::Unknown,
    }
}

fn is_below(host: &str, base: &str) -> bool {
    let Some(cut) = host.len().checked_sub(base.len()).and_then(|length| length.checked_sub(1)) else {
        return false;
    };
    let (head, tail) = host.as_bytes().split_at(cut);
    !head.is_empty() && tail.first() == Some(&b'.') && tail[1..].eq_ignore_ascii_case(base.as_bytes())
}

/// The host of a URI's authority; `None` for one without, and for addresses (4.2.1.10 asks for a domain name).
fn host_of(uri: &str) -> Option<&str> {
    let (scheme, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host_and_port = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host_and_port.split_once(':').map_or(host_and_port, |(host, _)| host);
    let is_address = host.rsplit('.').next()?.bytes().all(|octet| octet.is_ascii_digit());
    (!scheme.is_empty() && is_host(host) && !is_address).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(base: GeneralName<'_>, name: GeneralName<'_>) -> Relation {
        Base::new(Subtree { base, has_distance: false }).relation(&Subject::new(name))
    }

    #[test]
    fn hosts_are_within_a_domain_or_partly_or_not() {
        for (base, host, expected) in [
            ("example.org", "example.org", Relation::Within),
            ("example.org", "a.b.EXAMPLE.org", Relation::Within),
            ("example.org", "notexample.org", Relation::Outside),
            ("", "any.host", Relation::Within),
            ("example.org", "*.example.org", Relation::Within),
            ("a.example.org", "*.example.org", Relation::Partly),
            ("b.a.example.org", "*.example.org", Relation::Partly),
            ("example.org", "*.org", Relation::Partly),
            (".example.org", "a.example.org", Relation::Unknown),
            ("*.example.org", "a.example.org", Relation::Unknown),
            ("example.org", "bad..host", Relation::Unknown),
        ] {
            assert!(relation(GeneralName::Dns(base), GeneralName::Dns(host)) == expected, "{base} {host}");
        }
    }

    #[test]
    fn mailboxes_and_uris_are_within_a_host_or_below_a_domain() {
        for (base, name, expected) in [
            ("a@example.org", "a@EXAMPLE.org", Relation::Within),
            ("a@example.org", "A@example.org", Relation::Outside),
            ("example.org", "a@example.org", Relation::Within),
            ("example.org", "a@b.example.org", Relation::Outside),
            (".example.org", "a@b.example.org", Relation::Within),
            (".example.org", "a@example.org", Relation::Outside),
            ("example.org", "no mailbox", Relation::Unknown),
        ] {
            assert!(
                relation(GeneralName::Email(base), GeneralName::Email(name)) == expected,
                "{base} {name}"
            );
        }
        for (base, name, expected) in [
            ("example.org", "https://u@example.org:8/x", Relation::Within),
            (".example.org", "ldap://a.example.org?x", Relation::Within),
            ("example.org", "https://10.0.0.1/", Relation::Unknown),
            ("example.org", "urn:example.org", Relation::Unknown),
            ("example.org", "https://evil.org/@example.org", Relation::Outside),
        ] {
            assert!(relation(GeneralName::Uri(base), GeneralName::Uri(name)) == expected, "{base} {name}");
        }
    }

    #[test]
    fn addresses_are_within_a_network_of_their_own_kind() {
        let v4 = GeneralName::Ip(&[10, 1, 0, 0, 255, 255, 0, 0]);
        assert!(relation(v4, GeneralName::Ip(&[10, 1, 2, 3])) == Relation::Within);
        assert!(relation(v4, GeneralName::Ip(&[10, 2, 2, 3])) == Relation::Outside);
        assert!(relation(v4, GeneralName::Ip(&[0; 16])) == Relation::Outside);
        assert!(relation(v4, GeneralName::Ip(&[0; 5])) == Relation::Unknown);
        let holes = GeneralName::Ip(&[10, 1, 0, 0, 255, 0, 255, 0]);
        assert!(relation(holes, GeneralName::Ip(&[10, 1, 2, 3])) == Relation::Unknown);
    }

    #[test]
    fn forms_without_a_rule_fail_closed() {
        let registered = GeneralName::RegisteredId(Oid::known(&[0x2a, 3]));
        assert!(relation(registered, registered) == Relation::Unknown);
        let distant = Base::new(Subtree { base: GeneralName::Dns("example.org"), has_distance: true });
        assert!(distant.relation(&Subject::new(GeneralName::Dns("a.example.org"))) == Relation::Unknown);
    }
}
