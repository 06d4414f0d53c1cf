//! `qtrans`.

fn main() {}
