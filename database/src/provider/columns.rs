//! Rows of SQLite, whose values have types, made into columns, which have them in Arrow.
//!
//! The first value of a column that is not NULL says which type it has. A column that is NULL throughout the first batch has the
//! type that it was declared with, or else is one of integers.

use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, Float64Builder, Int64Builder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use rusqlite::types::{Type, ValueRef};

use crate::protocol::{Code, Failure};

/// Integers up to this are floats as well.
const EXACT: u64 = 1 << 53;

pub(crate) struct Columns {
    columns: Vec<Column>,
    /// Once the first batch has decided it.
    schema: Option<SchemaRef>,
    rows: usize,
}

pub(crate) struct Column {
    name: String,
    declared: Option<String>,
    values: Values,
}

enum Values {
    /// So many NULLs.
    Undecided(usize),
    Integer(Int64Builder),
    Real(Float64Builder),
    Text(StringBuilder),
    Blob(BinaryBuilder),
}

impl Columns {
    pub(crate) fn new<'a>(columns: impl Iterator<Item = rusqlite::Column<'a>>) -> Columns {
        let column = |c: rusqlite::Column<'_>| Column {
            name: c.name().to_owned(),
            declared: c.decl_type().map(str::to_ascii_uppercase),
            values: Values::Undecided(0),
        };
        Columns {
            columns: columns.map(column).collect(),
            schema: None,
            rows: 0,
        }
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Column> {
        self.rows += 1;
        self.columns.iter_mut()
    }

    /// What was pushed since the last one.
    pub(crate) fn batch(&mut self) -> RecordBatch {
        for column in &mut self.columns {
            column.decide();
        }
        let schema = self.schema.get_or_insert_with(|| {
            let fields = self
                .columns
                .iter()
                .map(|c| Field::new(&c.name, c.data_type(), true));
            Arc::new(Schema::new(fields.collect::<Vec<_>>()))
        });
        let arrays = self.columns.iter_mut().map(Column::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.rows = 0;
        RecordBatch::try_new_with_options(schema.clone(), arrays, &options)
            .expect("each column has each row's value")
    }
}

impl Column {
    /// Takes the value of a row, the first of which has number 1. Returns how many bytes it takes.
    pub(crate) fn push(&mut self, value: ValueRef<'_>, row: u64) -> Result<usize, Failure> {
        if let Values::Undecided(nulls) = &mut self.values {
            match value {
                ValueRef::Null => *nulls += 1,
                _ => self.values = Values::of(value.data_type(), *nulls),
            }
        }
        match (&mut self.values, value) {
            (Values::Undecided(_), _) => {}
            (Values::Integer(to), ValueRef::Integer(value)) => to.append_value(value),
            (Values::Integer(to), ValueRef::Null) => to.append_null(),
            (Values::Real(to), ValueRef::Real(value)) => to.append_value(value),
            (Values::Real(to), ValueRef::Integer(value)) if value.unsigned_abs() <= EXACT => {
                to.append_value(value as f64);
            }
            (Values::Real(to), ValueRef::Null) => to.append_null(),
            (Values::Text(to), ValueRef::Text(bytes)) => {
                let Ok(text) = std::str::from_utf8(bytes) else {
                    return Err(self.failure(row, "text that is not UTF-8"));
                };
                to.append_value(text);
                return Ok(text.len() + 4);
            }
            (Values::Text(to), ValueRef::Null) => to.append_null(),
            (Values::Blob(to), ValueRef::Blob(bytes)) => {
                to.append_value(bytes);
                return Ok(bytes.len() + 4);
            }
            (Values::Blob(to), ValueRef::Null) => to.append_null(),
            (_, other) => {
                let found = match other.data_type() {
                    Type::Integer if matches!(self.values, Values::Real(_)) => {
                        "an integer that no float is equal to".to_owned()
                    }
                    other => other.to_string().to_lowercase(),
                };
                return Err(self.failure(row, &found));
            }
        }
        Ok(8)
    }

    fn failure(&self, row: u64, found: &str) -> Failure {
        let (name, kind) = (&self.name, self.values.name());
        Failure::new(
            Code::Type,
            format!(
                "row {row}, column {name:?}: {found} in a column of type {kind}; CAST the column to one type"
            ),
        )
    }

    fn decide(&mut self) {
        if let Values::Undecided(nulls) = self.values {
            // SQLite's own rules for what a declaration means.
            let declared = self.declared.as_deref().unwrap_or("INT");
            let says = |words: &[&str]| words.iter().any(|word| declared.contains(word));
            let kind = match () {
                () if says(&["INT"]) => Type::Integer,
                () if says(&["CHAR", "CLOB", "TEXT"]) => Type::Text,
                () if says(&["BLOB"]) => Type::Blob,
                () if says(&["REAL", "FLOA", "DOUB"]) => Type::Real,
                () => Type::Integer,
            };
            self.values = Values::of(kind, nulls);
        }
    }

    fn data_type(&self) -> DataType {
        match self.values {
            Values::Undecided(_) | Values::Integer(_) => DataType::Int64,
            Values::Real(_) => DataType::Float64,
            Values::Text(_) => DataType::Utf8,
            Values::Blob(_) => DataType::Binary,
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match &mut self.values {
            Values::Undecided(nulls) => Arc::new({
                let mut none = Int64Builder::new();
                none.append_nulls(*nulls);
                none.finish()
            }),
            Values::Integer(values) => Arc::new(values.finish()),
            Values::Real(values) => Arc::new(values.finish()),
            Values::Text(values) => Arc::new(values.finish()),
            Values::Blob(values) => Arc::new(values.finish()),
        }
    }
}

impl Values {
    /// Of this type, with so many NULLs.
    fn of(kind: Type, nulls: usize) -> Values {
        match kind {
            Type::Null | Type::Integer => {
                let mut values = Int64Builder::new();
                values.append_nulls(nulls);
                Values::Integer(values)
            }
            Type::Real => {
                let mut values = Float64Builder::new();
                values.append_nulls(nulls);
                Values::Real(values)
            }
            Type::Text => {
                let mut values = StringBuilder::new();
                values.append_nulls(nulls);
                Values::Text(values)
            }
            Type::Blob => {
                let mut values = BinaryBuilder::new();
                values.append_nulls(nulls);
                Values::Blob(values)
            }
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Values::Undecided(_) => "null",
            Values::Integer(_) => "integer",
            Values::Real(_) => "real",
            Values::Text(_) => "text",
            Values::Blob(_) => "blob",
        }
    }
}
