//! `strans`.

fn main() {}
