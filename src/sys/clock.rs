//! Moments as people read them. Not for signal handlers.

use std::time::{SystemTime, UNIX_EPOCH};

/// A moment as `2026-01-31T23:59:59.123Z`.
pub(crate) fn utc(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs() as _;
    // SAFETY: all-zero bytes are a valid tm, which the call fills; both pointers are to live values.
    let tm = unsafe {
        let mut tm: libc::tm = std::mem::zeroed();
        #[cfg(unix)]
        libc::gmtime_r(&raw const seconds, &raw mut tm);
        #[cfg(windows)]
        libc::gmtime_s(&raw mut tm, &raw const seconds);
        tm
    };
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        tm.tm_year + 1900,
        tm.tm_mon + 1,
        tm.tm_mday,
        tm.tm_hour,
        tm.tm_min,
        tm.tm_sec,
        since.subsec_millis()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_moment_has_its_date_and_milliseconds() {
        assert_eq!(utc(UNIX_EPOCH + Duration::from_millis(1_709_210_096_789)), "2024-02-29T12:34:56.789Z");
    }
}
