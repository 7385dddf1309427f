//! paring-engine
