//! transit.
