//! paring-plugin-abi
