//! Arrow's messages, damaged in every way: an error or a batch, and never a panic.

use std::sync::{Arc, OnceLock};

use arrow_array::{
    Array, ArrayRef, BinaryArray, Float64Array, Int64Array, RecordBatch, StringArray,
};
use arrow_buffer::MutableBuffer;
use arrow_ipc::writer::StreamEncoder;
use arrow_schema::{DataType, Field, Schema};
use database::arrow::Decoder;
use database::protocol::{Header, Kind};
use database::summary::Summary;

use crate::common::amount;

fn encoded(schema: &Schema, columns: Vec<ArrayRef>) -> [Vec<u8>; 2] {
    let mut encoder = StreamEncoder::try_new(schema).unwrap();
    let schema = Arc::new(schema.clone());
    let empty = encoder
        .encode(&RecordBatch::new_empty(schema.clone()))
        .unwrap();
    let batch = encoder
        .encode(&RecordBatch::try_new(schema, columns).unwrap())
        .unwrap();
    [empty, batch].map(|parts| {
        parts
            .iter()
            .flat_map(|part| part.as_slice())
            .copied()
            .collect()
    })
}

/// A schema with each type, and a batch of it.
fn bodies() -> &'static [Vec<u8>; 2] {
    static BODIES: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    BODIES.get_or_init(|| {
        let column = |name, data_type| Field::new(name, data_type, true);
        let schema = Schema::new(vec![
            column("a", DataType::Int64),
            column("b", DataType::Float64),
            column("c", DataType::Utf8),
            column("d", DataType::Binary),
        ]);
        encoded(
            &schema,
            vec![
                Arc::new(Int64Array::from(vec![Some(1), None, Some(i64::MAX)])),
                Arc::new(Float64Array::from(vec![0.5, f64::NAN, f64::INFINITY])),
                Arc::new(StringArray::from(vec![
                    Some("é"),
                    None,
                    Some("abcdefghijkl"),
                ])),
                Arc::new(BinaryArray::from(vec![
                    Some(&[0, 255][..]),
                    Some(&[]),
                    None,
                ])),
            ],
        )
    })
}

/// The messages of the two.
pub(crate) fn stream() -> [Vec<u8>; 2] {
    let kinds = [Kind::Schema, Kind::Batch];
    std::array::from_fn(|i| {
        let (kind, body) = (kinds[i], &bodies()[i]);
        let header = Header {
            kind,
            len: body.len(),
        };
        [&header.to_bytes()[..], body].concat()
    })
}

fn memory(bytes: &[u8]) -> MutableBuffer {
    let mut memory = MutableBuffer::new(bytes.len());
    memory.extend_from_slice(bytes);
    memory
}

/// Takes both, and computes on what comes out. Whether it was taken.
fn take(schema: &[u8], batch: &[u8]) -> bool {
    let Ok(decoder) = Decoder::new(memory(schema)) else {
        return false;
    };
    let Ok(batch) = decoder.batch(memory(batch)) else {
        return false;
    };
    assert!(batch.is_in_place());
    Summary::new(decoder.schema()).add(&batch.batch);
    true
}

#[test]
fn batches_are_used_where_they_were_received() {
    let [schema, batch] = bodies();
    let decoder = Decoder::new(memory(schema)).unwrap();
    let received = memory(batch);
    let (from, len) = (received.as_ptr() as usize, received.len());
    let batch = decoder.batch(received).unwrap();
    assert!(batch.is_in_place());
    for column in batch.batch.columns() {
        let data = column.to_data();
        for values in data.buffers() {
            let at = values.as_ptr() as usize;
            assert!(from <= at && at + values.len() <= from + len);
            assert_eq!(at % 64, 0);
        }
    }
    // What is held elsewhere is not used for the next message.
    let held = batch.batch.column(0).clone();
    assert_eq!(batch.into_memory().len(), 0);
    drop(held);
    let batch = decoder.batch(memory(&bodies()[1])).unwrap();
    let at = batch.bytes().as_ptr();
    assert_eq!(batch.into_memory().as_ptr(), at);
}

/// If it could not be false, `is_in_place` would show nothing.
#[test]
fn a_batch_that_lies_elsewhere_is_not_in_place() {
    let [schema, bytes] = bodies();
    let decoder = Decoder::new(memory(schema)).unwrap();
    let mut batch = decoder.batch(memory(bytes)).unwrap();
    batch.batch = decoder.batch(memory(bytes)).unwrap().batch;
    assert!(!batch.is_in_place());
}

#[test]
fn damaged_messages_are_refused_or_taken_and_never_panic() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let [schema, batch] = bodies();
    assert!(take(schema, batch));
    let (mut taken, mut refused) = (0, 0);
    for round in 0..amount(60_000, 1_000_000) {
        let mut damaged = [schema.clone(), batch.clone()];
        let of = &mut damaged[random.usize(..2)];
        match round % 4 {
            0 => of.truncate(random.usize(..of.len())),
            1 => {
                // A whole number: an offset or a length.
                let at = random.usize(..of.len() / 4) * 4;
                let numbers = [
                    0,
                    1,
                    7,
                    -1,
                    i32::MIN,
                    i32::MAX,
                    random.i32(..),
                    of.len() as i32,
                ];
                of[at..at + 4].copy_from_slice(&random.choice(numbers).unwrap().to_le_bytes());
            }
            _ => {
                for _ in 0..random.usize(1..4) {
                    let at = random.usize(..of.len());
                    of[at] = random.u8(..);
                }
            }
        }
        match take(&damaged[0], &damaged[1]) {
            true => taken += 1,
            false => refused += 1,
        }
    }
    // Damaged values are values; both happen.
    assert!(taken > 100 && refused > 100, "{taken}, {refused}");
}

#[test]
fn schemas_that_no_provider_sends_are_refused() {
    let refused = |field: Field| {
        let schema = Schema::new(vec![field]);
        let empty = RecordBatch::new_empty(Arc::new(schema.clone()));
        let [schema, _] = encoded(&schema, empty.columns().to_vec());
        Decoder::new(memory(&schema)).err().unwrap().to_string()
    };
    let list = DataType::List(Arc::new(Field::new("x", DataType::Int64, true)));
    for data_type in [
        DataType::Null,
        DataType::Int32,
        DataType::UInt64,
        DataType::Float32,
        DataType::LargeUtf8,
        list,
    ] {
        let said = refused(Field::new("a", data_type, true));
        assert_eq!(said, "a column of a type that is not served");
    }
    refused(Field::new("a", DataType::Int64, false));
}
