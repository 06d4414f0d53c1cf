//! The built-in tasks.
