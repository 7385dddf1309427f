//! A running text for a model that continues text: parts that follow each other, each cut into windows of tokens.

use std::ops::Range;

/// The bytes of the text that each part gets: the parts follow each other, each from where the one before ends, and
/// `shares` count characters (Unicode code points), rounded down. What the shares leave over belongs to no part.
pub fn parts_of_text<const PARTS: usize>(text: &str, shares: [f64; PARTS]) -> [Range<usize>; PARTS] {
    let characters = text.chars().count();
    let byte = |character: usize| text.char_indices().nth(character).map_or(text.len(), |(byte, _)| byte);
    let (mut sum, mut start) = (0.0, 0);
    shares.map(|share| {
        sum += share;
        // A hair more, so that shares such as 0.7 + 0.1 + 0.2 come to all characters.
        let end = byte((sum * characters as f64 + 1e-6).floor() as usize).max(start);
        std::mem::replace(&mut start, end)..end
    })
}

/// Windows of `size` tokens that follow each other without overlap. A last window that is not full is left out.
pub fn windows(tokens: &[u32], size: usize) -> Vec<Vec<u32>> {
    tokens.chunks_exact(size.max(1)).map(<[u32]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{parts_of_text, windows};

    #[test]
    fn parts_follow_each_other_and_count_characters() {
        let text = "añçdefghij";
        let parts = parts_of_text(text, [0.5, 0.0, 0.25, 0.25]);
        assert_eq!(parts.map(|part| &text[part]), ["añçde", "", "fg", "hij"]);
        assert_eq!(parts_of_text(text, [0.5, 0.2]).map(|part| &text[part]), ["añçde", "fg"]);
        assert_eq!(parts_of_text("", [0.5, 0.5]), [0..0, 0..0]);
    }

    #[test]
    fn windows_do_not_overlap_and_the_rest_is_left_out() {
        assert_eq!(windows(&[1, 2, 3, 4, 5], 2), [[1, 2], [3, 4]]);
        assert!(windows(&[1], 2).is_empty());
    }

    proptest! {
        #[test]
        fn shares_that_sum_to_one_lose_nothing(text in any::<String>(), cut in 0..=10_u8, second in 0..=10_u8) {
            let first = f64::from(cut) / 10.0;
            let second = (1.0 - first) * f64::from(second) / 10.0;
            let parts = parts_of_text(&text, [first, second, 1.0 - first - second]);
            prop_assert_eq!(parts.map(|part| &text[part]).concat(), text);
        }
    }
}
