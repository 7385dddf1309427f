//! What transformer families share: reading settings of others, attention, norms, rotary positions, and the walk over
//! their tensors.

pub(crate) mod attention;
pub(crate) mod keys;
pub(crate) mod mask;
pub(crate) mod nonlinearity;
pub(crate) mod norm;
pub(crate) mod rope;
pub(crate) mod walk;
