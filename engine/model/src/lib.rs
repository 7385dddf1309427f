//! Models as Paring sees them: a checkpoint on disk or in memory, the families that can run it, and the sites and
//! units that passes work on.
//!
//! This crate alone is a runtime: it loads an exported directory and predicts from raw rows.
//!
//! ```
//! use paring_model::{Answer, Checkpoint, Column, Table, Values};
//!
//! # use paring_model::inputs::{ColumnEncoding, Encoding};
//! # use paring_model::{Inputs, Outputs, config::Spec, families};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let exported = tempfile::tempdir()?;
//! # let directory = exported.path();
//! # let number = |name: &str| ColumnEncoding { name: name.into(), encoding: Encoding::Number { fill: Some(1.0) } };
//! # let inputs = Inputs { columns: vec![number("length"), number("width")], steps: vec![], shape: vec![2] };
//! # let labels = vec!["short".to_owned(), "long".to_owned()];
//! # let outputs = Outputs::Classify { column: "size".into(), labels };
//! # let spec = Spec::from_parts("mlp", &serde_json::json!({ "hidden": [] }))?;
//! # let mut built = families::initialize(&spec, &inputs, &outputs, &mut |_, _| ())?;
//! # let tensor = |rows: [[f32; 2]; 2]| candle_core::Tensor::new(&rows, &candle_core::Device::Cpu);
//! # built.set_tensor("head.weight", tensor([[0.0, 1.0], [1.0, 0.0]])?);
//! # built.save(directory)?;
//! let model = Checkpoint::open(directory)?;
//! let length = Column { name: "length".into(), values: Values::Number(vec![Some(2.0), Some(9.0)]) };
//! let width = Column { name: "width".into(), values: Values::Number(vec![Some(3.0), None]) };
//! let rows = Table { columns: vec![length, width], rows: 2 };
//!
//! let raw = model.predict(&model.read(&rows)?, 256)?;
//! let answers = model.outputs().ok_or("the model gives no answers")?.answers(&raw)?;
//! assert!(matches!(&answers[1], Answer::Class { label, .. } if label == "long"));
//! # assert!(matches!(&answers[0], Answer::Class { label, .. } if label == "short"));
//! # Ok(())
//! # }
//! ```

pub mod checkpoint;
pub mod config;
mod convolution;
pub mod depth;
mod dropout;
pub mod error;
pub mod families;
mod fused;
pub mod generation;
pub mod ggml;
mod gguf;
pub mod gradient;
pub mod inputs;
pub mod int8;
mod linear;
pub mod network;
pub mod outline;
pub mod outputs;
mod parts;
mod pickle;
pub mod quantized;
pub mod rows;
pub mod sites;
pub mod sources;
mod sparse;
mod storage;
pub mod table;
pub mod tap;
pub mod text;
mod tokens;
pub mod units;

pub use checkpoint::{Checkpoint, Weight};
pub use error::{ModelError, Result};
pub use generation::Generation;
pub use ggml::{BlockWeight, GgmlType};
pub use gguf::{ImportanceMatrix, Refusal};
pub use inputs::{InputStep, Inputs};
pub use network::{Forward, Input, Mode, Network, Shared};
pub use outline::{Outline, WeightOutline};
pub use outputs::{Answer, Outputs, Task};
pub use quantized::{
    ActivationScheme, FixedInput, Granularity, InputForm, InputRange, IntegerWeight, QuantizedWeight, WeightScheme,
};
pub use rows::Rows;
pub use sites::{Fold, Role, Site, SiteKind};
pub use sources::Source;
pub use sparse::SparseLayout;
pub use table::{Column, Table, Values};
pub use text::{TextInput, TokenRow, Tokenizer};
pub use tokens::Tokens;
pub use units::{Slice, UnitGroup};
