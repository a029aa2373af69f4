//! When a URL is asked next. Pure: facts and an instant in, an instant out; chance is a fact, too.

use super::config::PollingConfig;

/// What is known of a URL. Instants are milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Facts {
    /// Since when it is a target.
    pub since_ms: i64,
    /// When this validator asked it last.
    pub asked_ms: Option<i64>,
    /// When a question last needed what it serves.
    pub used_ms: i64,
    /// What is held of that.
    pub held: Held,
    /// Drawn evenly from 0 to 1, anew after each request.
    pub chance: f64,
}

/// What is held of that which a URL serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// No CRL.
    Nothing,
    /// A CRL without a nextUpdate.
    Endless,
    /// A CRL with this life.
    Until {
        /// thisUpdate.
        from_ms: i64,
        /// nextUpdate.
        to_ms: i64,
    },
}

/// Whether the fleet's newest is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contact {
    /// It is, provably: somebody asks for all.
    Kept,
    /// It is not, since this instant: each validator asks for itself.
    Lost {
        /// Milliseconds since the Unix epoch.
        since_ms: i64,
    },
}

impl Contact {
    /// Whether one validator may ask for all: whoever cannot tell what it finds must keep nobody else from asking.
    pub(crate) fn is_one_for_all(self, is_connected: bool) -> bool {
        self == Contact::Kept && is_connected
    }
}

/// Validators that start together ask for what they lack within this time.
const START_SPREAD_MS: i64 = 3_000;

/// When a URL is due.
pub(crate) fn due_ms(config: &PollingConfig, facts: &Facts, contact: Contact) -> i64 {
    let planned = planned_ms(config, facts);
    match contact {
        Contact::Kept => planned,
        Contact::Lost { since_ms } => planned.min(alone_ms(config, facts, since_ms)),
    }
}

/// What is due whoever is in contact: what lacks, and what ends.
fn planned_ms(config: &PollingConfig, facts: &Facts) -> i64 {
    let idle = ms(config.idle_interval);
    match (facts.held, facts.asked_ms) {
        (Held::Nothing, None) => facts.since_ms + share(START_SPREAD_MS, facts.chance),
        (Held::Nothing | Held::Endless, Some(asked)) => asked + varied(idle, facts.chance),
        (Held::Endless, None) => facts.since_ms + share(idle, facts.chance),
        (Held::Until { from_ms, to_ms }, asked) => {
            let margin = ms(config.before_next_update).min((to_ms - from_ms).max(0) / 4);
            // In the first half of the margin, so that there is time for more than one try.
            let look_ms = to_ms - margin + share(margin / 2, facts.chance);
            let Some(asked) = asked else { return look_ms };
            let next_ms = asked + varied(again(config, asked - to_ms), facts.chance);
            if asked >= to_ms - margin { next_ms } else { look_ms.max(next_ms) }
        }
    }
}

/// The pause between two looks for the successor of a CRL that ended `overdue_ms` ago: whoever is late for long is
/// asked less and less.
fn again(config: &PollingConfig, overdue_ms: i64) -> i64 {
    let (shortest, longest) = (ms(config.interval), ms(config.idle_interval));
    (overdue_ms / 4).clamp(shortest, longest.max(shortest))
}

/// In the steady pace of a validator that is on its own.
fn alone_ms(config: &PollingConfig, facts: &Facts, since_ms: i64) -> i64 {
    let is_used = since_ms.max(facts.asked_ms.unwrap_or(since_ms)) - facts.used_ms <= ms(config.lately);
    let period = ms(if is_used { config.interval } else { config.idle_interval });
    match facts.asked_ms.filter(|asked| *asked >= since_ms) {
        Some(asked) => asked + varied(period, facts.chance),
        None => since_ms + share(period, facts.chance),
    }
}

fn ms(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4).min(i64::MAX / 4)
}

fn share(of_ms: i64, chance: f64) -> i64 {
    (of_ms as f64 * chance.clamp(0.0, 1.0)) as i64
}

