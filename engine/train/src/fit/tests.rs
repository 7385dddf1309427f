//! The loop on small problems.
