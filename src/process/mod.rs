//! Processes: which one is meant, who holds what (locks, limits, signals), and the keepers that start and end the
//! processes of external tasks; and how an error of a file reads.

mod argument;
mod descriptors;
mod ending;
mod failsafe;
mod family;
mod file_error;
mod frame;
mod host_files;
mod identity;
mod instance;
mod keeper;
mod limits;
mod lock;
mod lock_file;
mod mapping;
mod nonce;
mod order;
mod owner;
mod pidfd;
mod record_file;
mod records;
mod signals;
mod spawner;
mod spawner_main;
mod stat;
mod title;

pub use argument::{Argument, ArgumentError};
pub use ending::{Ended, GRACE, end_below, end_host, end_marked};
pub use failsafe::Failsafe;
pub use file_error::FileError;
pub use host_files::HostFiles;
pub use identity::{BootId, ProcessIdentity, ProcessRef, start_ticks};
pub use instance::{InstanceError, InstanceLock, make_state_dir};
pub use limits::{DescriptorLimit, raise_descriptor_limit};
pub use lock::{ByteLock, is_locked};
pub use mapping::{MAX_MAPPINGS, MappingEntry, register_mapping};
pub use nonce::{NONCE_VARIABLE, Nonce, NonceError};
pub use order::KeeperOrder;
pub use owner::OwnerLock;
pub use pidfd::{Pidfd, PidfdError};
pub use record_file::{Record, RecordError, RecordFault, read_record, write_record};
pub use records::{EndRecord, HostRecord, How, Intent, Restarts};
pub use signals::{BUS_EXIT_CODE, ignore_file_size_signal, restore_file_size_signal, watch_bus_errors};
pub use spawner::{SpawnError, Spawner};
pub use spawner_main::{is_spawner, spawner_main};
