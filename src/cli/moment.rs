//! Parses points in time, the values of `--since` and `--until`.

use chrono::{DateTime, Local, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone};

use super::values::parse_duration;
use crate::event::Timestamp;
use crate::system::clock::local_now;

/// Parses an RFC 3339 time; a date, or a date and a time, in the local time zone; a time of today; or a duration, which
/// is that long ago.
pub(super) fn parse_moment(text: &str) -> Result<Timestamp, String> {
    let now: DateTime<Local> = local_now();
    moment(text, &now)
}

fn moment<Z: TimeZone>(text: &str, now: &DateTime<Z>) -> Result<Timestamp, String> {
    let time = if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        time.timestamp_nanos_opt()
    } else if let Some(local) = local_time(text, now.date_naive()) {
        // A time that the clock skipped has no earliest one, and of one that it repeated the first is meant.
        let time = now.timezone().from_local_datetime(&local).earliest();
        time.ok_or_else(|| "the clock skipped this time, as daylight saving time began".to_owned())?
            .timestamp_nanos_opt()
    } else if let Ok(ago) = parse_duration(text) {
        let ago = TimeDelta::from_std(ago).ok();
        ago.and_then(|ago| now.clone().checked_sub_signed(ago)).and_then(|time| time.timestamp_nanos_opt())
    } else {
        return Err(
            "expected a time such as 14:00, '2026-11-26 14:00' or 2026-11-26T14:00:00Z, or how long ago, such \
                    as 2h"
                .to_owned(),
        );
    };
    time.map(Timestamp).ok_or_else(|| "not within the years 1677 to 2262".to_owned())
}

/// A date, a date and a time, or a time on the day `today`.
fn local_time(text: &str, today: NaiveDate) -> Option<NaiveDateTime> {
    const TIMES: [&str; 2] = ["%H:%M", "%H:%M:%S%.f"];
    let time = |text: &str| TIMES.into_iter().find_map(|form| NaiveTime::parse_from_str(text, form).ok());
    let date = |text: &str| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    match text.split_once(['T', ' ']) {
        Some((day, text)) => Some(date(day)?.and_time(time(text)?)),
        None => date(text).map(|day| day.and_time(NaiveTime::MIN)).or_else(|| Some(today.and_time(time(text)?))),
    }
}

#[cfg(test)]
mod tests {
    use chrono::{FixedOffset, SecondsFormat};

    use super::*;

    #[test]
    fn times_of_several_forms() {
        let now = DateTime::parse_from_rfc3339("2026-11-26T15:30:00.5+01:00").unwrap();
        let read = |text: &str| {
            let Timestamp(nanos) = moment::<FixedOffset>(text, &now)?;
            Ok::<_, String>(DateTime::from_timestamp_nanos(nanos).to_rfc3339_opts(SecondsFormat::AutoSi, true))
        };
        for (text, time) in [
            ("2026-11-26T14:00:00Z", "2026-11-26T14:00:00Z"),
            ("2026-11-26T14:00:00.25+02:00", "2026-11-26T12:00:00.250Z"),
            ("2026-11-26T14:00:00", "2026-11-26T13:00:00Z"),
            ("2026-11-26 14:00", "2026-11-26T13:00:00Z"),
            ("2026-11-25", "2026-11-24T23:00:00Z"),
            ("14:00", "2026-11-26T13:00:00Z"),
            ("14:00:05.5", "2026-11-26T13:00:05.500Z"),
            ("23:59", "2026-11-26T22:59:00Z"),
            ("2h", "2026-11-26T12:30:00.500Z"),
            ("1d12h", "2026-11-25T02:30:00.500Z"),
            ("90", "2026-11-26T14:28:30.500Z"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(time), "{text}");
        }
        for text in ["", "noon", "25:00", "14", "2026-13-01", "2026-11-26T", "-2h", "2h ago", "14:00Z"] {
            let read = read(text);
            // A number without a unit is a duration in seconds.
            assert!(text == "14" || read.as_ref().is_err_and(|error| error.contains("14:00")), "{text}: {read:?}");
        }
        assert!(read("9999-01-01").unwrap_err().contains("1677"));
        // 99 years ago is still in range, whatever the time of day is.
        assert!(read("800000h").is_ok());
    }
}
