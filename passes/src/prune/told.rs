//! What receipts tell of weights that were set to zero.

use paring_model::Site;

use super::mask::count_zeros;
use crate::error::PassError;
use crate::receipt::Receipt;
use crate::walk::Figures;
use crate::weights::{Difference, FloatWeight};
use crate::wording::counted;

/// Refuses a layer that would be nothing but zeros.
///
/// # Errors
/// When it would.
pub(crate) fn refuse_everything(site: &Site, numbers: &[f32]) -> Result<(), PassError> {
    if count_zeros(numbers) < numbers.len() {
        return Ok(());
    }
    let (count, name) = (numbers.len(), &site.name);
    Err(PassError::Failed(format!("all {count} weights of `{name}` would be zero, and nothing would pass through it")))
}

/// What a receipt says of a weight that was pruned.
pub(crate) fn figures(before: &FloatWeight, after: &[f32]) -> Figures {
    let zeros = count_zeros(after) as f64;
    let figures = [
        ("weights", after.len() as f64),
        ("zeros", zeros),
        ("sparsity", zeros / after.len().max(1) as f64),
        ("relative_error", Difference::between(&before.numbers, after).relative),
    ];
    figures.into_iter().map(|(name, figure)| (name.to_owned(), figure)).collect()
}

/// Sums up what the receipt says of its sites.
pub(crate) fn summarize(receipt: &mut Receipt) {
    let sum = |name: &str| receipt.sites.values().filter_map(|figures| figures.get(name)).sum::<f64>();
    let (zeros, weights) = (sum("zeros"), sum("weights"));
    receipt.summary = format!("{zeros} of {weights} weights are zero in {}", counted(receipt.sites.len(), "site"));
    receipt.figures.insert("zeros".to_owned(), zeros);
    receipt.figures.insert("sparsity".to_owned(), zeros / weights.max(1.0));
}
