//! Sites that are rounded one after the other, none by what became of another. Of a large model what is done lies in the
//! stage's journal rather than in memory, and a run that was cut off goes on after it.

use indexmap::IndexMap;
use paring_model::{Checkpoint, Site, Weight};
use serde_json::json;

use crate::context::Cx;
use crate::error::PassError;
use crate::walk::Figures;

/// Numbers of the weights that make up a unit of the journal.
const UNIT: usize = 1 << 25;

/// A model of fewer numbers is one unit, and keeps nothing.
const SMALL: usize = 1 << 28;

/// What becomes of a site's weight, and what the receipt tells of it.
pub(crate) type Round<'a> = &'a dyn Fn(&Checkpoint, &Site) -> Result<(Weight, Figures), PassError>;

/// The model with the weight of each site rounded, and the figures of each.
///
/// # Errors
/// When one cannot be rounded, or the person pressed ctrl-C.
pub(crate) fn each(
    cx: &Cx<'_>,
    model: Checkpoint,
    sites: &[Site],
    round: Round<'_>,
) -> Result<(Checkpoint, IndexMap<String, Figures>), PassError> {
    let outline = model.outline();
    let weights = sites.iter().filter_map(|site| outline.weights.get(&site.weight()));
    let numbers: usize = weights.map(|weight| weight.shape().iter().product::<usize>()).sum();
    in_units(cx, model, sites, round, if numbers < SMALL { SMALL } else { UNIT })
}

fn in_units(
    cx: &Cx<'_>,
    mut model: Checkpoint,
    sites: &[Site],
    round: Round<'_>,
    size: usize,
) -> Result<(Checkpoint, IndexMap<String, Figures>), PassError> {
    let mut figures: IndexMap<String, Figures> = IndexMap::new();
    let units = units(&model, sites, size);
    for (number, unit) in units.iter().enumerate() {
        let name = format!("sites-{number:05}");
        if let Some((part, note)) = cx.services.kept(&name) {
            let told: IndexMap<String, Figures> = serde_json::from_value(note).unwrap_or_default();
            if unit.iter().all(|site| told.contains_key(&site.name)) {
                figures.extend(told);
                model.adopt(part);
                continue;
            }
        }
        let mut told = IndexMap::new();
        for site in unit {
            cx.check_cancelled()?;
            cx.services.progress(figures.len() + told.len(), sites.len(), &site.name);
            let (weight, figures) = round(&model, site)?;
            model.set_weight(&site.weight(), weight);
            told.insert(site.name.clone(), figures);
        }
        if units.len() > 1 {
            let names: Vec<String> = unit.iter().map(Site::weight).collect();
            model.adopt(cx.services.keep(&name, &model.part(&names), &json!(told))?);
        }
        figures.extend(told);
    }
    Ok((model, figures))
}

/// Consecutive sites whose weights have some `size` numbers together.
fn units(model: &Checkpoint, sites: &[Site], size: usize) -> Vec<Vec<Site>> {
    let outline = model.outline();
    let count = |site: &Site| outline.weights.get(&site.weight()).map_or(0, |it| it.shape().iter().product::<usize>());
    let mut units: Vec<Vec<Site>> = Vec::new();
    let mut numbers = size;
    for site in sites {
        if numbers >= size {
            units.push(Vec::new());
            numbers = 0;
        }
        numbers += count(site);
        units.last_mut().into_iter().for_each(|unit| unit.push(site.clone()));
    }
    units
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use candle_core::Tensor;
    use indexmap::IndexMap;
    use paring_data::Part;
    use paring_model::{Checkpoint, Weight};
    use paring_train::Stream;
    use serde_json::Value;

    use super::in_units;
    use crate::context::{Cx, Services, Trial};
    use crate::error::PassError;
    use crate::testing::{built, inputs, labels};

    /// An engine that keeps units, and is cut off after some.
    #[derive(Default)]
    struct Keeping {
        units: RefCell<BTreeMap<String, (Checkpoint, Value)>>,
        most: Option<usize>,
    }

    impl Services for Keeping {
        fn progress(&self, _: usize, _: usize, _: &str) {}

        fn cancelled(&self) -> bool {
            self.most.is_some_and(|most| self.units.borrow().len() >= most)
        }

        fn trial(&self, _: usize, _: &Checkpoint, _: &IndexMap<String, Value>) -> Result<Trial, PassError> {
            Err(PassError::Interrupted)
        }

        fn measure(&self, _: &str, _: &Checkpoint, _: Part) -> Result<f64, PassError> {
            Err(PassError::Interrupted)
        }

        fn keep(&self, unit: &str, part: &Checkpoint, note: &Value) -> Result<Checkpoint, PassError> {
            self.units.borrow_mut().insert(unit.to_owned(), (part.clone(), note.clone()));
            Ok(part.clone())
        }

        fn kept(&self, unit: &str) -> Option<(Checkpoint, Value)> {
            self.units.borrow().get(unit).cloned()
        }
    }

    /// Doubles every weight in units of at least 40 numbers; the sites that were worked on.
    fn double(services: &Keeping, model: &Checkpoint) -> (Result<Checkpoint, PassError>, Vec<String>) {
        let sites = model.outline().sites().unwrap();
        let cx = Cx { stage: "test", sites: &sites, data: None, stream: Stream::new(7), services };
        let worked = RefCell::new(Vec::new());
        let done = in_units(
            &cx,
            model.clone(),
            &sites,
            &|model, site| {
                worked.borrow_mut().push(site.name.clone());
                let tensor: Tensor = (model.tensor(&site.weight())? * 2.0)?;
                Ok((Weight::Dense { tensor, masked: false }, IndexMap::from([("number".to_owned(), 1.0)])))
            },
            40,
        );
        let done = done.map(|(model, figures)| {
            assert_eq!(figures.len(), sites.len());
            model
        });
        (done, worked.into_inner())
    }

    /// Layers of 6 x 8, 8 x 2, 2 x 8 and 8 x 2 numbers: units of one, three sites.
    #[test]
    fn a_run_that_was_cut_off_goes_on_after_the_last_unit() {
        let model = built(&[8, 2, 8], inputs(6), labels(&["a", "b"]));
        let numbers = |model: &Checkpoint| model.tensor("head.weight").unwrap().to_vec2::<f32>().unwrap();
        let (whole, worked) = double(&Keeping::default(), &model);
        assert_eq!(worked, ["layers.0", "layers.1", "layers.2", "head"]);
        let whole = whole.unwrap();
        assert_eq!(numbers(&whole)[0][0], 2.0 * numbers(&model)[0][0]);

        let mut services = Keeping { most: Some(1), ..Keeping::default() };
        let (cut, worked) = double(&services, &model);
        assert!(matches!(cut, Err(PassError::Interrupted)) && worked == ["layers.0"]);
        services.most = None;
        let (rest, worked) = double(&services, &model);
        assert_eq!(worked, ["layers.1", "layers.2", "head"]);
        assert_eq!(numbers(&rest.unwrap()), numbers(&whole));
    }
}