/// Nine to eleven tenths.
fn varied(period_ms: i64, chance: f64) -> i64 {
    share(period_ms, 0.9) + share(period_ms, 0.2 * chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: i64 = 60_000;
    const HOUR: i64 = 60 * MINUTE;

    fn facts(held: Held, asked_ms: Option<i64>, chance: f64) -> Facts {
        Facts { since_ms: 0, asked_ms, used_ms: 0, held, chance }
    }

    fn day() -> Held {
        Held::Until { from_ms: 0, to_ms: 24 * HOUR }
    }

    fn due(facts: &Facts, contact: Contact) -> i64 {
        due_ms(&PollingConfig::default(), facts, contact)
    }

    #[test]
    fn a_crl_is_looked_for_at_once_where_none_is_held_and_then_seldom() {
        assert_eq!(due(&facts(Held::Nothing, None, 0.5), Contact::Kept), START_SPREAD_MS / 2);
        assert_eq!(due(&facts(Held::Nothing, Some(5), 0.5), Contact::Kept), 5 + 10 * MINUTE);
    }

    #[test]
    fn a_successor_is_looked_for_before_next_update_and_until_there_is_one() {
        let margin = 24 * HOUR - 5 * MINUTE;
        assert_eq!(due(&facts(day(), None, 0.0), Contact::Kept), margin);
        assert_eq!(due(&facts(day(), Some(HOUR), 1.0), Contact::Kept), margin + 150_000);
        assert_eq!(due(&facts(day(), Some(margin), 0.5), Contact::Kept), margin + MINUTE);
        // A day late: every ten minutes.
        let late = 48 * HOUR;
        assert_eq!(due(&facts(day(), Some(late), 0.5), Contact::Kept), late + 10 * MINUTE);
    }

    #[test]
    fn the_margin_is_at_most_a_quarter_of_a_short_life() {
        let held = Held::Until { from_ms: 0, to_ms: 40_000 };
        assert_eq!(due(&facts(held, None, 0.0), Contact::Kept), 30_000);
    }

    #[test]
    fn without_contact_what_is_used_is_asked_every_interval_and_the_rest_seldom() {
        let lost = Contact::Lost { since_ms: 100 * MINUTE };
        let used = Facts { used_ms: 99 * MINUTE, ..facts(day(), None, 1.0) };
        assert_eq!(due(&used, lost), 101 * MINUTE);
        assert_eq!(due(&facts(day(), None, 1.0), lost), 110 * MINUTE);
        let asked = Facts { asked_ms: Some(101 * MINUTE), ..used };
        assert_eq!(due(&asked, lost), 101 * MINUTE + 66_000);
    }

    /// A broker may be connected and yet prove nothing, as a node does that is cut off from the others.
    #[test]
    fn one_asks_for_all_only_where_what_it_finds_can_be_told() {
        let lost = Contact::Lost { since_ms: 0 };
        let connected = [Contact::Kept, lost].map(|contact| contact.is_one_for_all(true));
        let cut_off = [Contact::Kept, lost].map(|contact| contact.is_one_for_all(false));
        assert_eq!((connected, cut_off), ([true, false], [false, false]));
    }

    proptest! {
        /// The bound of I3: whatever else is known, a used URL is asked within 1.1 intervals.
        #[test]
        fn without_contact_a_used_url_is_never_left_alone_for_longer_than_the_bound(
            asked in proptest::option::of(0i64..200 * MINUTE),
            to_ms in 1i64..48 * HOUR,
            chance in 0.0f64..=1.0,
        ) {
            let since_ms = 100 * MINUTE;
            let facts = Facts {
                since_ms: 0,
                asked_ms: asked,
                used_ms: asked.unwrap_or(0).max(since_ms),
                held: Held::Until { from_ms: 0, to_ms },
                chance,
            };
            let before = asked.unwrap_or(0).max(since_ms);
            let due = due(&facts, Contact::Lost { since_ms });
            prop_assert!(due <= before + 66_000, "{due} after {before}");
        }

        /// However late or odd a CRL is, nobody asks more often than nine tenths of the interval.
        #[test]
        fn a_url_that_was_asked_is_left_alone_for_nearly_an_interval(
            asked in 0i64..100 * HOUR,
            to_ms in -HOUR..48 * HOUR,
            since_ms in 0i64..100 * HOUR,
            chance in 0.0f64..=1.0,
        ) {
            prop_assume!(asked >= since_ms);
            let facts = facts(Held::Until { from_ms: 0, to_ms }, Some(asked), chance);
            for contact in [Contact::Kept, Contact::Lost { since_ms }] {
                prop_assert!(due(&facts, contact) >= asked + 53_999);
            }
        }
    }
}
