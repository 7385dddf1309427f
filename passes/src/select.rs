//! Passes of the kind `select`.
