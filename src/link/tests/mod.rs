//! Tests of the link between real processes: this test program, started again as a host or as a daemon.

mod bounds;
mod lies;
mod parties;
mod renewal;
mod versions;
mod wire;
