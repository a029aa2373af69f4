//! Which URLs are watched: the configured ones, and what living subscriptions ask for where that is allowed.

use std::collections::BTreeMap;
use std::time::Duration;

use revocast_messages::Registration;
use url::Url;

use crate::config::WatcherConfig;

/// At most this many URLs are watched because subscriptions name them.
pub(crate) const MAX_DEMANDED: usize = 256;

/// No URL is looked at more often.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// Every URL to be watched, and how often.
pub(crate) fn watched(
    config: &WatcherConfig,
    registrations: &[Registration],
    now_ms: i64,
) -> BTreeMap<String, Duration> {
    let living = registrations.iter().filter(|registration| registration.lapses_at_ms > now_ms);
    let mut demanded: Vec<&String> = living.flat_map(|registration| &registration.locations).collect();
    demanded.retain(|url| is_allowed(url, &config.allowed_hosts));
    // Sorted, so that every watcher leaves out the same ones.
    demanded.sort();
    demanded.dedup();
    demanded.truncate(MAX_DEMANDED);
    let demanded = demanded.into_iter().map(|url| (url.clone(), config.demanded_interval));
    let configured = config.watch.iter().map(|watch| (watch.url.clone(), watch.interval));
    demanded.chain(configured).map(|(url, interval)| (url, interval.max(SHORTEST_INTERVAL))).collect()
}

fn is_allowed(url: &str, hosts: &[String]) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    url.host_str().is_some_and(|host| hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host)))
}

#[cfg(test)]
mod tests {
    use revocast_messages::Payload;

    use super::*;
    use crate::config::WatchConfig;

    fn registration(lapses_at_ms: i64, locations: &[&str]) -> Registration {
        Registration {
            validator: "v-1".parse().unwrap(),
            issuer: None,
            payload: Payload::Full,
            lapses_at_ms,
            locations: locations.iter().map(|url| (*url).to_owned()).collect(),
            responsible: "w-1".parse().unwrap(),
        }
    }

    fn config() -> WatcherConfig {
        WatcherConfig {
            allowed_hosts: vec!["crl.example".into()],
            watch: vec![WatchConfig { url: "http://own/x".into(), interval: Duration::from_secs(5) }],
            ..WatcherConfig::default()
        }
    }

    fn urls(registrations: &[Registration]) -> Vec<String> {
        watched(&config(), registrations, 1_000).into_keys().collect()
    }

    #[test]
    fn nothing_but_the_configured_is_watched_without_a_living_subscription() {
        assert_eq!(urls(&[]), ["http://own/x"]);
        assert_eq!(urls(&[registration(1_000, &["http://crl.example/a"])]), ["http://own/x"]);
        assert_eq!(
            urls(&[registration(1_001, &["http://crl.example/a"])]),
            ["http://crl.example/a", "http://own/x"]
        );
    }

    #[test]
    fn only_allowed_hosts_are_watched_on_demand() {
        let hostile = [
            "http://evil/a",
            "http://crl.example.evil/a",
            "http://crl.example@evil/a",
            "http://evil/#http://crl.example/",
            "crl.example",
            "file:///etc/passwd",
        ];
        assert_eq!(urls(&[registration(2_000, &hostile)]), ["http://own/x"]);
        assert_eq!(urls(&[registration(2_000, &["http://CRL.Example:8080/a"])]).len(), 2);
    }

    #[test]
    fn demand_is_bounded_and_the_configured_interval_stands_above_it() {
        let many: Vec<String> = (0..1_000).map(|n| format!("http://crl.example/{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(urls(&[registration(2_000, &many)]).len(), MAX_DEMANDED + 1);
        let config = WatcherConfig { allowed_hosts: vec!["own".into()], ..config() };
        let watched = watched(&config, &[registration(2_000, &["http://own/x"])], 1_000);
        assert_eq!(watched["http://own/x"], Duration::from_secs(5));
    }
}
