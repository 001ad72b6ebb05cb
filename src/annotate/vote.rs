//! Several answers about one cluster, and what they agree on.

/// A label as it is compared: lower case, without plural, brackets and punctuation. A plus stays, and so does a minus
/// at the end of a word: CD8- is not CD8.
pub fn normal_form(label: &str) -> String {
    let letters: Vec<char> = label.to_lowercase().chars().collect();
    let is_word = |at: usize| letters.get(at).is_some_and(|one| one.is_alphanumeric());
    let plain = |(at, &one): (usize, &char)| {
        let negates = one == '-' && at > 0 && is_word(at - 1) && !is_word(at + 1);
        if one.is_alphanumeric() || one == '+' || negates { one } else { ' ' }
    };
    let plain: String = letters.iter().enumerate().map(plain).collect();
    let singular = |word: &str| match word.strip_suffix('s') {
        Some(one) if one.len() > 3 && !one.ends_with(['s', 'u', 'i']) => one.to_owned(),
        _ => word.to_owned(),
    };
    plain.split_whitespace().map(singular).collect::<Vec<_>>().join(" ")
}

/// The label that most answers give, with the part of the answers that do, and the other labels by falling number of
/// votes; of equally many the one that came first. `None` where there is no answer.
pub fn vote(labels: &[String]) -> Option<(String, f64, Vec<String>)> {
    let mut counts: Vec<(String, &String, usize)> = Vec::new();
    for label in labels {
        let form = normal_form(label);
        match counts.iter_mut().find(|(other, ..)| *other == form) {
            Some((_, _, votes)) => *votes += 1,
            None => counts.push((form, label, 1)),
        }
    }
    counts.sort_by_key(|(_, _, votes)| std::cmp::Reverse(*votes));
    let (_, label, votes) = counts.first()?;
    let others = counts[1..].iter().map(|(_, label, _)| (*label).clone()).collect();
    Some(((*label).clone(), *votes as f64 / labels.len() as f64, others))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_does_not_split_the_vote() {
        let labels =
            ["T cells", "Monocytes", "T cell", "CD14+ Monocytes", "t-cell"].map(str::to_owned);
        let (label, agreement, others) = vote(&labels).unwrap();
        assert_eq!((label.as_str(), agreement), ("T cells", 0.6));
        assert_eq!(
            normal_form("CD34- (CD8-positive) T-cells - naïve"),
            "cd34- cd8 positive t cell naïve"
        );
        assert_eq!(others, ["Monocytes", "CD14+ Monocytes"]);
        assert!(vote(&[]).is_none());
        assert_eq!(normal_form("Macrophages (M2)"), "macrophage m2");
    }
}
