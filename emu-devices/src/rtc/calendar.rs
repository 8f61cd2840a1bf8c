//! Seconds since 1970 to calendar fields and back (proleptic Gregorian), and the MC146818's byte formats.

/// A moment as the clock's registers show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 Sunday to 6.
    pub weekday: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
}

const SECONDS_PER_DAY: i64 = 86_400;

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: u8) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to January 1st of `year`.
fn days_before_year(year: i64) -> i64 {
    let before = year - 1;
    let leap_days = before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400);
    // 477 leap days lie before 1970.
    (year - 1970) * 365 + leap_days - 477
}

impl Moment {
    pub fn from_seconds(seconds: i64) -> Self {
        let days = seconds.div_euclid(SECONDS_PER_DAY);
        let in_day = seconds.rem_euclid(SECONDS_PER_DAY);
        // The estimate is off by the leap days only.
        let mut year = 1970 + days.div_euclid(365);
        while days_before_year(year) > days {
            year -= 1;
        }
        while days_before_year(year + 1) <= days {
            year += 1;
        }
        let mut day = days - days_before_year(year);
        let mut month = 1;
        while day >= days_in_month(year, month) {
            day -= days_in_month(year, month);
            month += 1;
        }
        Self {
            year,
            month,
            day: day as u8 + 1,
            weekday: (days + 4).rem_euclid(7) as u8,
            hour: (in_day / 3600) as u8,
            minute: (in_day / 60 % 60) as u8,
            second: (in_day % 60) as u8,
        }
    }

    /// Seconds since 1970. Fields out of range carry over into the next; the weekday is ignored.
    pub fn to_seconds(self) -> i64 {
        let months = (1..self.month.min(12)).map(|month| days_in_month(self.year, month)).sum::<i64>();
        let days = days_before_year(self.year) + months + i64::from(self.day) - 1;
        let in_day = i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second);
        days * SECONDS_PER_DAY + in_day
    }
}

/// How register B says that fields are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Format {
    pub binary: bool,
    pub hours_24: bool,
}

impl Format {
    pub fn encode(self, value: u8) -> u8 {
        if self.binary { value } else { to_bcd(value) }
    }

    pub fn decode(self, byte: u8) -> u8 {
        if self.binary { byte } else { from_bcd(byte) }
    }

    pub fn encode_hour(self, hour: u8) -> u8 {
        if self.hours_24 {
            return self.encode(hour);
        }
        let of_12 = (hour + 11) % 12 + 1;
        self.encode(of_12) | if hour >= 12 { 0x80 } else { 0 }
    }

    pub fn decode_hour(self, byte: u8) -> u8 {
        if self.hours_24 {
            return self.decode(byte);
        }
        self.decode(byte & 0x7F) % 12 + if byte & 0x80 != 0 { 12 } else { 0 }
    }
}

pub(super) fn to_bcd(value: u8) -> u8 {
    (value / 10 % 10) << 4 | (value % 10)
}

pub(super) fn from_bcd(byte: u8) -> u8 {
    (byte >> 4) * 10 + (byte & 0xF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calendar_known_moments_convert_both_ways() {
        let moments = [
            (0, (1970, 1, 1, 4, 0, 0, 0)),
            (951_782_400, (2000, 2, 29, 2, 0, 0, 0)),
            (1_795_373_522, (2026, 11, 22, 0, 18, 52, 2)),
            (4_107_542_399, (2100, 2, 28, 0, 23, 59, 59)),
            (4_107_542_400, (2100, 3, 1, 1, 0, 0, 0)),
            (-1, (1969, 12, 31, 3, 23, 59, 59)),
        ];
        for (seconds, (year, month, day, weekday, hour, minute, second)) in moments {
            let moment = Moment { year, month, day, weekday, hour, minute, second };
            assert_eq!(Moment::from_seconds(seconds), moment);
            assert_eq!(moment.to_seconds(), seconds);
        }
    }

    #[test]
    fn format_12_hour_has_noon_and_midnight_as_12() {
        let format = Format { binary: false, hours_24: false };
        for (hour, byte) in [(0, 0x12), (1, 0x01), (11, 0x11), (12, 0x92), (13, 0x81), (23, 0x91)] {
            assert_eq!(format.encode_hour(hour), byte);
            assert_eq!(format.decode_hour(byte), hour);
        }
    }
}
