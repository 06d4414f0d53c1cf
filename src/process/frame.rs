//! Frames on the socket between daemon and spawner: a length in four bytes, then as many bytes; with the length a
//! descriptor may travel.
//!
//! Both ends are ours and of one program: what does not fit ends the connection.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

use super::order::MAX_ORDER_BYTES;

const LENGTH_BYTES: usize = 4;

/// Sends a frame, with a descriptor.
pub(super) fn send_with(stream: &UnixStream, bytes: &[u8], descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let length = length(bytes)?;
    let descriptors = [descriptor.as_raw_fd()];
    let control = [ControlMessage::ScmRights(&descriptors)];
    let parts = [IoSlice::new(&length)];
    // A signal for a peer that is gone would end us: an error is wanted.
    let sent = sendmsg::<()>(stream.as_raw_fd(), &parts, &control, MsgFlags::MSG_NOSIGNAL, None)?;
    let mut stream = stream;
    // The descriptor went with the first byte; the rest is plain.
    stream.write_all(&length[sent..])?;
    stream.write_all(bytes)
}

/// Sends a frame.
pub(super) fn send(mut stream: &UnixStream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(&length(bytes)?)?;
    stream.write_all(bytes)
}

/// Receives a frame with its descriptor (closed by exec); none when the other end is closed.
pub(super) fn receive_with(stream: &UnixStream) -> io::Result<Option<(Vec<u8>, Option<OwnedFd>)>> {
    let mut length = [0; LENGTH_BYTES];
    let (received, descriptor) = receive_first(stream, &mut length)?;
    if received == 0 {
        return Ok(None);
    }
    let mut stream = stream;
    stream.read_exact(&mut length[received..])?;
    Ok(Some((receive_rest(stream, length)?, descriptor)))
}

/// Receives a frame.
pub(super) fn receive(mut stream: &UnixStream) -> io::Result<Vec<u8>> {
    let mut length = [0; LENGTH_BYTES];
    stream.read_exact(&mut length)?;
    receive_rest(stream, length)
}

fn length(bytes: &[u8]) -> io::Result<[u8; LENGTH_BYTES]> {
    let too_long = || io::Error::new(io::ErrorKind::InvalidInput, format!("longer than {MAX_ORDER_BYTES} bytes"));
    let length = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= MAX_ORDER_BYTES).ok_or_else(too_long)?;
    Ok(length.to_le_bytes())
}

fn receive_rest(mut stream: &UnixStream, length: [u8; LENGTH_BYTES]) -> io::Result<Vec<u8>> {
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_ORDER_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is too long"));
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn receive_first(stream: &UnixStream, buffer: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut control = nix::cmsg_space!([RawFd; 1]);
    let mut parts = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let mut descriptor = None;
    for one in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(descriptors) = one {
            descriptor = descriptors.into_iter().map(own).next_back().or(descriptor);
        }
    }
    Ok((message.bytes, descriptor))
}

#[expect(unsafe_code, reason = "a received descriptor comes as a number")]
fn own(descriptor: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just made this descriptor for us as part of the message; nobody else knows of it.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_frame_brings_its_bytes_and_its_descriptor() {
        let (one, other) = UnixStream::pair().unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        send_with(&one, b"order", file.as_fd()).unwrap();
        send(&other, b"answer").unwrap();
        let (bytes, descriptor) = receive_with(&other).unwrap().unwrap();
        assert_eq!(bytes, b"order");
        let received = std::fs::File::from(descriptor.unwrap()).metadata().unwrap();
        assert_eq!(received.rdev(), file.metadata().unwrap().rdev());
        assert_eq!(receive(&one).unwrap(), b"answer");
        drop(one);
        assert!(receive_with(&other).unwrap().is_none());
    }

    #[test]
    fn a_frame_without_bound_is_refused_by_either_end() {
        let (one, mut other) = UnixStream::pair().unwrap();
        assert!(send(&one, &vec![0; MAX_ORDER_BYTES + 1]).is_err());
        other.write_all(&u32::MAX.to_le_bytes()).unwrap();
        assert!(receive(&one).is_err());
    }
}
