//! Bytes as a record again, or what is wrong with them.
//!
//! Invariant: every sequence of bytes gives a record or a fault, never a panic, and never more memory than the
//! bytes themselves take, but for a small factor.

use bytes::Bytes;

use super::encoding::{FORMAT, Header, Lengths, MAX_HEADER_BYTES, MAX_RECORD_BYTES};
use super::error::RecordFault;
use super::record::{OutboxEntry, OutputMark, PendingEntry, Position, Record, UnderWay};
use crate::message::Stamp;
use crate::name::{QueueName, TaskName};

/// A header line as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HeaderLine {
    pub(super) header: Header,
    /// The checksum that it announces.
    crc: u32,
    /// The length of the line, its newline included.
    length: usize,
}

impl HeaderLine {
    /// Reads the line that `bytes` begin with.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, RecordFault> {
        if bytes.is_empty() {
            return Err(RecordFault::Empty);
        }
        let start = &bytes[..bytes.len().min(MAX_HEADER_BYTES)];
        let end = start.iter().position(|byte| *byte == b'\n').ok_or(RecordFault::NoHeader)?;
        let line = std::str::from_utf8(&start[..end]).map_err(|_| RecordFault::NoHeader)?;
        refuse_other_format(line)?;
        let (header, crc) = parse_fields(line).ok_or(RecordFault::NoHeader)?;
        Ok(Self { header, crc, length: end + 1 })
    }

    /// How long the whole record is.
    pub(super) fn record_length(&self) -> Result<usize, RecordFault> {
        let body = self.header.lengths.body().ok_or(RecordFault::TooLarge(u64::MAX))?;
        let length = body.saturating_add(self.length as u64);
        if length > MAX_RECORD_BYTES as u64 {
            return Err(RecordFault::TooLarge(length));
        }
        Ok(length as usize)
    }
}

/// The record that `bytes` begin with; what stands behind it is of no matter.
pub(super) fn decode(bytes: &[u8]) -> Result<Record, RecordFault> {
    let line = HeaderLine::parse(bytes)?;
    let length = line.record_length()?;
    let cut = RecordFault::CutShort { expected: length as u64, found: bytes.len() as u64 };
    let body = bytes.get(line.length..length).ok_or(cut)?;
    let mut spelled = Vec::with_capacity(MAX_HEADER_BYTES);
    line.header.spell(&mut spelled);
    if crc32c::crc32c_append(crc32c::crc32c(&spelled), body) != line.crc {
        return Err(RecordFault::Checksum);
    }
    decode_body(line.header, body)
}

fn refuse_other_format(line: &str) -> Result<(), RecordFault> {
    let rest = line.strip_prefix("multimodule state ").ok_or(RecordFault::NoHeader)?;
    let number = rest.split(' ').next().unwrap_or(rest);
    match number.parse::<u64>() {
        Ok(FORMAT) => Ok(()),
        Ok(newer) if newer > FORMAT => Err(RecordFault::NewerFormat(newer)),
        _ => Err(RecordFault::NoHeader),
    }
}

/// The header has one spelling: what was understood is spelled again and compared.
fn parse_fields(line: &str) -> Option<(Header, u32)> {
    let (fields, crc_text) = line.split_once(" crc=")?;
    let mut words = fields.split(' ').skip(3);
    let mut field = |name: &str| words.next()?.strip_prefix(name)?.strip_prefix('=');
    let epoch = u64::from_str_radix(field("epoch")?, 16).ok()?;
    let mut number = |name: &str| field(name)?.parse().ok();
    let n = number("n")?;
    let lengths = Lengths {
        state: number("state")?,
        positions: number("positions")?,
        outputs: number("outputs")?,
        outbox: number("outbox")?,
        pending: number("pending")?,
        under_way: number("under_way")?,
    };
    let header = Header { epoch, n, lengths };
    let crc = u32::from_str_radix(crc_text, 16).ok()?;
    let mut spelled = Vec::with_capacity(MAX_HEADER_BYTES);
    header.spell(&mut spelled);
    (spelled == fields.as_bytes() && format!("{crc:08x}") == crc_text).then_some((header, crc))
}

