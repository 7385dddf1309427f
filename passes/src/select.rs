//! Passes of the kind `select`: each is its module and, below, its line in the table.

mod change;
mod features;
mod subset;

pub mod anova_f;
pub mod chi2;
pub mod correlation;
pub mod l1;
pub mod mutual_information;
pub mod pca;
pub mod permutation;
pub mod polynomial;
pub mod rfe;
pub mod rfecv;
pub mod scale;
pub mod sequential;
pub mod truncated_svd;
pub mod variance;

use crate::builtin::pass;
use crate::pass::Pass;

pub(crate) fn passes() -> Vec<Box<dyn Pass>> {
    vec![
        pass::<variance::Variance>(),
        pass::<correlation::Correlation>(),
        pass::<anova_f::AnovaF>(),
        pass::<chi2::Chi2>(),
        pass::<mutual_information::MutualInformation>(),
        pass::<l1::L1>(),
        pass::<rfe::Rfe>(),
        pass::<rfecv::Rfecv>(),
        pass::<sequential::Sequential>(),
        pass::<permutation::Permutation>(),
        pass::<scale::Scale>(),
        pass::<polynomial::Polynomial>(),
        pass::<pca::Pca>(),
        pass::<truncated_svd::TruncatedSvd>(),
    ]
}
