//! Names of sites for people: those that differ in one number alone become one.

use indexmap::IndexMap;

/// `layers.0.up, layers.1.up, head` as `layers.{0-1}.up, head`, in the order of the first of each.
pub fn grouped<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut groups: IndexMap<(&str, &str), Vec<usize>> = IndexMap::new();
    for name in names {
        match numbered(name) {
            Some((before, number, after)) => groups.entry((before, after)).or_default().push(number),
            None => drop(groups.entry((name, "")).or_default()),
        }
    }
    let shown = groups.into_iter().map(|((before, after), numbers)| match numbers.as_slice() {
        [] => before.to_owned(),
        [only] => format!("{before}{only}{after}"),
        _ => format!("{before}{{{}}}{after}", ranges(numbers)),
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// What comes before the first part that is a number, the number, and what comes after.
fn numbered(name: &str) -> Option<(&str, usize, &str)> {
    let mut start = 0;
    for part in name.split('.') {
        let end = start + part.len();
        // A number that is written in another way stays as it is.
        if let Some(number) = part.parse::<usize>().ok().filter(|number| number.to_string() == part) {
            return Some((name.get(..start)?, number, name.get(end..)?));
        }
        start = end + 1;
    }
    None
}

/// `0-3,7` for 0, 1, 2, 3 and 7.
fn ranges(mut numbers: Vec<usize>) -> String {
    numbers.sort_unstable();
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let shown = ranges.into_iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    shown.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn names_that_differ_in_a_number_become_one() {
        let names = ["embed", "layers.0.up", "layers.0.down", "layers.2.up", "layers.1.up", "layers.7.up", "head"];
        assert_eq!(grouped(names), "embed, layers.{0-2,7}.up, layers.0.down, head");
        assert_eq!(grouped(["a.1.b.2", "a.1.b.3", "a.2.b.2", "3", "a.01"]), "a.{1-2}.b.2, a.1.b.3, 3, a.01");
        assert_eq!(grouped([]), "");
    }
}
