//! Processes and what the kernel lets them hold: locks, limits, signals, identity; and how an error of a file reads.

mod file_error;
mod identity;
mod instance;
mod limits;
mod lock;
mod lock_file;
mod mapping;
mod owner;
mod signals;

pub use file_error::FileError;
pub use identity::{BootId, ProcessIdentity, start_ticks};
pub use instance::{InstanceError, InstanceLock, make_state_dir};
pub use limits::{DescriptorLimit, raise_descriptor_limit};
pub use lock::{ByteLock, is_locked};
pub use mapping::{MAX_MAPPINGS, MappingEntry, register_mapping};
pub use owner::OwnerLock;
pub use signals::{BUS_EXIT_CODE, ignore_file_size_signal, restore_file_size_signal, watch_bus_errors};
