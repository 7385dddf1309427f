//! From what a built-in's file says to the object-safe trait: schema, parsing, and the configured step.

use std::marker::PhantomData;

use paring_model::Checkpoint;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::pass::{Definition, NamedFile, NamedModel, Pass, PassInfo, Step};
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

    fn takes_targets(&self) -> bool {
        D::TAKES_TARGETS
    }

    fn configure(&self, parameters: &Value) -> Result<Box<dyn Step>, Vec<Problem>> {
        let parameters: D::Parameters = parse(parameters)?;
        let problems = D::check(&parameters);
        if problems.is_empty() { Ok(Box::new(Configured::<D> { parameters })) } else { Err(problems) }
    }
}

/// The typed parameter block. A block left empty in a recipe is an empty map.
fn parse<P: DeserializeOwned>(parameters: &Value) -> Result<P, Vec<Problem>> {
    let empty = Value::Object(Map::new());
    let block = if parameters.is_null() { empty } else { whole_numbers(parameters) };
    P::deserialize(block).map_err(|error| vec![Problem::new("", error.to_string())])
}

/// The value with `3.0` as `3`: JSON Schema and recipes hold the two for the same number.
fn whole_numbers(value: &Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 9e15 => Value::from(float as i64),
            _ => value.clone(),
        },
        Value::Array(items) => items.iter().map(whole_numbers).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), whole_numbers(value))).collect(),
        other => other.clone(),
    }
}

struct Configured<D: Definition> {
    parameters: D::Parameters,
}

impl<D: Definition> Step for Configured<D> {
    fn resolved(&self) -> Value {
        // Parameter blocks are plain structs with text keys, which JSON always holds.
        serde_json::to_value(&self.parameters).unwrap_or_default()
    }

    fn files(&self) -> Vec<NamedFile> {
        D::files(&self.parameters)
    }

    fn supply(&mut self, pointer: &str, bytes: &[u8]) -> Result<(), Problem> {
        D::supply(&mut self.parameters, pointer, bytes)
    }

    fn models(&self) -> Vec<NamedModel> {
        D::models(&self.parameters)
    }

    fn supply_model(&mut self, pointer: &str, model: Checkpoint) {
        D::supply_model(&mut self.parameters, pointer, model);
    }

    fn plan(&self, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        D::plan(&self.parameters, cx)
    }

    fn run(&self, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        D::run(&self.parameters, cx, model)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::whole_numbers;

    #[test]
    fn whole_numbers_may_have_a_point() {
        let block = json!({"epochs": 3.0, "rate": 0.5, "layers": [{"width": 8.0}], "name": "3.0"});
        let expected = json!({"epochs": 3, "rate": 0.5, "layers": [{"width": 8}], "name": "3.0"});
        assert_eq!(whole_numbers(&block), expected);
    }
}
