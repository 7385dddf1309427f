//! Where a student comes from.

use paring_model::config::{ConvnetSpec, MlpSpec, Spec};
use paring_model::{Checkpoint, Inputs, Outline, Outputs, depth, families};
use paring_train::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::loaded::{Fill, Loaded};
use super::narrow;
use crate::error::{PassError, Problem};
use crate::fraction::Fraction;
use crate::pass::NamedModel;
use crate::training;

/// What a student is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Student {
    /// The model before this stage, for a teacher that is another.
    Present,
    /// A copy of these layers of the model before this stage, numbered from 0, and of all that is not a layer.
    Layers(#[schemars(length(min = 1, max = 1024), example = layers_example())] Vec<usize>),
    /// A copy of the model before this stage with this share of the neurons, heads and channels of each of its layers:
    /// those with the largest weights.
    Width(Fraction),
    /// A fully connected network from nothing.
    Mlp(MlpSpec),
    /// A convolutional network from nothing.
    Convnet(ConvnetSpec),
    /// A model of a directory or a file, or of a hub, trained on from its weights.
    Load(#[schemars(with = "String")] Loaded),
}

fn layers_example() -> [usize; 3] {
    [1, 3, 5]
}

/// A student's place in its pass's parameters, and that of the path of one that is read.
const PLACE: &str = "/student";
const LOAD: &str = "/student/load";

impl Student {
    /// The model that has to be read for it.
    pub(super) fn named(&self) -> Option<NamedModel> {
        match self {
            Student::Load(loaded) => Some(NamedModel { pointer: LOAD.to_owned(), path: loaded.path().to_owned() }),
            _ => None,
        }
    }

    /// Takes the model that is named there, if it is this.
    pub(super) fn supply(&mut self, pointer: &str, model: &Checkpoint) {
        if let Student::Load(loaded) = self
            && pointer == LOAD
        {
            loaded.supply(model.clone());
        }
    }

    /// The student that follows the `present` model.
    ///
    /// # Errors
    /// Why there can be none.
    pub(super) fn outline(&self, present: &Outline) -> Result<Outline, Problem> {
        if let Student::Load(loaded) = self {
            return Ok(trained_on(loaded, present, &mut |_, _| ())?.outline());
        }
        let Some(spec) = self.spec() else { return self.copied(present) };
        let (inputs, outputs) = ends(present.inputs.as_ref(), present.outputs.as_ref())
            .map_err(|error| Problem::new("", error.to_string()))?;
        families::blueprint(&spec, inputs, outputs).map_err(|error| Problem::new(PLACE, error.to_string()))
    }

    /// The student, with its first weights.
    ///
    /// # Errors
    /// When there can be none.
    pub(super) fn model(&self, present: &Checkpoint, stream: &Stream) -> Result<Checkpoint, PassError> {
        if let Student::Load(loaded) = self {
            let model = trained_on(loaded, &present.outline(), &mut stream.fill());
            return model.map_err(|problem| PassError::Failed(problem.message));
        }
        if let Some(spec) = self.spec() {
            let (inputs, outputs) = ends(present.inputs(), present.outputs())?;
            return training::initialize(&spec, inputs, outputs, stream);
        }
        let mut model = present.clone();
        match self {
            Student::Layers(layers) => depth::keep_layers(&mut model, layers)?,
            Student::Width(width) => narrow::narrow(&mut model, *width)?,
            _ => (),
        }
        Ok(model)
    }

    /// What it is built of; `None` for a copy.
    fn spec(&self) -> Option<Spec> {
        match self {
            Student::Present | Student::Layers(_) | Student::Width(_) | Student::Load(_) => None,
            Student::Mlp(spec) => Some(Spec::Mlp(spec.clone())),
            Student::Convnet(spec) => Some(Spec::Convnet(spec.clone())),
        }
    }

    fn copied(&self, teacher: &Outline) -> Result<Outline, Problem> {
        if let Student::Width(width) = self {
            let place = format!("{PLACE}/width");
            floats(teacher, &place)?;
            return narrow::outline(teacher, *width, &place);
        }
        let Student::Layers(keep) = self else { return floats(teacher, PLACE).map(|()| teacher.clone()) };
        let count = depth::layers(teacher).len();
        let place = format!("{PLACE}/layers");
        if count == 0 {
            let message = "copies layers, but the teacher has none that can be taken out";
            return Err(Problem::new(place, message).help("`mlp` and `convnet` build a student from nothing"));
        }
        if let Some(layer) = keep.iter().find(|&&layer| layer >= count) {
            let message = format!("names layer {layer}, but the teacher has {count}, numbered from 0");
            return Err(Problem::new(place, message));
        }
        if !keep.is_sorted_by(|one, next| one < next) {
            return Err(Problem::new(place, "is not in ascending order, each layer once"));
        }
        floats(teacher, &place)?;
        let mut outline = teacher.clone();
        depth::keep_layers_outline(&mut outline, keep).map_err(|error| Problem::new(place, error.to_string()))?;
        Ok(outline)
    }
}

/// A student is trained, so its weights are floats.
fn floats(student: &Outline, place: &str) -> Result<(), Problem> {
    let Some(name) = training::quantized(student) else { return Ok(()) };
    let message = format!("copies tensor `{name}`, which is quantized, expected float weights");
    Err(Problem::new(place, message).help("distill before the weights are quantized"))
}

/// A model of a file in the terms of the present one.
fn trained_on(loaded: &Loaded, present: &Outline, fill: Fill<'_>) -> Result<Checkpoint, Problem> {
    let mut model = loaded.beside(present, LOAD, Some(fill))?;
    floats(&model.outline(), LOAD)?;
    if let (Some(Outputs::Regress { mean, scale, .. }), Some(outputs)) = (model.outputs(), &present.outputs) {
        if let Outputs::Regress { mean: wanted, scale: unit, .. } = outputs
            && (mean, scale) != (wanted, unit)
        {
            let message = format!("gives numbers around {mean} in units of {scale}, expected {wanted} and {unit}");
            return Err(Problem::new(LOAD, message).help("name a model that was trained on the same rows"));
        }
        model.set_outputs(outputs.clone());
    }
    Ok(model)
}

fn ends<'a>(inputs: Option<&'a Inputs>, outputs: Option<&'a Outputs>) -> Result<(&'a Inputs, &'a Outputs), PassError> {
    let unknown = || PassError::Failed("the teacher does not say how it reads raw rows".to_owned());
    inputs.zip(outputs).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use paring_train::Stream;

    use super::Student;
    use crate::testing::transformers::decoder;
    use crate::testing::{built, inputs, labels, matrix};

    #[test]
    fn a_copy_has_the_layers_asked_for() {
        let teacher = decoder();
        let student = Student::Layers(vec![1]);
        let model = student.model(&teacher, &Stream::new(1)).unwrap();
        assert_eq!(model.outline(), student.outline(&teacher.outline()).unwrap());
        let numbers = |model: &paring_model::Checkpoint, layer: usize| {
            let name = format!("model.layers.{layer}.self_attn.q_proj.weight");
            model.tensor(&name).unwrap().to_vec2::<f32>().unwrap()
        };
        assert_eq!(numbers(&model, 0), numbers(&teacher, 1));
        assert!(!model.names().iter().any(|name| name.contains("layers.1.")));
    }

    fn width(share: f64) -> Student {
        serde_json::from_value(serde_json::json!({ "width": share })).unwrap()
    }

    /// Of hidden weights 3, -1, 2, 5 (and a bias that does not count) the second and the fourth quarter stay.
    #[test]
    fn a_narrow_copy_has_the_units_with_the_largest_weights() {
        let mut teacher = built(&[4], inputs(2), labels(&["a", "b"]));
        teacher.set_tensor("layers.0.weight", matrix(&[&[3.0, 0.0], &[-1.0, 0.0], &[1.0, 1.0], &[0.0, 5.0]]));
        let model = width(0.5).model(&teacher, &Stream::new(1)).unwrap();
        assert_eq!(model.tensor("layers.0.weight").unwrap().to_vec2::<f32>().unwrap(), [[3.0, 0.0], [0.0, 5.0]]);
        assert_eq!(model.tensor("head.weight").unwrap().dims(), [2, 2]);
        assert_eq!(model.outline(), width(0.5).outline(&teacher.outline()).unwrap());
        let decoder = decoder();
        let model = width(0.5).model(&decoder, &Stream::new(1)).unwrap();
        assert_eq!(model.outline(), width(0.5).outline(&decoder.outline()).unwrap());
        let rows = |model: &paring_model::Checkpoint, name: &str| model.tensor(name).unwrap().dims()[0];
        for name in ["model.layers.0.self_attn.q_proj.weight", "model.layers.1.mlp.up_proj.weight"] {
            assert_eq!(rows(&model, name) * 2, rows(&decoder, name), "{name}");
        }
    }

    #[test]
    fn a_copy_that_is_no_narrower_is_refused() {
        let teacher = built(&[4], inputs(2), labels(&["a", "b"])).outline();
        let refused = |share| {
            let problem = width(share).outline(&teacher).unwrap_err();
            assert_eq!(problem.pointer, "/student/width");
            problem.message
        };
        assert_eq!(refused(1.0), "is `1`, expected a number from 0 (exclusive) to 1 (exclusive)");
        let message = "leaves every neuron, head and channel of the model: there are none, or too few of them";
        assert_eq!(refused(0.9), message);
    }

    #[test]
    fn layers_that_are_not_there_are_named() {
        let refused = |layers: &[usize]| {
            let problem = Student::Layers(layers.to_vec()).outline(&decoder().outline()).unwrap_err();
            assert_eq!(problem.pointer, "/student/layers");
            problem.message
        };
        assert_eq!(refused(&[0, 2]), "names layer 2, but the teacher has 2, numbered from 0");
        assert_eq!(refused(&[1, 0]), "is not in ascending order, each layer once");
        let flat = built(&[2], inputs(2), labels(&["a", "b"])).outline();
        let problem = Student::Layers(vec![0]).outline(&flat).unwrap_err();
        assert_eq!(problem.message, "copies layers, but the teacher has none that can be taken out");
    }
}
