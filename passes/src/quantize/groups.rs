//! Whether a group size fits the targets, and which would.

use paring_model::Site;

use crate::effect::PlanCx;
use crate::error::Problem;
use crate::weights;

/// Sites that a message names before it counts the rest.
const NAMED: usize = 3;
/// Sizes that a message offers.
const OFFERED: usize = 6;

/// Whether `size` divides the inputs of each of the sites.
///
/// # Errors
/// The sites that it does not divide, and sizes that divide all.
pub(crate) fn check(cx: &PlanCx<'_>, sites: &[Site], size: usize) -> Result<(), Problem> {
    let inputs: Vec<(&str, usize)> =
        sites.iter().map(|site| (site.name.as_str(), weights::inputs(weights::shape(cx, site)))).collect();
    let wrong: Vec<String> = inputs
        .iter()
        .filter(|(_, inputs)| !inputs.is_multiple_of(size))
        .map(|(name, inputs)| format!("`{name}` ({inputs} inputs)"))
        .collect();
    if wrong.is_empty() {
        return Ok(());
    }
    let message = format!("is `{size}`, which does not divide {}", list(&wrong));
    Err(Problem::new("/group_size", message).help(cure(&inputs, size)))
}

fn list(sites: &[String]) -> String {
    let (named, rest) = sites.split_at(sites.len().min(NAMED));
    match (named, rest.len()) {
        ([one], 0) => one.clone(),
        ([first @ .., last], 0) => format!("{} and {last}", first.join(", ")),
        (_, rest) => format!("{} and {rest} more", named.join(", ")),
    }
}

fn cure(inputs: &[(&str, usize)], size: usize) -> String {
    let common = inputs.iter().fold(0, |common, (_, inputs)| greatest_common_divisor(common, *inputs));
    let sizes: Vec<String> = nearest_divisors(common, size).iter().map(|size| format!("`{size}`")).collect();
    if sizes.is_empty() {
        return "no group size above 1 divides the inputs of every target: quantize some with `granularity: channel`"
            .to_owned();
    }
    let noun = if sizes.len() == 1 { "group size that fits" } else { "group sizes that fit" };
    format!("{noun} every target: {}", sizes.join(", "))
}

/// The divisors of `number` above 1 that are nearest to `wanted` (in ratio), ascending.
fn nearest_divisors(number: usize, wanted: usize) -> Vec<usize> {
    let mut divisors: Vec<usize> =
        (2..=number.min(1 << 20)).filter(|divisor| number.is_multiple_of(*divisor)).collect();
    divisors.sort_by_key(|&divisor| divisor.max(wanted) * 1000 / divisor.min(wanted).max(1));
    divisors.truncate(OFFERED);
    divisors.sort_unstable();
    divisors
}

fn greatest_common_divisor(one: usize, other: usize) -> usize {
    if other == 0 { one } else { greatest_common_divisor(other, one % other) }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{cure, greatest_common_divisor, list, nearest_divisors};

    #[rstest]
    #[case(0, 64, 64)]
    #[case(64, 48, 16)]
    #[case(9, 4, 1)]
    fn common_divisors(#[case] one: usize, #[case] other: usize, #[case] expected: usize) {
        assert_eq!(greatest_common_divisor(one, other), expected);
    }

    #[test]
    fn offers_the_sizes_nearest_to_the_one_asked_for() {
        assert_eq!(nearest_divisors(64, 24), [2, 4, 8, 16, 32, 64]);
        assert_eq!(nearest_divisors(1024, 100), [16, 32, 64, 128, 256, 512]);
        assert_eq!(cure(&[("a", 64), ("b", 8)], 24), "group sizes that fit every target: `2`, `4`, `8`");
        assert_eq!(cure(&[("a", 49)], 24), "group sizes that fit every target: `7`, `49`");
        assert!(cure(&[("a", 64), ("b", 9)], 3).starts_with("no group size above 1"));
    }

    #[test]
    fn names_a_few_sites_and_counts_the_rest() {
        let sites: Vec<String> = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
        assert_eq!(list(&sites[..1]), "a");
        assert_eq!(list(&sites[..3]), "a, b and c");
        assert_eq!(list(&sites), "a, b, c and 2 more");
    }
}
