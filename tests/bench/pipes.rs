//! Round trips of ~200 B between two processes through a pair of pipes.

use std::io::{Read, Write};
use std::time::Instant;

use crate::other_end::{Fallible, decode, encode, go, ready, say_ready_and_wait, start};

/// Round trips of one run: about half a second.
pub(crate) const ROUND_TRIPS: u64 = 10_000;

/// Microseconds of a round trip.
pub(crate) fn pipes() -> Fallible<f64> {
    let mut child = start(&["pipe"])?;
    ready(&mut child)?;
    go(&mut child)?;
    let (mut to, mut from) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
    let (begin, mut body, mut answer) = (Instant::now(), Vec::new(), [0; 200]);
    for n in 0..ROUND_TRIPS {
        encode(n, &mut body);
        to.write_all(&body)?;
        from.read_exact(&mut answer)?;
        assert_eq!(decode(&answer), n, "the answer fits the question");
    }
    let time = begin.elapsed().as_secs_f64() * 1e6 / ROUND_TRIPS as f64;
    child.wait()?;
    Ok(time)
}

pub(crate) fn echo_pipe() -> Fallible<()> {
    say_ready_and_wait()?;
    let (mut from, mut to, mut body) = (std::io::stdin().lock(), std::io::stdout().lock(), [0; 200]);
    for _ in 0..ROUND_TRIPS {
        from.read_exact(&mut body)?;
        to.write_all(&body)?;
        to.flush()?;
    }
    Ok(())
}
