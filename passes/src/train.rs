//! Passes of the kind `train`.
