//! Texts at which an answer ends, wherever tokens divide them.

/// Watches a text that comes in pieces for the first of its stops.
pub(super) struct StopWatch<'a> {
    stops: Vec<&'a str>,
    /// The end of the text so far that may begin a stop.
    held: String,
}

impl<'a> StopWatch<'a> {
    /// Begin; empty stops mean nothing.
    pub(super) fn new(stops: &'a [String]) -> Self {
        let stops = stops.iter().map(String::as_str).filter(|stop| !stop.is_empty()).collect();
        Self { stops, held: String::new() }
    }

    /// Take a piece: gives the text that is certain by now, and whether a stop ended it.
    pub(super) fn push(&mut self, piece: &str) -> (String, bool) {
        self.held.push_str(piece);
        let found = self.stops.iter().filter_map(|stop| self.held.find(stop)).min();
        if let Some(at) = found {
            self.held.truncate(at);
            return (std::mem::take(&mut self.held), true);
        }
        let begun = self.held.char_indices().map(|(at, _)| at).find(|&at| {
            let end = &self.held[at..];
            self.stops.iter().any(|stop| stop.starts_with(end))
        });
        let rest = self.held.split_off(begun.unwrap_or(self.held.len()));
        (std::mem::replace(&mut self.held, rest), false)
    }

    /// Give what was held back: no more comes.
    pub(super) fn finish(self) -> String {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let stops: Vec<String> = stops.iter().map(|stop| (*stop).to_owned()).collect();
        let mut watch = StopWatch::new(&stops);
        let mut text = String::new();
        for piece in pieces {
            let (certain, stopped) = watch.push(piece);
            text.push_str(&certain);
            if stopped {
                return (text, true);
            }
        }
        text.push_str(&watch.finish());
        (text, false)
    }

    #[test]
    fn a_stop_is_found_however_the_text_is_divided() {
        let text = "T cells\n\nUser: and γδ?";
        for stop in ["\n\nUser:", "γδ", "T", "?"] {
            let expected = (text[..text.find(stop).unwrap()].to_owned(), true);
            for size in 1..text.len() {
                let characters: Vec<char> = text.chars().collect();
                let pieces: Vec<String> =
                    characters.chunks(size).map(|chunk| chunk.iter().collect()).collect();
                let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
                assert_eq!(watch(&[stop, "never"], &pieces), expected, "{stop:?} by {size}");
            }
        }
    }

    #[test]
    fn the_first_stop_counts_and_beginnings_that_come_to_nothing_are_kept() {
        assert_eq!(watch(&["cd", "b"], &["a", "bc", "d"]), ("a".into(), true));
        assert_eq!(watch(&["aab"], &["a", "a", "a", "b"]), ("a".into(), true));
        assert_eq!(watch(&["###"], &["#", "#", "x", "##"]), ("##x##".into(), false));
        assert_eq!(watch(&["", "z"], &["a", "b"]), ("ab".into(), false));
    }

    #[test]
    fn nothing_certain_is_held_back() {
        let stops = ["\nUser:".to_owned()];
        let mut watch = StopWatch::new(&stops);
        assert_eq!(watch.push("T cells"), ("T cells".into(), false));
        assert_eq!(watch.push("\nUs"), (String::new(), false));
        assert_eq!(watch.push("ual"), ("\nUsual".into(), false));
    }
}
