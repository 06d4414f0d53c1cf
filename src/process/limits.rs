//! The limits that the kernel sets for this process.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// How many descriptors this process may have open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DescriptorLimit {
    /// The limit that it was started with.
    pub before: u64,
    /// The limit that holds now: the hard one.
    pub now: u64,
}

/// Raises the soft limit of open descriptors to the hard one: every queue, lane and connection takes some, and the
/// usual soft limit of 1024 is for programs that use `select(2)`.
///
/// # Errors
/// The kernel does not tell or does not change the limit; the old one holds then.
pub fn raise_descriptor_limit() -> io::Result<DescriptorLimit> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(DescriptorLimit { before: soft, now: hard.max(soft) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_descriptor_limit_is_raised_to_the_hard_one() {
        let limit = raise_descriptor_limit().unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (limit.now, limit.now));
        assert!(limit.before <= limit.now);
        assert_eq!(raise_descriptor_limit().unwrap(), DescriptorLimit { before: limit.now, now: limit.now });
    }
}
