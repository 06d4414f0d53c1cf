//! A record: one message as it stands in a segment.
//!
//! ```text
//! 0   length   u32  bytes of the record without padding; 0xFFFF_FFFF marks a segment's end
//! 4   crc32c   u32  over lane id, the record's position, and everything that follows
//! 8   flags    u64  bit 0: a tag follows
//! 16  tag      epoch, n, index: u64 each, where flagged
//! ..  stamp    24 bytes
//! ..  body     up to the length; padding to a multiple of 8
//! ```
//!
//! Invariant: numbers are little-endian. A record that was copied to another place or lane does not pass its crc.

use std::ops::Range;

use crate::message::Stamp;

/// Which output of which commit a record is (decision 17 of docs/ARCHITECTURE.md): with it, output goes out once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag {
    /// Random, made with a task's first state record.
    pub epoch: u64,
    /// The commit's number.
    pub n: u64,
    /// Which output of that commit.
    pub index: u64,
}

/// A message on its way to a queue.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Its id and time.
    pub stamp: Stamp,
    /// Which output it is; kept findable in `task:` lanes only.
    pub tag: Option<Tag>,
    /// What it says, already encoded.
    pub body: &'a [u8],
}

/// The length that marks the end of a segment.
pub(super) const END: u32 = u32::MAX;
/// The largest body: a record with its head has less than 2 GiB.
pub(super) const MAX_BODY: usize = (1 << 31) - 4096;
/// Lane id and position, which the crc covers and the record does not hold.
const SEED: usize = 16;
const HEAD: usize = 8;
const FLAGS: usize = 8;
const TAG: usize = 24;
/// The shortest record: no tag, an empty body.
pub(super) const MIN: usize = HEAD + FLAGS + Stamp::BYTES;
const MAX_HEAD: usize = MIN + TAG;
const FLAG_TAG: u64 = 1;

/// How many bytes a record takes, without padding.
#[inline]
pub(super) fn length(out: &Outgoing<'_>) -> usize {
    MIN + if out.tag.is_some() { TAG } else { 0 } + out.body.len()
}

/// A record's length with its padding.
#[inline]
pub(super) fn padded(length: usize) -> usize {
    length.next_multiple_of(8)
}

/// The bytes before the body, crc included.
pub(super) struct Head {
    // The seed's place is used while the crc is computed; length and crc then take its second half.
    bytes: [u8; SEED - HEAD + MAX_HEAD],
    end: usize,
}

impl Head {
    #[inline]
    pub(super) fn new(out: &Outgoing<'_>, lane: u64, position: u64) -> Self {
        let mut head = Self { bytes: [0; SEED - HEAD + MAX_HEAD], end: 0 };
        head.put(lane);
        head.put(position);
        head.put(if out.tag.is_some() { FLAG_TAG } else { 0 });
        if let Some(tag) = out.tag {
            head.put(tag.epoch);
            head.put(tag.n);
            head.put(tag.index);
        }
        head.bytes[head.end..head.end + Stamp::BYTES].copy_from_slice(&out.stamp.to_bytes());
        head.end += Stamp::BYTES;
        let crc = crc32c::crc32c_append(crc32c::crc32c(&head.bytes[..head.end]), out.body);
        // `append` admits no body beyond MAX_BODY, so the length fits.
        let length = u64::try_from(length(out)).unwrap_or(u64::MAX) & 0xFFFF_FFFF;
        head.bytes[HEAD..SEED].copy_from_slice(&(length | u64::from(crc) << 32).to_le_bytes());
        head
    }

    #[inline]
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[HEAD..self.end]
    }

    #[inline]
    fn put(&mut self, word: u64) {
        self.bytes[self.end..self.end + 8].copy_from_slice(&word.to_le_bytes());
        self.end += 8;
    }
}

/// A record that passed its crc.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    pub(super) length: usize,
    pub(super) stamp: Stamp,
    pub(super) tag: Option<Tag>,
    /// Where in the bytes the body stands.
    pub(super) body: Range<usize>,
}

/// Reads the record at the beginning of `bytes`, which may go on behind it; nothing where there is no good one.
pub(super) fn decode(bytes: &[u8], lane: u64, position: u64) -> Option<Decoded> {
    let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
    if length < MIN || length > bytes.len() {
        return None;
    }
    let record = &bytes[..length];
    let mut seed = [0; SEED];
    seed[..8].copy_from_slice(&lane.to_le_bytes());
    seed[8..].copy_from_slice(&position.to_le_bytes());
    if crc32c::crc32c_append(crc32c::crc32c(&seed), &record[HEAD..]) != u32_at(record, 4)? {
        return None;
    }
    let mut at = HEAD + FLAGS;
    let tag = match u64_at(record, HEAD)? {
        0 => None,
        FLAG_TAG if length >= MIN + TAG => {
            at += TAG;
            Some(Tag { epoch: u64_at(record, 16)?, n: u64_at(record, 24)?, index: u64_at(record, 32)? })
        }
        _ => return None,
    };
    let stamp = Stamp::from_bytes(record.get(at..at + Stamp::BYTES)?.try_into().ok()?);
    Some(Decoded { length, stamp, tag, body: at + Stamp::BYTES..length })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(tag: Option<Tag>, body: &[u8]) -> (Stamp, Vec<u8>) {
        let stamp = Stamp::now();
        let mut bytes = Head::new(&Outgoing { stamp, tag, body }, 7, 64).as_bytes().to_vec();
        bytes.extend_from_slice(body);
        (stamp, bytes)
    }

    #[test]
    fn a_record_reads_back_what_it_wrote() {
        for tag in [None, Some(Tag { epoch: 1, n: 2, index: 3 })] {
            for body in [b"".as_slice(), b"x", &[9; 1000]] {
                let (stamp, bytes) = encoded(tag, body);
                let decoded = decode(&bytes, 7, 64).unwrap();
                assert_eq!((decoded.stamp, decoded.tag, decoded.length), (stamp, tag, bytes.len()));
                assert_eq!(&bytes[decoded.body], body);
            }
        }
    }

    #[test]
    fn a_record_in_another_lane_or_place_or_with_one_bit_changed_is_bad() {
        let (_, mut bytes) = encoded(None, b"body");
        assert_eq!(decode(&bytes, 8, 64), None);
        assert_eq!(decode(&bytes, 7, 72), None);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&bytes, 7, 64), None, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
