//! A record as bytes: one header line, the state as text, a newline, and the binary sections.
//!
//! Invariant: a header has one spelling. A reader writes what it understood again and compares, so that the
//! checksum, which covers that spelling and everything after the header line, covers every byte.

use std::io::Write;

use super::record::{OutboxEntry, OutputMark, PendingEntry, Position, Record, UnderWay};
use crate::message::Stamp;

/// The number of the format that is written. A reader refuses a larger one.
pub const FORMAT: u64 = 1;

/// The largest record in bytes, header and all: below what Linux writes with one call (2 GiB less a page), and
/// far above a state that could be written each second.
pub const MAX_RECORD_BYTES: usize = 1 << 30;

/// The longest header line in bytes: all numbers at their longest take 200.
pub(super) const MAX_HEADER_BYTES: usize = 256;

/// The room of a buffer that is kept although the record at hand needs only a fraction of it.
const KEPT_BYTES: usize = 1 << 20;

/// What the header line says, but for the checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Header {
    pub(super) epoch: u64,
    pub(super) n: u64,
    pub(super) lengths: Lengths,
}

/// The lengths of the sections in bytes, in their order in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Lengths {
    pub(super) state: u64,
    pub(super) positions: u64,
    pub(super) outputs: u64,
    pub(super) outbox: u64,
    pub(super) pending: u64,
    pub(super) under_way: u64,
}

impl Lengths {
    /// The length of what follows the header line, with the newline after the state.
    pub(super) fn body(&self) -> Option<u64> {
        [self.positions, self.outputs, self.outbox, self.pending, self.under_way, 1]
            .into_iter()
            .try_fold(self.state, u64::checked_add)
    }
}

impl Header {
    /// The header line up to where ` crc=` begins.
    pub(super) fn spell(&self, line: &mut Vec<u8>) {
        let Lengths { state, positions, outputs, outbox, pending, under_way } = self.lengths;
        write!(
            line,
            "multimodule state {FORMAT} epoch={:016x} n={} state={state} positions={positions} outputs={outputs} \
             outbox={outbox} pending={pending} under_way={under_way}",
            self.epoch, self.n
        )
        .expect("memory takes every write");
    }
}

/// Makes records into bytes, in a buffer that is used again.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    /// Room for the header, then the body.
    buffer: Vec<u8>,
    line: Vec<u8>,
}

impl Encoder {
    /// The bytes of `record`.
    ///
    /// # Errors
    /// The record's size, where that is more than [`MAX_RECORD_BYTES`].
    pub(super) fn encode(&mut self, record: &Record) -> Result<&[u8], usize> {
        let bytes = size_of_parts(record);
        if bytes > MAX_RECORD_BYTES {
            return Err(bytes);
        }
        self.make_room(bytes);
        let lengths = self.append_body(record);
        Ok(self.put_header(Header { epoch: record.epoch, n: record.n, lengths }))
    }

    fn make_room(&mut self, bytes: usize) {
        if self.buffer.capacity() / 4 > bytes.max(KEPT_BYTES / 4) {
            self.buffer = Vec::new();
        }
        self.buffer.clear();
        self.buffer.reserve(bytes);
        self.buffer.resize(MAX_HEADER_BYTES, 0);
    }

    fn append_body(&mut self, record: &Record) -> Lengths {
        let buffer = &mut self.buffer;
        let mut end = buffer.len();
        let mut section = |buffer: &Vec<u8>| {
            let length = buffer.len() - end;
            end = buffer.len();
            length as u64
        };
        buffer.extend_from_slice(record.state.as_bytes());
        let state = section(buffer);
        buffer.push(b'\n');
        section(buffer);
        record.positions.iter().for_each(|entry| put_position(buffer, entry));
        let positions = section(buffer);
        record.outputs.iter().for_each(|entry| put_output(buffer, entry));
        let outputs = section(buffer);
        record.outbox.iter().for_each(|entry| put_outbox(buffer, entry));
        let outbox = section(buffer);
        record.pending.iter().for_each(|entry| put_pending(buffer, entry));
        let pending = section(buffer);
        record.under_way.iter().for_each(|entry| put_under_way(buffer, *entry));
        let under_way = section(buffer);
        Lengths { state, positions, outputs, outbox, pending, under_way }
    }

    /// Sets the header right before the body, and gives both.
    fn put_header(&mut self, header: Header) -> &[u8] {
        self.line.clear();
        header.spell(&mut self.line);
        let crc = crc32c::crc32c_append(crc32c::crc32c(&self.line), &self.buffer[MAX_HEADER_BYTES..]);
        writeln!(self.line, " crc={crc:08x}").expect("memory takes every write");
        let start = MAX_HEADER_BYTES - self.line.len();
        self.buffer[start..MAX_HEADER_BYTES].copy_from_slice(&self.line);
        &self.buffer[start..]
    }
}

/// An upper bound of the record's size, from which no part's length can overflow its field.
fn size_of_parts(record: &Record) -> usize {
    let positions = record.positions.iter().map(|entry| 28 + entry.name.len());
    let outputs = record.outputs.iter().map(|entry| 20 + entry.queue.as_str().len());
    let outbox = record.outbox.iter().map(|entry| 40 + entry.queue.as_str().len() + entry.body.len());
    let pending = record.pending.iter().map(|entry| 32 + entry.task.as_str().len() + entry.body.len());
    let entries = positions.chain(outputs).chain(outbox).chain(pending);
    entries.fold(MAX_HEADER_BYTES + 21 + record.state.len(), usize::saturating_add)
}

fn put_position(buffer: &mut Vec<u8>, entry: &Position) {
    put_number(buffer, entry.lane);
    put_number(buffer, entry.position);
    put_number(buffer, entry.count);
    put_bytes(buffer, entry.name.as_bytes());
}

fn put_output(buffer: &mut Vec<u8>, entry: &OutputMark) {
    put_number(buffer, entry.lane);
    put_number(buffer, entry.count);
    put_bytes(buffer, entry.queue.as_str().as_bytes());
}

fn put_outbox(buffer: &mut Vec<u8>, entry: &OutboxEntry) {
    put_number(buffer, entry.index);
    put_stamp(buffer, entry.stamp);
    put_bytes(buffer, entry.queue.as_str().as_bytes());
    put_bytes(buffer, &entry.body);
}

fn put_pending(buffer: &mut Vec<u8>, entry: &PendingEntry) {
    put_stamp(buffer, entry.stamp);
    put_bytes(buffer, entry.task.as_str().as_bytes());
    put_bytes(buffer, &entry.body);
}

fn put_under_way(buffer: &mut Vec<u8>, entry: UnderWay) {
    put_number(buffer, entry.lane);
    put_number(buffer, entry.position);
    buffer.extend_from_slice(&entry.ended.to_le_bytes());
}

fn put_number(buffer: &mut Vec<u8>, number: u64) {
    buffer.extend_from_slice(&number.to_le_bytes());
}

fn put_stamp(buffer: &mut Vec<u8>, stamp: Stamp) {
    buffer.extend_from_slice(&stamp.to_bytes());
}

/// The size of the whole record was checked, so every part's length fits 32 bits.
fn put_bytes(buffer: &mut Vec<u8>, bytes: &[u8]) {
    buffer.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    buffer.extend_from_slice(bytes);
}
