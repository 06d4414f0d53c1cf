//! The format: what is written can be read, and nothing else can.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::super::decoding::decode;
use super::super::encoding::Encoder;
use super::super::{OutboxEntry, OutputMark, PendingEntry, Position, Record, RecordFault, UnderWay};
use super::sample::record;
use crate::message::Stamp;
use crate::name::{QueueName, TaskName};

fn encode(record: &Record) -> Vec<u8> {
    Encoder::default().encode(record).unwrap().to_vec()
}

fn any_stamp() -> impl Strategy<Value = Stamp> {
    any::<[u8; Stamp::BYTES]>().prop_map(|bytes| Stamp::from_bytes(&bytes))
}

fn any_queue() -> impl Strategy<Value = QueueName> {
    "[a-zA-Zä][a-zA-Z0-9._ ]{0,30}".prop_map(|text| QueueName::new(text).unwrap())
}

fn any_body() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..100).prop_map(Bytes::from)
}

fn any_position() -> impl Strategy<Value = Position> {
    let parts = (any::<u64>(), ".{0,30}", any::<u64>(), any::<u64>());
    parts.prop_map(|(lane, name, position, count)| Position { lane, name, position, count })
}

fn any_output() -> impl Strategy<Value = OutputMark> {
    (any_queue(), any::<u64>(), any::<u64>()).prop_map(|(queue, lane, count)| OutputMark { queue, lane, count })
}

fn any_outbox_entry() -> impl Strategy<Value = OutboxEntry> {
    let parts = (any_queue(), any::<u64>(), any_stamp(), any_body());
    parts.prop_map(|(queue, index, stamp, body)| OutboxEntry { queue, index, stamp, body })
}

fn any_pending_entry() -> impl Strategy<Value = PendingEntry> {
    let parts = (any_queue(), any_stamp(), any_body());
    parts.prop_map(|(queue, stamp, body)| PendingEntry { task: TaskName::new(queue.as_str()).unwrap(), stamp, body })
}

fn any_under_way() -> impl Strategy<Value = UnderWay> {
    let parts = (any::<u64>(), any::<u64>(), any::<u32>());
    parts.prop_map(|(lane, position, ended)| UnderWay { lane, position, ended })
}

prop_compose! {
    fn any_record()(
        (epoch, n, state) in (any::<u64>(), any::<u64>(), ".{0,200}"),
        positions in vec(any_position(), 0..4),
        outputs in vec(any_output(), 0..4),
        outbox in vec(any_outbox_entry(), 0..4),
        pending in vec(any_pending_entry(), 0..4),
        under_way in option::of(any_under_way()),
    ) -> Record {
        Record { epoch, n, state, positions, outputs, outbox, pending, under_way }
    }
}

proptest! {
    #[test]
    fn a_record_reads_back_as_it_was_written(record in any_record(), behind in vec(any::<u8>(), 0..20)) {
        let mut bytes = encode(&record);
        bytes.extend(behind);
        prop_assert_eq!(decode(&bytes), Ok(record));
    }

    #[test]
    fn any_bytes_are_refused(bytes in vec(any::<u8>(), 0..600)) {
        prop_assert!(decode(&bytes).is_err());
    }

    #[test]
    fn a_header_with_any_numbers_is_refused(
        numbers in vec(prop_oneof![0..40_u64, any::<u64>()], 8),
        body in vec(any::<u8>(), 0..300),
    ) {
        let [n, state, positions, outputs, outbox, pending, under_way, crc] = numbers[..] else { unreachable!() };
        let mut bytes = format!(
            "multimodule state 1 epoch={n:016x} n={n} state={state} positions={positions} outputs={outputs} \
             outbox={outbox} pending={pending} under_way={under_way} crc={:08x}\n", crc as u32,
        ).into_bytes();
        bytes.extend(body);
        prop_assert!(decode(&bytes).is_err());
    }

    #[test]
    fn sections_of_any_bytes_never_panic(sections in vec(vec(any::<u8>(), 0..80), 6)) {
        let bytes = with_sections(&sections);
        if let Ok(record) = decode(&bytes) {
            prop_assert_eq!(encode(&record), bytes);
        }
    }
}

/// A record with a right checksum over sections that are anything.
fn with_sections(sections: &[Vec<u8>]) -> Vec<u8> {
    let length = |index: usize| sections[index].len();
    let line = format!(
        "multimodule state 1 epoch=0000000000000001 n=1 state={} positions={} outputs={} outbox={} pending={} under_way={}",
        length(0),
        length(1),
        length(2),
        length(3),
        length(4),
        length(5)
    );
    let body = [&sections[0][..], b"\n", &sections[1..].concat()].concat();
    let crc = crc32c::crc32c_append(crc32c::crc32c(line.as_bytes()), &body);
    [format!("{line} crc={crc:08x}\n").as_bytes(), &body].concat()
}

#[test]
fn a_record_that_is_cut_anywhere_is_refused() {
    let bytes = encode(&record(12));
    for length in 0..bytes.len() {
        assert!(decode(&bytes[..length]).is_err(), "{length} of {} bytes were taken", bytes.len());
    }
}

#[test]
fn a_record_with_any_bit_turned_is_refused() {
    let bytes = encode(&record(12));
    for bit in 0..bytes.len() * 8 {
        let mut turned = bytes.clone();
        turned[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&turned).is_err(), "bit {bit} did not matter");
    }
}

/// The format is final: these bytes are on the disks of users.
#[test]
fn a_record_is_written_as_it_is_documented() {
    let bytes = encode(&record(12));
    let header = "multimodule state 1 epoch=0123456789abcdef n=12 state=8 positions=34 outputs=28 outbox=52 \
                  pending=37 under_way=20 crc=5570a6a2\n(ct: 12)\n";
    assert_eq!(String::from_utf8_lossy(&bytes[..header.len()]), header);
    let outputs = &bytes[header.len() + 34..][..28];
    assert_eq!(outputs, b"\x0b\0\0\0\0\0\0\0\x0c\0\0\0\0\0\0\0\x08\0\0\0Example2");
}

#[test]
fn a_record_of_a_newer_format_is_told_from_a_damaged_one() {
    for (text, fault) in [
        ("multimodule state 2 whatever\n", RecordFault::NewerFormat(2)),
        ("multimodule state 0 whatever\n", RecordFault::NoHeader),
        ("multimodule state x\n", RecordFault::NoHeader),
        ("(ct: 12)\n", RecordFault::NoHeader),
        ("", RecordFault::Empty),
    ] {
        assert_eq!(decode(text.as_bytes()), Err(fault), "{text}");
    }
}

#[test]
fn a_header_that_announces_the_moon_takes_no_memory() {
    let text = "multimodule state 1 epoch=0000000000000001 n=1 state=18446744073709551615 positions=1 outputs=0 \
                outbox=0 pending=0 under_way=0 crc=00000000\n";
    assert_eq!(decode(text.as_bytes()), Err(RecordFault::TooLarge(u64::MAX)));
}
