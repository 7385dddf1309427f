//! paring
fn main() {}
