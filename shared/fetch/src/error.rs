//! What can go wrong while fetching, and what a caller should make of it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::deadline::Stage;

/// Why a document was not had. The names of hosts are those of the hop at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The text is no URL that could be fetched.
    #[error("the URL {url} cannot be used: {why}")]
    BadUrl {
        /// The text, shortened.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A scheme that is unknown, or not admitted by the configuration.
    #[error("the URL scheme {scheme} is not admitted")]
    UnsupportedScheme {
        /// The scheme.
        scheme: String,
    },
    /// The host lies at an address that the configuration does not allow.
    #[error("{host} lies at {address}, which is not admitted")]
    ForbiddenAddress {
        /// Whom the URL names.
        host: String,
        /// The first address that was refused.
        address: IpAddr,
    },
    /// The host's name leads to no address.
    #[error("{host} cannot be resolved: {why}")]
    Unresolved {
        /// Whom the URL names.
        host: String,
        /// The resolver's words.
        why: String,
    },
    /// No connection.
    #[error("{host} cannot be reached: {why}")]
    Unreachable {
        /// Whom the URL names.
        host: String,
        /// The last attempt's failure.
        why: String,
    },
    /// No agreement on TLS, or a certificate that does not validate.
    #[error("no TLS with {host}: {why}")]
    Tls {
        /// Whom the URL names.
        host: String,
        /// The handshake's failure.
        why: String,
    },
    /// A deadline passed.
    #[error("{host} took longer than {limit:?} {stage}")]
    Deadline {
        /// Whom the URL names.
        host: String,
        /// What took too long.
        stage: Stage,
        /// The deadline.
        limit: Duration,
    },
    /// The body comes below the minimum rate.
    #[error("{host} sends less than {minimum} bytes a second")]
    TooSlow {
        /// Whom the URL names.
        host: String,
        /// The minimum rate, bytes a second.
        minimum: u64,
    },
    /// The document, or what was sent in order to bring it, is above the limit.
    #[error("{host} has more than {limit} bytes to send")]
    TooLarge {
        /// Whom the URL names.
        host: String,
        /// The limit of the document, bytes.
        limit: usize,
    },
    /// The body is encoded though that was not asked for.
    #[error("{host} answers in the encoding {encoding}, which was not asked for")]
    Encoded {
        /// Whom the URL names.
        host: String,
        /// The encoding.
        encoding: String,
    },
    /// The body ends before its time, or the answer is no HTTP or LDAP.
    #[error("the answer of {host} breaks off or is malformed: {why}")]
    Broken {
        /// Whom the URL names.
        host: String,
        /// What was met.
        why: String,
    },
    /// Any HTTP status but 200, 304 and a redirect.
    #[error("{host} answers with status {code}")]
    Status {
        /// Whom the URL names.
        host: String,
        /// The status code.
        code: u16,
        /// How long the host asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// An LDAP result other than success.
    #[error("the directory {host} answers with result {code}")]
    Directory {
        /// Whom the URL names.
        host: String,
        /// The result code (RFC 4511 appendix A).
        code: u32,
    },
    /// The entry or attribute, or the file, is not there.
    #[error("{host} does not have it")]
    Absent {
        /// Whom the URL names.
        host: String,
    },
    /// "Not modified", though nothing was held.
    #[error("{host} answers \"not modified\" to an unconditional request")]
    UnaskedNotModified {
        /// Whom the URL names.
        host: String,
    },
    /// One redirect too many.
    #[error("{host} redirects once more after {limit} redirects")]
    TooManyRedirects {
        /// Who redirected last.
        host: String,
        /// The limit.
        limit: usize,
    },
    /// A redirect out of HTTP, or out of TLS.
    #[error("{host} redirects to {to}, which is not followed")]
    UnsafeRedirect {
        /// Who redirected.
        host: String,
        /// Whereto, shortened.
        to: String,
    },
    /// A file that may not or cannot be read.
    #[error("{path} cannot be read: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// What forbids it.
        why: String,
    },
    /// Not asked at all, because of failures before.
    #[error("{host} failed lately and is left alone for another {wait:?}")]
    PutOff {
        /// Whom the URL names.
        host: String,
        /// For how long.
        wait: Duration,
    },
}

