//! When to ask a service again, and how long to wait before.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;

/// The longest wait between two attempts, whatever the server asks for.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// How long a service is asked again.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Attempts for one request, at least 1.
    pub attempts: u32,
    /// The wait before the second attempt; it doubles with every further one.
    pub first_wait: Duration,
    /// How long one attempt may take.
    pub timeout: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { attempts: 8, first_wait: Duration::from_secs(1), timeout: Duration::from_secs(120) }
    }
}

impl Patience {
    /// The wait after attempt number `attempt` (from 1): what the server asked for, else twice as
    /// long each time; with jitter, so that clients refused together do not come back together.
    pub(super) fn wait(&self, attempt: u32, asked: Option<Duration>) -> Duration {
        let doubled = self.first_wait.saturating_mul(1 << (attempt - 1).min(16));
        let wait = match asked {
            // Never sooner than asked.
            Some(asked) => asked.mul_f64(rand::random_range(1.0..1.1)),
            None => doubled.mul_f64(rand::random_range(0.5..1.0)),
        };
        wait.min(LONGEST_WAIT)
    }
}

/// Whether a refusal may pass by itself.
pub(super) fn passes(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
        || status.is_server_error()
}

/// The wait the server asks for: `Retry-After` in seconds, or OpenAI's `retry-after-ms`.
pub(super) fn asked_wait(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let seconds = number("retry-after-ms").map(|ms| ms / 1000.0).or(number("retry-after"))?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_end() {
        let patience = Patience { first_wait: Duration::from_secs(1), ..Patience::default() };
        for attempt in 1..=40 {
            let most = 2_u64.pow((attempt - 1).min(16)).min(120);
            let wait = patience.wait(attempt, None);
            assert!(wait <= Duration::from_secs(most), "{attempt}: {wait:?}");
            let least = Duration::from_secs(most) / 2;
            assert!(wait >= least.min(LONGEST_WAIT / 2), "{attempt}: {wait:?}");
        }
        assert!(patience.wait(1, Some(Duration::from_secs(7))) >= Duration::from_secs(7));
        assert_eq!(patience.wait(1, Some(Duration::from_secs(99_999))), LONGEST_WAIT);
    }

    #[test]
    fn servers_ask_in_seconds_or_milliseconds() {
        let mut headers = HeaderMap::new();
        assert_eq!(asked_wait(&headers), None);
        headers.insert("retry-after", "3".parse().unwrap());
        assert_eq!(asked_wait(&headers), Some(Duration::from_secs(3)));
        headers.insert("retry-after-ms", "250".parse().unwrap());
        assert_eq!(asked_wait(&headers), Some(Duration::from_millis(250)));
        headers.insert("retry-after-ms", "-1".parse().unwrap());
        assert_eq!(asked_wait(&headers), None);
    }
}
