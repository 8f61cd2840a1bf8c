//! Dates for the guest's clock, without the host's time zone.

/// Days from 1970-01-01 to a date of the Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // Count years from March, so that the leap day is the last of its year.
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Seconds since 1970-01-01 UTC of a date and time; `None` if there is no such moment.
fn seconds(date: [i64; 3], time: [i64; 3]) -> Option<i64> {
    let ([year, month, day], [hour, minute, second]) = (date, time);
    let valid = (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..60).contains(&second)
        && (1970..=9999).contains(&year);
    valid.then(|| days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// A field of exactly `width` digits at `at`.
fn digits(text: &str, at: usize, width: usize) -> Option<i64> {
    let field = text.get(at..at + width)?;
    field.bytes().all(|b| b.is_ascii_digit()).then(|| field.parse().ok())?
}

/// Seconds since 1970-01-01 UTC of an RFC 3339 time such as `2026-01-31T12:00:00Z`. A date alone is its midnight.
pub fn parse_rfc3339(text: &str) -> Result<i64, String> {
    let wrong = || format!("{text:?} is no RFC 3339 time; write it like 2026-01-31T12:00:00Z");
    let dashes = text.get(4..5) == Some("-") && text.get(7..8) == Some("-");
    let date = || Some([digits(text, 0, 4)?, digits(text, 5, 2)?, digits(text, 8, 2)?]);
    let date = if dashes { date().ok_or_else(wrong)? } else { return Err(wrong()) };
    let Some(rest) = text.get(10..).filter(|rest| !rest.is_empty()) else {
        return seconds(date, [0; 3]).ok_or_else(wrong);
    };
    let separators = rest.starts_with(['T', 't', ' ']) && rest.get(3..4) == Some(":") && rest.get(6..7) == Some(":");
    let time = || Some([digits(rest, 1, 2)?, digits(rest, 4, 2)?, digits(rest, 7, 2)?]);
    let time = if separators { time().ok_or_else(wrong)? } else { return Err(wrong()) };
    // A fraction is cut: the RTC counts seconds.
    let zone = rest.get(9..).unwrap_or("");
    let zone = zone.strip_prefix('.').map_or(zone, |z| z.trim_start_matches(|c: char| c.is_ascii_digit()));
    let offset = match zone.as_bytes() {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let (hours, minutes) =
                digits(zone, 1, 2).zip(digits(zone, 4, 2)).filter(|(h, m)| *h < 24 && *m < 60).ok_or_else(wrong)?;
            (hours * 3_600 + minutes * 60) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return Err(wrong()),
    };
    seconds(date, time).map(|s| s - offset).ok_or_else(wrong)
}

/// Seconds since 1970-01-01 UTC of what ctime(3) prints, `Sat Jan  1 00:00:00 2000`, read as UTC.
pub fn parse_ctime(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = text.split_whitespace().collect();
    let [_, month, day, time, year] = words[..] else { return None };
    let month = MONTHS.iter().position(|m| m.eq_ignore_ascii_case(month))? as i64 + 1;
    let mut time = time.split(':').map(|part| part.parse::<i64>().ok());
    let time = [time.next()??, time.next()??, time.next()??];
    seconds([year.parse().ok()?, month, day.parse().ok()?], time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_times_give_seconds_of_the_epoch() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-01-01T00:00:00Z", 946_684_800),
            ("2000-02-29", 951_782_400),
            ("2026-11-22T18:52:25Z", 1_795_373_545),
            ("2026-11-22T19:52:25.25+01:00", 1_795_373_545),
            ("2026-11-22 13:22:25-05:30", 1_795_373_545),
        ] {
            assert_eq!(parse_rfc3339(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn rfc3339_times_that_are_none_are_refused() {
        for text in [
            "",
            "now",
            "2026-13-01",
            "2026-02-30T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00",
            "2026-1-1",
            "1969-12-31",
            "2026-01-01T00:00:00+99:00",
            "éééééééééééééééé",
        ] {
            assert!(parse_rfc3339(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ctime_strings_of_the_bochs_manual_give_their_documented_seconds() {
        assert_eq!(parse_ctime("Sat Jan  1 00:00:00 2000"), Some(946_684_800));
        assert_eq!(parse_ctime("Mon Jan  1 00:00:00 1990"), Some(631_152_000));
        assert_eq!(parse_ctime("local"), None);
    }
}
