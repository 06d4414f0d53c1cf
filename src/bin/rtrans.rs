//! `rtrans`.

fn main() {}
