//! paring-plugin-host
