//! From what a built-in's file says to the object-safe trait: schema, parsing, and the configured step.

use std::marker::PhantomData;

use paring_model::Checkpoint;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::pass::{Definition, Pass, PassInfo, Step};
use crate::receipt::Outcome;

/// The pass that a definition describes.
pub(crate) fn pass<D: Definition>() -> Box<dyn Pass> {
    Box::new(Builtin::<D>(PhantomData))
}

struct Builtin<D>(PhantomData<fn() -> D>);

impl<D: Definition> Pass for Builtin<D> {
    fn info(&self) -> PassInfo {
        D::INFO
    }

    fn schema(&self) -> Value {
        let generator = SchemaSettings::draft2020_12().into_generator();
        generator.into_root_schema_for::<D::Parameters>().to_value()
    }

    fn configure(&self, parameters: &Value) -> Result<Box<dyn Step>, Vec<Problem>> {
        let parameters: D::Parameters = parse(parameters)?;
        let problems = D::check(&parameters);
        if problems.is_empty() { Ok(Box::new(Configured::<D> { parameters })) } else { Err(problems) }
    }
}

/// The typed parameter block. A block left empty in a recipe is an empty map.
fn parse<P: DeserializeOwned>(parameters: &Value) -> Result<P, Vec<Problem>> {
    let empty = Value::Object(serde_json::Map::new());
    let block = if parameters.is_null() { &empty } else { parameters };
    P::deserialize(block).map_err(|error| vec![Problem::new("", error.to_string())])
}

struct Configured<D: Definition> {
    parameters: D::Parameters,
}

impl<D: Definition> Step for Configured<D> {
    fn resolved(&self) -> Value {
        // Parameter blocks are plain structs with text keys, which JSON always holds.
        serde_json::to_value(&self.parameters).unwrap_or_default()
    }

    fn plan(&self, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        D::plan(&self.parameters, cx)
    }

    fn run(&self, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        D::run(&self.parameters, cx, model)
    }
}
