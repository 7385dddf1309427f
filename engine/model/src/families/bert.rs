//! `bert`: encoders of text with the norm after each residual sum, as others trained them: BERT, MiniLM, RoBERTa,
//! XLM-R, DistilBERT and MPNet, to embed texts, to classify them or their tokens, or to give a number.

mod classifier;
mod embed;
mod head;
mod layer;
mod names;
mod network;
mod pooling;
mod position;
mod settings;
mod spec;
mod survey;

pub use classifier::{add_text_head, takes_text_head};
pub use pooling::{Pooling, Projection};
pub use spec::{BertSpec, Head, Scheme};

pub(crate) use network::build;
pub(crate) use pooling::projection_directories;
pub(crate) use spec::{beyond_transformers, settle};
pub(crate) use survey::survey;

/// The family's name.
pub(crate) const NAME: &str = "bert";
