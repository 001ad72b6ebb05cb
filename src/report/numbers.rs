//! Numbers as they stand in a page.

use crate::bench::summary::{Interval, MeanSd};

/// What stands where there is no number.
pub(super) const NONE: &str = "–";

/// A score with three decimals.
pub(super) fn score(value: f64) -> String {
    if value.is_finite() { format!("{value:.3}") } else { NONE.to_owned() }
}

/// A difference with its sign.
pub(super) fn signed(value: f64) -> String {
    if !value.is_finite() {
        return NONE.to_owned();
    }
    let text = format!("{value:+.3}").replace('-', "−");
    // Of what rounds to nothing the sign tells nothing.
    if text.ends_with("0.000") { "0.000".to_owned() } else { text }
}

/// The deviation of a score over trials, where there are several.
pub(super) fn deviation(value: MeanSd, trials: usize) -> String {
    if trials > 1 && value.mean.is_finite() && value.sd.is_finite() {
        format!("± {:.3}", value.sd)
    } else {
        String::new()
    }
}

/// A score over trials, as `0.912 ± 0.010`.
pub(super) fn mean_sd(value: MeanSd, trials: usize) -> String {
    format!("{} {}", score(value.mean), deviation(value, trials)).trim_end().to_owned()
}

/// An interval in words, as `−0.012 to +0.030`.
pub(super) fn range(interval: Interval) -> String {
    format!("{} to {}", signed(interval.low), signed(interval.high))
}

/// A count with its thousands apart.
pub(super) fn count(value: usize) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with its noun, as `1 cell`, `2 cells`.
pub(super) fn counted(value: usize, noun: &str) -> String {
    format!("{} {noun}{}", count(value), if value == 1 { "" } else { "s" })
}

/// An amount with about three digits: `12,300`, `45.1`, `0.03`.
pub(super) fn amount(value: f64) -> String {
    match value.abs() {
        _ if !value.is_finite() => NONE.to_owned(),
        size if size >= 1000.0 => {
            let step = 10f64.powf(size.log10().floor() - 2.0);
            count(((value / step).round() * step).max(0.0) as usize)
        }
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 1.0 => format!("{value:.1}"),
        size if size >= 0.005 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.1e}"),
    }
}

/// Bytes as gigabytes or megabytes.
pub(super) fn bytes(value: Option<u64>) -> String {
    match value {
        None => NONE.to_owned(),
        Some(bytes) if bytes >= 1_000_000_000 => format!("{:.1} GB", bytes as f64 / 1e9),
        Some(bytes) => format!("{:.0} MB", bytes as f64 / 1e6),
    }
}

/// A part of a whole, as `12 %`.
pub(super) fn percent(part: f64) -> String {
    match part {
        _ if !part.is_finite() => NONE.to_owned(),
        _ if part > 0.0 && part < 0.005 => "< 1 %".to_owned(),
        _ => format!("{:.0} %", 100.0 * part),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_one_writes_them() {
        assert_eq!(signed(-0.0123), "−0.012");
        assert_eq!((signed(-0.0001), signed(f64::NAN)), ("0.000".to_owned(), NONE.to_owned()));
        assert_eq!((count(1234567), count(12)), ("1,234,567".to_owned(), "12".to_owned()));
        let amounts = [12345.6, 123.4, 4.56, 0.034, 0.0, 0.0001].map(amount);
        assert_eq!(amounts, ["12,300", "123", "4.6", "0.03", "0.00", "1.0e-4"]);
        assert_eq!(bytes(Some(1_234_000_000)), "1.2 GB");
        let value = MeanSd { mean: 0.5, sd: 0.25 };
        assert_eq!(
            (mean_sd(value, 3), mean_sd(value, 1)),
            ("0.500 ± 0.250".into(), "0.500".into())
        );
    }
}
