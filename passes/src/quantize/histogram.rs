//! What the calibration rows look like at one site: the range of the values, then how often each part of it occurs.
//! Two passes over the rows, constant memory, and the same counts in any order.

/// Parts of the range that are counted apart: 16 to each step of an 8-bit grid over the whole range.
pub(crate) const BINS: usize = 4096;

/// The smallest and the largest value seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Extent {
    /// The smallest value; at most zero.
    pub(crate) low: f32,
    /// The largest value; at least zero.
    pub(crate) high: f32,
}

impl Extent {
    /// Nothing seen. The range always includes zero, which padding and activations produce exactly.
    pub(crate) const ZERO: Self = Self { low: 0.0, high: 0.0 };

    /// Widens the range to hold these values. False where one is not a finite number.
    pub(crate) fn widen(&mut self, values: &[f32]) -> bool {
        self.low = values.iter().copied().fold(self.low, f32::min);
        self.high = values.iter().copied().fold(self.high, f32::max);
        values.iter().all(|value| value.is_finite())
    }

    /// Whether only zeros were seen.
    pub(crate) fn is_zero(&self) -> bool {
        self.low == 0.0 && self.high == 0.0
    }

    /// Length of the range.
    pub(crate) fn width(&self) -> f64 {
        f64::from(self.high) - f64::from(self.low)
    }
}

/// How often each part of a range occurs. Zeros are counted apart: every grid represents them exactly.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Histogram {
    /// The range.
    pub(crate) extent: Extent,
    /// Values that are zero.
    pub(crate) zeros: u64,
    /// Values that are not, in [`BINS`] equal parts of the range.
    pub(crate) counts: Vec<u64>,
}

impl Histogram {
    /// An empty histogram over a range.
    pub(crate) fn new(extent: Extent) -> Self {
        Self { extent, zeros: 0, counts: vec![0; BINS] }
    }

    /// Counts these values, all of which lie in the range.
    pub(crate) fn count(&mut self, values: &[f32]) {
        let bins_per_unit = BINS as f64 / self.extent.width();
        for &value in values {
            if value == 0.0 {
                self.zeros += 1;
                continue;
            }
            let bin = (f64::from(value) - f64::from(self.extent.low)) * bins_per_unit;
            if let Some(count) = self.counts.get_mut((bin as usize).min(BINS - 1)) {
                *count += 1;
            }
        }
    }

    /// Values counted.
    pub(crate) fn total(&self) -> u64 {
        self.zeros + self.counts.iter().sum::<u64>()
    }

    /// Length of a bin.
    pub(crate) fn bin_width(&self) -> f64 {
        self.extent.width() / BINS as f64
    }

    /// The lower edge of a bin.
    pub(crate) fn edge(&self, bin: usize) -> f64 {
        f64::from(self.extent.low) + bin as f64 * self.bin_width()
    }

    /// Bins that are not empty: their middle and their count.
    pub(crate) fn occupied(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let filled = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        filled.map(|(bin, &count)| (self.edge(bin) + self.bin_width() / 2.0, count))
    }
}

#[cfg(test)]
mod tests {
    use super::{BINS, Extent, Histogram};

    #[test]
    fn the_range_includes_zero_and_refuses_what_is_not_a_number() {
        let mut extent = Extent::ZERO;
        assert!(extent.widen(&[2.0, 5.0]));
        assert_eq!(extent, Extent { low: 0.0, high: 5.0 });
        assert!(!extent.widen(&[1.0, f32::NAN]));
        assert!(!extent.widen(&[f32::NEG_INFINITY]));
    }

    #[test]
    fn ends_fall_into_the_first_and_the_last_bin() {
        let mut histogram = Histogram::new(Extent { low: -1.0, high: 3.0 });
        histogram.count(&[-1.0, 0.0, 0.0, 3.0, 1.0]);
        assert_eq!(histogram.zeros, 2);
        assert_eq!(histogram.total(), 5);
        assert_eq!((histogram.counts[0], histogram.counts[BINS / 2], histogram.counts[BINS - 1]), (1, 1, 1));
        let middles: Vec<f64> = histogram.occupied().map(|(middle, _)| middle).collect();
        assert!((middles[0] + 1.0).abs() <= histogram.bin_width());
        assert!((middles[2] - 3.0).abs() <= histogram.bin_width());
    }
}
