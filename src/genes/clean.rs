//! What NCBI's texts carry beside the text.

/// Clean a field of a gene record: drop who provided it (`[provided by RefSeq, Jul 2008]`,
/// `[supplied by OMIM, …]`), the page furniture that scraped fields carry (`**`, a `NEW` badge at
/// the end, the invitation to the gene table), and runs of white space.
pub(super) fn clean(text: &str) -> String {
    let mut text = text.replace("**", " ");
    for opening in ["[provided by", "[supplied by"] {
        while let Some(start) = text.find(opening) {
            let end = text[start..].find(']').map_or(text.len(), |length| start + length + 1);
            text.replace_range(start..end, "");
        }
    }
    let text =
        text.replace("Try the new Gene table", " ").replace("Try the new Transcript table", " ");
    let mut words: Vec<&str> = text.split_whitespace().collect();
    while words.last() == Some(&"NEW") {
        words.pop();
    }
    let text = words.join(" ");
    // NCBI puts the provider between a full stop and another.
    text.replace(". .", ".").replace("..", ".").replace(" .", ".")
}

/// Take NCBI's `-` for nothing.
pub(super) fn unless_dash(text: &str) -> &str {
    let text = text.trim();
    if text == "-" { "" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_provider_goes_and_the_text_stays() {
        assert_eq!(
            clean("Encodes p53. [provided by RefSeq, Jul 2008]. See **also**  MDM2\tNEW"),
            "Encodes p53. See also MDM2"
        );
        assert_eq!(clean("Cut off [provided by RefSeq, Ju"), "Cut off");
        assert_eq!(clean("NEW YORK factor"), "NEW YORK factor");
    }
}
