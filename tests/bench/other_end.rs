//! The other end of a measurement: this program, started once more with `--end`. Both ends begin together: the other
//! one says that it is ready, and is told to go.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

pub(crate) type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// Starts this program as that other end.
pub(crate) fn start(end: &[&str]) -> Fallible<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--end").args(end).stdin(Stdio::piped()).stdout(Stdio::piped());
    Ok(command.spawn()?)
}

pub(crate) fn ready(child: &mut Child) -> Fallible<()> {
    Ok(child.stdout.as_mut().expect("piped").read_exact(&mut [0])?)
}

pub(crate) fn go(child: &mut Child) -> Fallible<()> {
    let stdin = child.stdin.as_mut().expect("piped");
    stdin.write_all(b"g")?;
    Ok(stdin.flush()?)
}

pub(crate) fn say_ready_and_wait() -> Fallible<()> {
    std::io::stdout().write_all(b"r")?;
    std::io::stdout().flush()?;
    Ok(std::io::stdin().read_exact(&mut [0])?)
}

/// The body of message `n`, made afresh: its codec's place is here.
pub(crate) fn encode(n: u64, body: &mut Vec<u8>) {
    body.clear();
    body.extend_from_slice(&n.to_le_bytes());
    write!(body, "{{\"source\":\"sensor {:03}\",\"value\":{},\"unit\":\"mm\",\"ok\":true,", n % 1000, n * 37)
        .expect("a Vec takes every byte");
    body.resize(200, b'x');
}

/// What the consumer reads of it.
pub(crate) fn decode(body: &[u8]) -> u64 {
    u64::from_le_bytes(body[..8].try_into().expect("a body has 200 bytes"))
}
