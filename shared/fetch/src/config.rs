//! [`FetchConfig`]: what a deployment may decide about fetching, and the defaults.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::error::SetupError;
use crate::target::Scheme;

/// How documents are fetched. Unknown keys are refused; durations are written like `5s`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FetchConfig {
    /// URL schemes that are admitted; `http` and `https` when absent.
    pub schemes: BTreeSet<Scheme>,
    /// Directories below which `file` URLs may read; the scheme `file` is of no use without one.
    pub file_directories: Vec<PathBuf>,
    /// Networks that may be connected to although they are not of the public Internet, like `10.0.0.0/8`.
    pub allowed_networks: Vec<IpNet>,
    /// PEM file of authorities whose TLS certificates are accepted besides the system's.
    pub tls_authorities: Option<PathBuf>,
    /// Resolving, connecting and the TLS handshake may take this long.
    #[serde(with = "humantime_serde")]
    pub connect_deadline: Duration,
    /// From the request to the last byte of the answer's head.
    #[serde(with = "humantime_serde")]
    pub first_byte_deadline: Duration,
    /// Between two bytes of the body.
    #[serde(with = "humantime_serde")]
    pub idle_deadline: Duration,
    /// The whole of one [`get`](crate::Fetcher::get): waiting for a place, redirects, body.
    #[serde(with = "humantime_serde")]
    pub total_deadline: Duration,
    /// A body must bring this many bytes a second, measured over each `rate_window`.
    pub minimum_rate: u64,
    /// See `minimum_rate`.
    #[serde(with = "humantime_serde")]
    pub rate_window: Duration,
    /// No document may be larger, in bytes, whatever limit the caller gives.
    pub max_bytes: usize,
    /// Connections to one host at once.
    pub connections_per_host: NonZeroUsize,
    /// Connections to all hosts together.
    pub connections: NonZeroUsize,
    /// What failed for a lasting reason (not found, too large, refused address) is not asked again for this long.
    #[serde(with = "humantime_serde")]
    pub negative_ttl: Duration,
    /// Passing failures that follow one another are retried after a random time of at most this, doubled each time.
    #[serde(with = "humantime_serde")]
    pub backoff_base: Duration,
    /// The doubling of `backoff_base` ends here.
    #[serde(with = "humantime_serde")]
    pub backoff_ceiling: Duration,
    /// A longer Retry-After is cut to this: a host must not be able to silence its CRLs for ever.
    #[serde(with = "humantime_serde")]
    pub retry_after_ceiling: Duration,
    /// Places and URLs whose failures are remembered; the ones nearest to their end are forgotten first.
    pub remembered_failures: NonZeroUsize,
}

/// Two round trips around the world and a slow name server.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// Some repositories make CRLs when asked.
pub const FIRST_BYTE_DEADLINE: Duration = Duration::from_secs(15);
/// A TCP peer that lost a packet comes back within a few seconds.
pub const IDLE_DEADLINE: Duration = Duration::from_secs(10);
/// `MAX_BYTES` at 8 Mbit/s.
pub const TOTAL_DEADLINE: Duration = Duration::from_secs(300);
/// Slower than any line in use (a modem of 1996 brought 4 KiB/s); a stalling host holds a place no longer than
/// the window.
pub const MINIMUM_RATE: u64 = 4 * 1024;
/// Long enough to average over a lost packet or two.
pub const RATE_WINDOW: Duration = Duration::from_secs(10);
/// A CRL of 5,000,000 entries has 220 MB.
pub const MAX_BYTES: usize = 256 * 1024 * 1024;
/// What HTTP clients of old kept to (RFC 2616 8.1.4), and repositories expect of a polite one.
pub const CONNECTIONS_PER_HOST: NonZeroUsize = NonZeroUsize::new(2).unwrap();
/// Far below the usual 1,024 file descriptors, and 128 hostile hosts are needed to fill it.
pub const CONNECTIONS: NonZeroUsize = NonZeroUsize::new(256).unwrap();
/// A CRL that is announced before its repository shows it must not be missed for long.
pub const NEGATIVE_TTL: Duration = Duration::from_secs(15);
/// A first retry comes after half a second on average.
pub const BACKOFF_BASE: Duration = Duration::from_secs(1);
/// The pace of polling without a broker: nobody asks a broken host more often than a sound one.
pub const BACKOFF_CEILING: Duration = Duration::from_secs(60);
/// Long enough for maintenance, short beside the hours that CRLs are valid.
pub const RETRY_AFTER_CEILING: Duration = Duration::from_secs(3_600);
/// A few hundred bytes each.
pub const REMEMBERED_FAILURES: NonZeroUsize = NonZeroUsize::new(4_096).unwrap();

/// No duration may be longer: 30 days, far above every sensible value and far below what clocks can count.
pub const MAX_DURATION: Duration = Duration::from_secs(30 * 86_400);

impl FetchConfig {
    /// Fails on a duration that clocks could not count.
    pub(crate) fn check(&self) -> Result<(), SetupError> {
        let durations = [
            ("connect_deadline", self.connect_deadline),
            ("first_byte_deadline", self.first_byte_deadline),
            ("idle_deadline", self.idle_deadline),
            ("total_deadline", self.total_deadline),
            ("rate_window", self.rate_window),
            ("negative_ttl", self.negative_ttl),
            ("backoff_base", self.backoff_base),
            ("backoff_ceiling", self.backoff_ceiling),
            ("retry_after_ceiling", self.retry_after_ceiling),
        ];
        match durations.into_iter().find(|(_, duration)| *duration > MAX_DURATION) {
            Some((key, _)) => Err(SetupError::Duration { key }),
            None => Ok(()),
        }
    }
}

impl Default for FetchConfig {
    fn default() -> FetchConfig {
        FetchConfig {
            schemes: BTreeSet::from([Scheme::Http, Scheme::Https]),
            file_directories: Vec::new(),
            allowed_networks: Vec::new(),
            tls_authorities: None,
            connect_deadline: CONNECT_DEADLINE,
            first_byte_deadline: FIRST_BYTE_DEADLINE,
            idle_deadline: IDLE_DEADLINE,
            total_deadline: TOTAL_DEADLINE,
            minimum_rate: MINIMUM_RATE,
            rate_window: RATE_WINDOW,
            max_bytes: MAX_BYTES,
            connections_per_host: CONNECTIONS_PER_HOST,
            connections: CONNECTIONS,
            negative_ttl: NEGATIVE_TTL,
            backoff_base: BACKOFF_BASE,
            backoff_ceiling: BACKOFF_CEILING,
            retry_after_ceiling: RETRY_AFTER_CEILING,
            remembered_failures: REMEMBERED_FAILURES,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_reads_what_it_writes_and_refuses_unknown_keys() {
        let written = serde_json::to_string(&FetchConfig::default()).unwrap();
        assert!(written.contains(r#""connect_deadline":"5s""#), "{written}");
        assert_eq!(serde_json::from_str::<FetchConfig>(&written).unwrap(), FetchConfig::default());
        assert_eq!(serde_json::from_str::<FetchConfig>("{}").unwrap(), FetchConfig::default());
        assert!(serde_json::from_str::<FetchConfig>(r#"{"proxy": "http://x"}"#).is_err());
    }

    #[test]
    fn the_default_leaves_files_and_directories_alone() {
        let schemes: Vec<Scheme> = FetchConfig::default().schemes.into_iter().collect();
        assert_eq!(schemes, [Scheme::Http, Scheme::Https]);
    }
}
