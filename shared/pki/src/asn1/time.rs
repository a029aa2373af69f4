//! Points in time, to the second, as certificates and CRLs write them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Seconds since 1970-01-01T00:00:00Z. Human-readable formats write it as RFC 3339.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(i64);

impl Time {
    /// 9999-12-31T23:59:59Z: "no well-defined expiration date" (RFC 5280 4.1.2.5).
    pub const MAX: Time = Time(253_402_300_799);

    /// From seconds since the Unix epoch.
    pub const fn from_unix(seconds: i64) -> Time {
        Time(seconds)
    }

    /// Seconds since the Unix epoch.
    pub const fn unix(self) -> i64 {
        self.0
    }

    /// Later by `seconds`, or earlier if they are negative; stays within what 64 bits hold.
    #[must_use]
    pub const fn plus(self, seconds: i64) -> Time {
        Time(self.0.saturating_add(seconds))
    }

    /// Seconds from `earlier` to this time; negative if this is the earlier one.
    pub const fn since(self, earlier: Time) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// `YYMMDDHHMMSSZ`; years 50 to 99 are 1950 to 1999 (RFC 5280 4.1.2.5.1).
    pub(crate) fn from_utc_time(content: &[u8]) -> Option<Time> {
        let [digits @ .., b'Z'] = content else { return None };
        let [yy, rest @ ..] = pairs::<6>(digits)?;
        let year = if yy >= 50 { 1900 + yy } else { 2000 + yy };
        civil(year, rest)
    }

    /// `YYYYMMDDHHMMSSZ`, without fractions (RFC 5280 4.1.2.5.2).
    pub(crate) fn from_generalized_time(content: &[u8]) -> Option<Time> {
        let [digits @ .., b'Z'] = content else { return None };
        let [century, yy, rest @ ..] = pairs::<7>(digits)?;
        civil(century * 100 + yy, rest)
    }

    /// Year, month, day, hour, minute, second in UTC.
    pub fn civil(self) -> (i64, u8, u8, u8, u8, u8) {
        let (days, second) = (self.0.div_euclid(86_400), self.0.rem_euclid(86_400));
        // Days to a date in the proleptic Gregorian calendar, counted in eras of 400 years from 1 March.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let clock = [second / 3600, second / 60 % 60, second % 60];
        (year, month as u8, day as u8, clock[0] as u8, clock[1] as u8, clock[2] as u8)
    }
}

fn pairs<const N: usize>(digits: &[u8]) -> Option<[i64; N]> {
    if digits.len() != 2 * N || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut numbers = [0; N];
    for (number, pair) in numbers.iter_mut().zip(digits.chunks_exact(2)) {
        *number = i64::from((pair[0] - b'0') * 10 + (pair[1] - b'0'));
    }
    Some(numbers)
}

fn civil(year: i64, [month, day, hour, minute, second]: [i64; 5]) -> Option<Time> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if day < 1 || day > length || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let year = if month > 2 { year } else { year - 1 };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_era =
        year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * from_march + 2) / 5 + day - 1;
    let days = era * 146_097 + day_of_era - 719_468;
    Some(Time(days * 86_400 + hour * 3_600 + minute * 60 + second))
}

impl Time {
    /// As RFC 3339 writes it, which every answer does a few times; `None` outside of the years 0 to 9999.
    fn rfc3339(self) -> Option<[u8; 20]> {
        let (year, month, day, hour, minute, second) = self.civil();
        let year = u16::try_from(year).ok().filter(|year| *year <= 9_999)?;
        let mut text = *b"0000-00-00T00:00:00Z";
        let pairs = [(year / 100) as u8, (year % 100) as u8, month, day, hour, minute, second];
        for (at, number) in [0, 2, 5, 8, 11, 14, 17].into_iter().zip(pairs) {
            text[at] = b'0' + number / 10;
            text[at + 1] = b'0' + number % 10;
        }
        Some(text)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = self.rfc3339() {
            return f.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?);
        }
        let (year, month, day, hour, minute, second) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not an RFC 3339 time between the years 0 and 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 time such as 2026-11-22T15:04:05Z")]
pub struct NotATime;

impl FromStr for Time {
    type Err = NotATime;

