//! The tutorial's two tasks.

mod example1;
mod example2;

pub use example1::Example1;
pub use example2::Example2;
