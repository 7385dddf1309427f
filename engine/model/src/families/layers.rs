//! The kinds of layers that families are made of: one file each, which says what the layer reads and writes and how
//! it runs.

pub(crate) mod activation;
pub(crate) mod conv;
pub(crate) mod dense;
pub(crate) mod norm;
pub(crate) mod pool;
pub(crate) mod residual;
pub(crate) mod window;
