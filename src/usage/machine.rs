//! What the machine has.

use sysinfo::{MemoryRefreshKind, System};

/// Facts of the machine, by which levels are shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Physical memory. What a cgroup leaves of it to us is not asked: the levels are shares of the box.
    pub memory_bytes: u64,
    /// The processors that we may use: those of the machine, less what affinity and the cgroup's quota take away.
    pub cpus: usize,
}

impl Machine {
    /// Asks the kernel. It costs some 50 µs; memory and quota may change while a machine runs.
    #[must_use]
    pub fn look() -> Self {
        let mut system = System::new();
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { memory_bytes: system.total_memory(), cpus }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_the_memory_that_the_kernel_tells() {
        let text = std::fs::read_to_string("/proc/meminfo").unwrap();
        let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap();
        let kib: u64 = total.trim().trim_end_matches(" kB").parse().unwrap();
        let machine = Machine::look();
        assert_eq!(machine.memory_bytes, kib * 1024);
        assert!(machine.cpus >= 1);
    }
}
