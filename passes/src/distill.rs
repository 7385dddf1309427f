//! Passes of the kind `distill`.
