//! Tests of the format and of the files: damage, kills, full disks.

mod damage;
mod files;
mod format;
mod kills;
mod sample;