impl FetchError {
    /// Whether the same request can succeed later without anybody changing the URL, the limit or the configuration.
    pub fn is_passing(&self) -> bool {
        match self {
            FetchError::Unresolved { .. }
            | FetchError::Unreachable { .. }
            | FetchError::Tls { .. }
            | FetchError::Deadline { .. }
            | FetchError::TooSlow { .. }
            | FetchError::Broken { .. }
            | FetchError::UnaskedNotModified { .. }
            | FetchError::PutOff { .. } => true,
            // Request timeout, too early, too many requests (RFC 9110, 8470, 6585); troubles of the server.
            FetchError::Status { code, .. } => matches!(code, 408 | 425 | 429 | 500..=599),
            // Operations error, time limit, busy, unavailable.
            FetchError::Directory { code, .. } => matches!(code, 1 | 3 | 51 | 52),
            _ => false,
        }
    }

    /// How long to wait at least before asking again, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            FetchError::Status { retry_after, .. } => *retry_after,
            FetchError::PutOff { wait, .. } => Some(*wait),
            _ => None,
        }
    }

    /// The word under which it is counted.
    pub fn reason(&self) -> Reason {
        match self {
            FetchError::BadUrl { .. } => Reason::BadUrl,
            FetchError::UnsupportedScheme { .. } => Reason::UnsupportedScheme,
            FetchError::ForbiddenAddress { .. } => Reason::ForbiddenAddress,
            FetchError::Unresolved { .. } => Reason::Unresolved,
            FetchError::Unreachable { .. } => Reason::Unreachable,
            FetchError::Tls { .. } => Reason::Tls,
            FetchError::Deadline { .. } => Reason::Deadline,
            FetchError::TooSlow { .. } => Reason::TooSlow,
            FetchError::TooLarge { .. } => Reason::TooLarge,
            FetchError::Encoded { .. } => Reason::Encoded,
            FetchError::Broken { .. } => Reason::Broken,
            FetchError::Status { .. } | FetchError::Directory { .. } => Reason::Status,
            FetchError::Absent { .. } => Reason::Absent,
            FetchError::UnaskedNotModified { .. } => Reason::UnaskedNotModified,
            FetchError::TooManyRedirects { .. } => Reason::TooManyRedirects,
            FetchError::UnsafeRedirect { .. } => Reason::UnsafeRedirect,
            FetchError::File { .. } => Reason::File,
            FetchError::PutOff { .. } => Reason::PutOff,
        }
    }
}

macro_rules! reasons {
    ($($reason:ident $word:literal,)*) => {
        /// Why fetches fail, as metrics tell it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        #[allow(missing_docs)]
        pub enum Reason { $($reason,)* }

        impl Reason {
            /// All of them, in order.
            pub const ALL: &[Reason] = &[$(Reason::$reason,)*];

            /// The word, as a metric's label has it.
            pub fn as_str(self) -> &'static str {
                match self { $(Reason::$reason => $word,)* }
            }
        }
    };
}

reasons! {
    BadUrl "bad_url",
    UnsupportedScheme "unsupported_scheme",
    ForbiddenAddress "forbidden_address",
    Unresolved "unresolved",
    Unreachable "unreachable",
    Tls "tls",
    Deadline "deadline",
    TooSlow "too_slow",
    TooLarge "too_large",
    Encoded "encoded",
    Broken "broken",
    Status "status",
    Absent "absent",
    UnaskedNotModified "unasked_not_modified",
    TooManyRedirects "too_many_redirects",
    UnsafeRedirect "unsafe_redirect",
    File "file",
    PutOff "put_off",
}

/// Why a [`Fetcher`](crate::Fetcher) cannot be made from its configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// The file of authorities cannot be read, or holds none.
    #[error("the authorities in {path} cannot be used: {why}")]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A duration above [`MAX_DURATION`](crate::config::MAX_DURATION).
    #[error("{key} is longer than 30 days")]
    Duration {
        /// The key.
        key: &'static str,
    },
    /// A directory for `file` URLs is not there.
    #[error("the directory {path} cannot be used: {why}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}
