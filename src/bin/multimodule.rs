//! `multimodule`.

fn main() {}
