//! When is a failed request tried again? By [`Retry`], the answer's status and its `Retry-After` (threat 78).

use std::time::{Duration, SystemTime};

use super::settings::Retry;

/// Whether an answer says that the same request may fare better later.
pub(super) fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// What a registry asks us to wait, by its `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3).
pub(super) fn asked(value: &str) -> Option<Duration> {
    let value = value.trim();
    if value.bytes().all(|byte| byte.is_ascii_digit()) && !value.is_empty() {
        // More digits than a number can have are still "long".
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

/// The wait before the repetition `number`, counted from 0.
pub(super) fn wait(retry: &Retry, number: u32, asked: Option<Duration>) -> Duration {
    let doubled = retry
        .delay
        .saturating_mul(1_u32.checked_shl(number).unwrap_or(u32::MAX));
    // Those that failed together must not come back together.
    let jittered = doubled.mul_f64(1.0 - fastrand::f64() / 2.0);
    asked.unwrap_or(jittered).min(retry.longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_end() {
        let retry = Retry {
            times: 9,
            delay: Duration::from_millis(100),
            longest: Duration::from_secs(1),
        };
        for (number, most) in [(0, 100), (1, 200), (2, 400), (3, 800), (4, 1000), (40, 1000)] {
            let wait = wait(&retry, number, None);
            assert!(wait <= Duration::from_millis(most), "{number}: {wait:?}");
            assert!(wait >= Duration::from_millis(most / 2), "{number}: {wait:?}");
        }
        assert_eq!(
            wait(&retry, 0, Some(Duration::from_secs(1_000_000_000))),
            Duration::from_secs(1)
        );
        assert_eq!(wait(&retry, 0, Some(Duration::ZERO)), Duration::ZERO);
    }
}
