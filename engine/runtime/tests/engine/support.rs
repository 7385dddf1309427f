//! What the tests share: a place with a tiny model, rows and a recipe, and fake passes.

mod fake;
mod scene;

pub use fake::{Fake, done, numbers, set, shift, sweep};
pub use scene::{Scene, codes, labelled, messages};