fn decode_body(header: Header, body: &[u8]) -> Result<Record, RecordFault> {
    let mut rest = Section { rest: body };
    let lengths = header.lengths;
    let mut section = |name: &'static str, length: u64| rest.take(length as usize).ok_or(RecordFault::Section(name));
    let state = section("state", lengths.state)?;
    if section("state", 1)? != b"\n" {
        return Err(RecordFault::Section("state"));
    }
    let positions = section("positions", lengths.positions)?;
    let outputs = section("outputs", lengths.outputs)?;
    let outbox = section("outbox", lengths.outbox)?;
    let pending = section("pending", lengths.pending)?;
    let under_way = section("under_way", lengths.under_way)?;
    Ok(Record {
        epoch: header.epoch,
        n: header.n,
        state: std::str::from_utf8(state).map_err(|_| RecordFault::Section("state"))?.to_owned(),
        positions: entries("positions", positions, position)?,
        outputs: entries("outputs", outputs, output)?,
        outbox: entries("outbox", outbox, outbox_entry)?,
        pending: entries("pending", pending, pending_entry)?,
        under_way: at_most_one("under_way", entries("under_way", under_way, under_way_entry)?)?,
    })
}

/// Reads entries up to the end of their section.
fn entries<T>(
    name: &'static str,
    section: &[u8],
    read: fn(&mut Section<'_>) -> Option<T>,
) -> Result<Vec<T>, RecordFault> {
    let mut rest = Section { rest: section };
    let mut entries = Vec::new();
    while !rest.rest.is_empty() {
        entries.push(read(&mut rest).ok_or(RecordFault::Section(name))?);
    }
    Ok(entries)
}

fn at_most_one<T>(name: &'static str, mut entries: Vec<T>) -> Result<Option<T>, RecordFault> {
    let entry = entries.pop();
    if entries.is_empty() { Ok(entry) } else { Err(RecordFault::Section(name)) }
}

fn position(from: &mut Section<'_>) -> Option<Position> {
    let (lane, position, count) = (from.number()?, from.number()?, from.number()?);
    Some(Position { lane, name: from.text()?.to_owned(), position, count })
}

fn output(from: &mut Section<'_>) -> Option<OutputMark> {
    let (lane, count) = (from.number()?, from.number()?);
    Some(OutputMark { queue: from.queue()?, lane, count })
}

fn outbox_entry(from: &mut Section<'_>) -> Option<OutboxEntry> {
    let (index, stamp) = (from.number()?, from.stamp()?);
    Some(OutboxEntry { queue: from.queue()?, index, stamp, body: from.body()? })
}

fn pending_entry(from: &mut Section<'_>) -> Option<PendingEntry> {
    let stamp = from.stamp()?;
    Some(PendingEntry { task: TaskName::new(from.text()?).ok()?, stamp, body: from.body()? })
}

fn under_way_entry(from: &mut Section<'_>) -> Option<UnderWay> {
    let (lane, position) = (from.number()?, from.number()?);
    Some(UnderWay { lane, position, ended: u32::from_le_bytes(from.array()?) })
}

/// What is still to be read of a section.
struct Section<'a> {
    rest: &'a [u8],
}

impl<'a> Section<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn stamp(&mut self) -> Option<Stamp> {
        self.array().map(|bytes| Stamp::from_bytes(&bytes))
    }

    fn part(&mut self) -> Option<&'a [u8]> {
        let length = self.array().map(u32::from_le_bytes)?;
        self.take(length as usize)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.part()?).ok()
    }

    fn queue(&mut self) -> Option<QueueName> {
        QueueName::new(self.text()?).ok()
    }

    /// Copied: a slice would keep the whole file in memory for as long as one small message is under way.
    fn body(&mut self) -> Option<Bytes> {
        self.part().map(Bytes::copy_from_slice)
    }
}
