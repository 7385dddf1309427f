//! Near names: the word a person probably meant.
