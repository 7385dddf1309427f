//! Passes of the kind `sweep`.
