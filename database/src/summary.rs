//! What the tool computes: a line for each column.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrowPrimitiveType, PrimitiveArray, RecordBatch};
use arrow_schema::{DataType, Schema};
use serde::Serialize;

/// Of all batches so far.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// One for each column of the schema.
    pub columns: Vec<Column>,
}

/// Of one column.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Column {
    /// As SQLite names it.
    pub name: String,
    /// Values that are not NULL.
    pub count: u64,
    /// The rest.
    pub nulls: u64,
    /// Of the values.
    pub values: Values,
}

/// By type of column. `None`: there was no value.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Values {
    /// 64-bit integers.
    Integer {
        /// Exact, as text: JSON's numbers are not.
        #[serde(serialize_with = "as_text")]
        sum: i128,
        /// The least.
        min: Option<i64>,
        /// The greatest.
        max: Option<i64>,
    },
    /// 64-bit floats, added in the order of the rows.
    Real {
        /// Rounded at each addition.
        sum: f64,
        /// The least.
        min: Option<f64>,
        /// The greatest.
        max: Option<f64>,
    },
    /// Texts.
    Text {
        /// Of all of them.
        bytes: u64,
    },
    /// Blobs.
    Blob {
        /// Of all of them.
        bytes: u64,
    },
}

fn as_text<S: serde::Serializer>(sum: &i128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(sum)
}

impl Summary {
    /// Of no rows. The schema is one that `arrow::Decoder` has let pass.
    pub fn new(schema: &Schema) -> Summary {
        let column = |(name, data_type): (&String, &DataType)| Column {
            name: name.clone(),
            count: 0,
            nulls: 0,
            values: match data_type {
                DataType::Int64 => Values::Integer {
                    sum: 0,
                    min: None,
                    max: None,
                },
                DataType::Float64 => Values::Real {
                    sum: 0.0,
                    min: None,
                    max: None,
                },
                DataType::Utf8 => Values::Text { bytes: 0 },
                _ => Values::Blob { bytes: 0 },
            },
        };
        let fields = schema.fields().iter();
        Summary {
            columns: fields.map(|f| column((f.name(), f.data_type()))).collect(),
        }
    }

    /// Adds a batch of the same schema. Reads the values where they are.
    pub fn add(&mut self, batch: &RecordBatch) {
        for (column, array) in self.columns.iter_mut().zip(batch.columns()) {
            column.nulls += array.null_count() as u64;
            column.count += (array.len() - array.null_count()) as u64;
            match &mut column.values {
                Values::Integer { sum, min, max } => {
                    for_each(array.as_primitive::<Int64Type>(), |value| {
                        *sum += i128::from(value);
                        *min = Some(min.map_or(value, |min| min.min(value)));
                        *max = Some(max.map_or(value, |max| max.max(value)));
                    });
                }
                Values::Real { sum, min, max } => {
                    for_each(array.as_primitive::<Float64Type>(), |value| {
                        *sum += value;
                        *min = Some(min.map_or(value, |min| min.min(value)));
                        *max = Some(max.map_or(value, |max| max.max(value)));
                    });
                }
                Values::Text { bytes } => {
                    let texts = array.as_string::<i32>();
                    *bytes += texts.iter().flatten().map(|t| t.len() as u64).sum::<u64>();
                }
                Values::Blob { bytes } => {
                    let blobs = array.as_binary::<i32>();
                    *bytes += blobs.iter().flatten().map(|b| b.len() as u64).sum::<u64>();
                }
            }
        }
    }
}

fn for_each<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, f: impl FnMut(T::Native)) {
    match array.null_count() {
        0 => array.values().iter().copied().for_each(f),
        _ => array.iter().flatten().for_each(f),
    }
}