    /// RFC 3339; an offset is honoured, a fraction of a second is cut off.
    fn from_str(text: &str) -> Result<Time, NotATime> {
        rfc3339(text.as_bytes()).ok_or(NotATime)
    }
}

fn rfc3339(text: &[u8]) -> Option<Time> {
    let (date, rest) = text.split_at_checked(10)?;
    let (clock, mut zone) = rest.split_at_checked(9)?;
    let [b'T' | b't' | b' ', clock @ ..] = clock else { return None };
    let separators = [date[4], date[7]] == *b"--" && [clock[2], clock[5]] == *b"::";
    let digits: Vec<u8> = [date, clock].concat().into_iter().filter(u8::is_ascii_digit).collect();
    let [century, yy, civil_rest @ ..] = pairs::<7>(&digits)?;
    if let [b'.', fraction @ ..] = zone {
        let length = fraction.iter().take_while(|octet| octet.is_ascii_digit()).count();
        zone = if length == 0 { return None } else { &fraction[length..] };
    }
    let offset = match zone {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let [hours, minutes] = pairs::<2>(&[*h1, *h2, *m1, *m2])?;
            let seconds = hours * 3_600 + minutes * 60;
            if hours > 23 || minutes > 59 {
                return None;
            }
            if *sign == b'+' { seconds } else { -seconds }
        }
        _ => return None,
    };
    separators.then(|| civil(century * 100 + yy, civil_rest)).flatten().map(|time| time.plus(-offset))
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return self.0.serialize(serializer);
        }
        match self.rfc3339().as_ref().map(|text| str::from_utf8(text)) {
            Some(Ok(text)) => serializer.serialize_str(text),
            _ => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(serde::de::Error::custom)
        } else {
            i64::deserialize(deserializer).map(Time)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_time_are_read_and_shown() {
        for (content, shown) in [
            (&b"500101000000Z"[..], "1950-01-01T00:00:00Z"),
            (b"491231235959Z", "2049-12-31T23:59:59Z"),
            (b"000229120000Z", "2000-02-29T12:00:00Z"),
        ] {
            assert_eq!(Time::from_utc_time(content).unwrap().to_string(), shown);
        }
        assert_eq!(Time::from_generalized_time(b"99991231235959Z"), Some(Time::MAX));
        for wrong in [&b"010229120000Z"[..], b"0002291200Z", b"000229120000+0000", b"000229240000Z", b"Z"] {
            assert_eq!(Time::from_utc_time(wrong), None);
        }
    }

    #[test]
    fn times_outside_of_four_digits_are_shown_with_as_many_as_they_need() {
        for (seconds, shown) in [
            (Time::MAX.unix(), "9999-12-31T23:59:59Z"),
            (Time::MAX.unix() + 1, "10000-01-01T00:00:00Z"),
            (-62_167_219_200, "0000-01-01T00:00:00Z"),
            (-62_167_219_201, "-001-12-31T23:59:59Z"),
        ] {
            let time = Time::from_unix(seconds);
            assert_eq!(time.to_string(), shown);
        }
    }

    #[test]
    fn rfc_3339_is_read_with_offsets_and_fractions() {
        let noon: Time = "2026-11-22T12:00:00Z".parse().unwrap();
        assert_eq!("2026-11-22T13:30:00.25+01:30".parse(), Ok(noon));
        for wrong in
            ["", "2026-11-22", "2026-11-22T12:00:00", "2026-13-22T12:00:00Z", "2026-11-22T12:00:00.Z"]
        {
            assert_eq!(wrong.parse::<Time>(), Err(NotATime), "{wrong}");
        }
    }
}
