//! Passes of the kind `quantize`.
