//! Passes of the kind `prune`.
