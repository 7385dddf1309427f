//! Near names: the word a person probably meant.

/// The candidate nearest to `found`, if one is near enough to be what was meant. Letter case does not count.
pub fn nearest<'a>(found: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 64;
    if found.len() > LONGEST {
        return None;
    }
    let found = found.to_lowercase();
    let allowed = (found.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .filter(|name| name.len() <= LONGEST)
        .map(|name| (distance(&found, name), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `did you mean ...?` for the nearest candidate; nothing when none is near.
pub fn did_you_mean<'a>(found: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(found, candidates).map(|name| format!("did you mean `{name}`?"))
}

/// Edits from one to the other; a name that the other begins with counts as one edit away.
fn distance(found: &str, name: &str) -> usize {
    let name = name.to_lowercase();
    let edits = strsim::osa_distance(found, &name);
    if found.len() >= 4 && name.starts_with(found) { edits.min(1) } else { edits }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::nearest;

    #[rstest]
    #[case("sparsty", Some("sparsity"))]
    #[case("Sparsity", Some("sparsity"))]
    #[case("desc", Some("description"))]
    #[case("spec", None)]
    #[case("x", None)]
    fn nearest_offers_one_name_or_none(#[case] found: &str, #[case] expected: Option<&str>) {
        assert_eq!(nearest(found, ["sparsity", "description", "structure"]), expected);
    }
}
