//! YAML text to a value with spans. Hostile text gets an error: limits on size, depth and aliases.
