//! Large weights pass through memory in parts.

use std::ops::Range;

/// Numbers that are shown at a time: few enough that a processor's cache holds them.
pub(crate) const AT_ONCE: usize = 1 << 17;

/// Some rows at a time, at least one.
pub(crate) fn rows_at_once(rows: usize, width: usize) -> impl Iterator<Item = Range<usize>> {
    let step = (AT_ONCE / width.max(1)).max(1);
    (0..rows).step_by(step).map(move |first| first..rows.min(first + step))
}
