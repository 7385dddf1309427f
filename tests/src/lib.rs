//! paring-tests
