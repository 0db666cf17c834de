//! Stop strings over token boundaries.

/// Watches a text that arrives in pieces for the first of some stop strings. Text that might be the
/// beginning of one is held back until it is decided.
#[derive(Debug, Clone, Default)]
pub struct StopMatcher {
    stops: Vec<String>,
    held: String,
    matched: bool,
}

impl StopMatcher {
    /// A matcher; empty strings never match.
    pub fn new(stops: impl IntoIterator<Item = String>) -> Self {
        let stops = stops.into_iter().filter(|stop| !stop.is_empty()).collect();
        Self {
            stops,
            held: String::new(),
            matched: false,
        }
    }

    /// Whether a stop string has been found. Nothing comes out after it.
    pub fn matched(&self) -> bool {
        self.matched
    }

    /// Takes a piece of text and appends to `out` what certainly stands before any stop string.
    pub fn push(&mut self, text: &str, out: &mut String) {
        if self.matched {
            return;
        }
        if self.stops.is_empty() {
            out.push_str(text);
            return;
        }
        self.held.push_str(text);
        let first = self
            .stops
            .iter()
            .filter_map(|stop| self.held.find(stop.as_str()))
            .min();
        if let Some(at) = first {
            out.push_str(&self.held[..at]);
            self.held.clear();
            self.matched = true;
            return;
        }
        let safe = self.held.len() - self.longest_beginning();
        out.push_str(&self.held[..safe]);
        self.held.drain(..safe);
    }

    /// Appends what was held back: the text has ended.
    pub fn finish(&mut self, out: &mut String) {
        out.push_str(&self.held);
        self.held.clear();
    }

    /// The length of the longest end of the held text that is the beginning of a stop string.
    fn longest_beginning(&self) -> usize {
        let held = self.held.as_bytes();
        let longest = self
            .stops
            .iter()
            .map(String::len)
            .max()
            .unwrap_or(0)
            .saturating_sub(1);
        (1..=longest.min(held.len()))
            .rev()
            .find(|&len| {
                self.stops
                    .iter()
                    .any(|stop| stop.as_bytes().starts_with(&held[held.len() - len..]))
            })
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut matcher = StopMatcher::new(stops.iter().map(|s| (*s).to_owned()));
        let mut out = String::new();
        for piece in pieces {
            matcher.push(piece, &mut out);
        }
        matcher.finish(&mut out);
        (out, matcher.matched())
    }

    #[test]
    fn a_stop_over_three_pieces_is_found_and_removed() {
        assert_eq!(run(&["END"], &["one E", "N", "D two"]), ("one ".to_owned(), true));
    }

    #[test]
    fn a_beginning_that_comes_to_nothing_is_given_out() {
        assert_eq!(run(&["END"], &["E", "N", "E"]), ("ENE".to_owned(), false));
    }

    #[test]
    fn the_first_in_the_text_wins_not_the_first_in_the_list() {
        assert_eq!(
            run(&["later", "so"], &["not so later"]),
            ("not ".to_owned(), true)
        );
    }

    #[test]
    fn characters_are_never_split() {
        assert_eq!(run(&["é!"], &["caf", "é", "?"]), ("café?".to_owned(), false));
        // A stop that begins with the same byte as the text's last character.
        assert_eq!(run(&["è"], &["é"]), ("é".to_owned(), false));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(text in "[abé]{0,30}", stops in prop::collection::vec("[abé]{1,4}", 0..4),
                                    cuts in prop::collection::vec(0usize..40, 0..8)) {
            let first = stops.iter().filter_map(|s| text.find(s.as_str())).min();
            let expected = &text[..first.unwrap_or(text.len())];
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|&c| c <= text.len() && text.is_char_boundary(c)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&str> = cuts.windows(2).map(|w| &text[w[0]..w[1]]).collect();
            let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
            prop_assert_eq!(run(&stops, &pieces), (expected.to_owned(), first.is_some()));
        }
    }
}
