//! Several objectives: domination, crowding and hypervolume. Smaller is better everywhere.

/// Whether `a` is at least as good as `b` in every objective, and better in one.
pub fn dominates(a: &[f64], b: &[f64]) -> bool {
    a.iter().zip(b).all(|(a, b)| a <= b) && a.iter().zip(b).any(|(a, b)| a < b)
}

/// The rank of each: 0 for those that none beats, 1 for those that none beats but the ones of rank 0, and so on.
///
/// Fast nondominated sorting: Deb et al. 2002, section III.A.
pub fn ranks<T>(items: &[T], beats: impl Fn(&T, &T) -> bool) -> Vec<usize> {
    let count = items.len();
    let mut beaten_by = vec![0_usize; count];
    let mut beaten: Vec<Vec<usize>> = vec![Vec::new(); count];
    for a in 0..count {
        for b in (0..count).filter(|&b| b != a) {
            if beats(&items[a], &items[b]) {
                beaten[a].push(b);
                beaten_by[b] += 1;
            }
        }
    }
    let mut ranks = vec![0; count];
    let mut front: Vec<usize> = (0..count).filter(|&item| beaten_by[item] == 0).collect();
    let mut rank = 0;
    while !front.is_empty() {
        let mut next = Vec::new();
        for &item in &front {
            ranks[item] = rank;
            for &other in &beaten[item] {
                beaten_by[other] -= 1;
                if beaten_by[other] == 0 {
                    next.push(other);
                }
            }
        }
        front = next;
        rank += 1;
    }
    ranks
}

/// How far the neighbours of each point are along the front, infinite at its ends: Deb et al. 2002, section III.B.
pub fn crowding(points: &[&[f64]]) -> Vec<f64> {
    let mut distances = vec![0.0; points.len()];
    let Some(first) = points.first() else { return distances };
    for objective in 0..first.len() {
        let value = |item: usize| points[item][objective];
        let mut order: Vec<usize> = (0..points.len()).collect();
        order.sort_by(|&a, &b| value(a).total_cmp(&value(b)));
        let (low, high) = (order[0], order[order.len() - 1]);
        let width = value(high) - value(low);
        (distances[low], distances[high]) = (f64::INFINITY, f64::INFINITY);
        if width > 0.0 {
            for around in order.windows(3) {
                distances[around[1]] += (value(around[2]) - value(around[0])) / width;
            }
        }
    }
    distances
}

/// Volume of what the points dominate up to the reference point, by slices along the last objective.
///
/// While et al. 2006, "A Faster Algorithm for Calculating Hypervolume" (HSO).
pub fn hypervolume(points: &[&[f64]], reference: &[f64]) -> f64 {
    let Some((&limit, rest)) = reference.split_last() else { return 0.0 };
    let last = rest.len();
    let mut inside: Vec<&[f64]> =
        points.iter().copied().filter(|point| point.iter().zip(reference).all(|(p, r)| p < r)).collect();
    inside.sort_by(|a, b| a[last].total_cmp(&b[last]));
    if rest.is_empty() {
        return inside.first().map_or(0.0, |point| limit - point[0]);
    }
    let slice = |count: usize| {
        let depth = inside.get(count).map_or(limit, |next| next[last]) - inside[count - 1][last];
        let flat: Vec<&[f64]> = inside[..count].iter().map(|point| &point[..last]).collect();
        if depth > 0.0 { depth * hypervolume(&flat, rest) } else { 0.0 }
    };
    (1..=inside.len()).map(slice).sum()
}

/// Numbers of `count` points that dominate much together: each adds most hypervolume to those before it.
///
/// Guerreiro et al. 2016, "Greedy Hypervolume Subset Selection in Low Dimensions".
pub fn spread(points: &[&[f64]], count: usize) -> Vec<usize> {
    let worst = |objective: usize| points.iter().map(|point| point[objective]).fold(f64::NEG_INFINITY, f64::max);
    let best = |objective: usize| points.iter().map(|point| point[objective]).fold(f64::INFINITY, f64::min);
    let objectives = points.first().map_or(0, |point| point.len());
    // A tenth of the width beyond the worst, so that the ends of the front count.
    let reference: Vec<f64> = (0..objectives)
        .map(|objective| {
            let (worst, best) = (worst(objective), best(objective));
            worst + (0.1 * (worst - best)).max(f64::MIN_POSITIVE)
        })
        .collect();
    let mut chosen: Vec<usize> = Vec::new();
    while chosen.len() < count.min(points.len()) {
        let volume = |item: usize| {
            let with: Vec<&[f64]> = chosen.iter().chain([&item]).map(|&item| points[item]).collect();
            hypervolume(&with, &reference)
        };
        let left = (0..points.len()).filter(|item| !chosen.contains(item));
        let scored = left.map(|item| (item, volume(item)));
        let Some((item, _)) = scored.reduce(|best, next| if next.1 > best.1 { next } else { best }) else { break };
        chosen.push(item);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::{crowding, dominates, hypervolume, ranks, spread};

    const POINTS: [&[f64]; 5] = [&[1.0, 4.0], &[2.0, 2.0], &[4.0, 1.0], &[3.0, 3.0], &[5.0, 5.0]];

    #[test]
    fn ranks_are_fronts_below_each_other() {
        assert_eq!(ranks(&POINTS, |a, b| dominates(a, b)), [0, 0, 0, 1, 2]);
        assert_eq!(ranks(&[[1.0], [1.0]], |a, b| dominates(a, b)), [0, 0]);
    }

    #[test]
    fn crowding_is_the_neighbours_distance_and_the_ends_are_free() {
        let found = crowding(&POINTS[..3]);
        assert_eq!(found, [f64::INFINITY, 2.0, f64::INFINITY]);
    }

    #[test]
    fn hypervolume_of_boxes() {
        // 1 x (5 - 4) + 2 x (5 - 2) + 1 x (5 - 1)
        assert_eq!(hypervolume(&POINTS, &[5.0, 5.0]), 11.0);
        // Two boxes of 1 x 1 x 2 and 2 x 2 x 1 that share 1 x 1 x 1.
        assert_eq!(hypervolume(&[&[1.0, 1.0, 0.0], &[0.0, 0.0, 1.0]], &[2.0, 2.0, 2.0]), 5.0);
    }

    #[test]
    fn a_spread_takes_the_middle_before_the_ends() {
        assert_eq!(spread(&POINTS[..3], 1), [1]);
        assert_eq!(spread(&POINTS, 9).len(), 5);
    }
}
