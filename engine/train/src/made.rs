//! Sites whose weight is made anew in every forward pass, of variables of their own besides the model's.

use candle_core::Var;
use paring_model::Weight;
use paring_model::tap::WeightProvider;

use crate::error::Result;
use crate::lora::LowRank;

/// Such a site, as training sees it.
pub(crate) trait MadeSite: WeightProvider {
    /// The variables that an optimizer moves, by name.
    fn parameters(&self) -> Vec<(&str, &Var)>;

    /// Everything that changes in training but the weight itself, by name.
    fn state(&self) -> Vec<(&str, &Var)>;

    /// After a step of the optimizer: brings the variables back to where they may be.
    fn constrain(&self) -> Result<()> {
        Ok(())
    }

    /// How large the variable of that name is beside the weights, where its moves shall be as large beside it as theirs
    /// are; `None` for other variables.
    fn relative_size(&self, name: &str) -> Result<Option<f64>> {
        let _ = name;
        Ok(None)
    }

    /// Its adapter, if it has one.
    fn low_rank(&self, site: &str) -> Result<Option<LowRank>> {
        let _ = site;
        Ok(None)
    }

    /// What the model has at this site once training is over. A dense weight is f32.
    fn finished(&self) -> Result<Weight>;
}
