//! Batches that came from another process: checked, and then used where they were received.
//!
//! `arrow-ipc` checks what is in the arrays, but panics at lengths and types that cannot be. So all that a message says of
//! itself is checked here first.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{Array, RecordBatch};
use arrow_buffer::{Buffer, MutableBuffer};
use arrow_ipc::convert::fb_to_schema;
use arrow_ipc::reader::RecordBatchDecoder;
use arrow_ipc::{Message, MessageHeader, MetadataVersion, Precision, Type, root_as_message};
use arrow_schema::{DataType, SchemaRef};

use crate::protocol::{MAX_BATCH_ROWS, MAX_COLUMNS, Nonsense};

/// What stands before the metadata of each message.
const PREFIX: usize = 8;
/// Of all columns in the memory of a message, in bytes, as Arrow's format wants it.
const ALIGNMENT: usize = 8;
const CONTINUATION: [u8; 4] = [0xff; 4];

/// The batches of one connection.
pub struct Decoder {
    schema: SchemaRef,
}

/// A batch, and the memory that it was received into.
pub struct Batch {
    /// Its columns lie in that memory.
    pub batch: RecordBatch,
    memory: Buffer,
}

impl Decoder {
    /// From the message with the schema.
    ///
    /// # Errors
    /// It is none, or one that no provider sends.
    pub fn new(message: MutableBuffer) -> Result<Decoder, Nonsense> {
        let memory = Buffer::from(message);
        let (metadata, rest) = split(&memory)?;
        let schema = check_schema(metadata)?;
        let decoder = Decoder { schema };
        let empty = decoder.decode(memory.slice(memory.len() - rest.len()))?;
        match empty.batch.num_rows() {
            0 => Ok(decoder),
            rows => Err(Nonsense(format!("{rows} rows beside the schema"))),
        }
    }

    /// Nullable columns of 64-bit integers, 64-bit floats, texts and blobs.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Nothing is copied: the columns are slices of `message`.
    ///
    /// # Errors
    /// It is no batch of this schema.
    pub fn batch(&self, message: MutableBuffer) -> Result<Batch, Nonsense> {
        self.decode(Buffer::from(message))
    }

    fn decode(&self, memory: Buffer) -> Result<Batch, Nonsense> {
        let (metadata, body) = split(&memory)?;
        let (batch, version) = (
            check_batch(metadata, body.len(), &self.schema)?,
            metadata.version(),
        );
        let body = memory.slice(memory.len() - body.len());
        let dictionaries = HashMap::new();
        let decoder =
            RecordBatchDecoder::try_new(&body, batch, self.schema.clone(), &dictionaries, &version)
                // Or a misaligned column would be copied without a word.
                .map(|decoder| decoder.with_require_alignment(true));
        let batch = decoder.and_then(RecordBatchDecoder::read_record_batch);
        let batch = batch.map_err(|e| Nonsense(e.to_string()))?;
        Ok(Batch { batch, memory })
    }
}

impl Batch {
    /// Whether all values of all columns lie in the memory that the message was received into.
    pub fn is_in_place(&self) -> bool {
        let memory = self.memory.as_slice().as_ptr_range();
        let lies_within = |buffer: &Buffer| {
            let values = buffer.as_slice().as_ptr_range();
            buffer.is_empty() || (memory.start <= values.start && values.end <= memory.end)
        };
        self.batch.columns().iter().all(|column| {
            let data = column.to_data();
            data.buffers().iter().all(lies_within)
                && data.nulls().is_none_or(|nulls| lies_within(nulls.buffer()))
        })
    }

    /// Bytes of the message.
    pub fn bytes(&self) -> &[u8] {
        &self.memory
    }

    /// The memory, for the next message; new memory if something of the batch is still held.
    pub fn into_memory(self) -> MutableBuffer {
        let Batch { batch, memory } = self;
        drop(batch);
        memory
            .into_mutable()
            .unwrap_or_else(|_| MutableBuffer::new(0))
    }
}

/// The metadata of the first message in `memory`, and what follows it.
fn split(memory: &[u8]) -> Result<(Message<'_>, &[u8]), Nonsense> {
    let short = || Nonsense("shorter than it says".to_owned());
    let (prefix, rest) = memory.split_at_checked(PREFIX).ok_or_else(short)?;
    let (continuation, len) = prefix.split_at(4);
    if continuation != CONTINUATION {
        return Err(Nonsense("no message of Arrow's".to_owned()));
    }
    let len = u32::from_le_bytes(len.try_into().expect("4 of 8"));
    let (metadata, rest) = rest.split_at_checked(len as usize).ok_or_else(short)?;
    let message = root_as_message(metadata).map_err(|e| Nonsense(e.to_string()))?;
    if !(memory.len() - rest.len()).is_multiple_of(ALIGNMENT) {
        return Err(Nonsense("values that are not aligned".to_owned()));
    }
    match message.version() {
        MetadataVersion::V5 => Ok((message, rest)),
        other => Err(Nonsense(format!("version {other:?} of Arrow's format"))),
    }
}

fn check_schema(message: Message<'_>) -> Result<SchemaRef, Nonsense> {
    let no_schema = || Nonsense("not a schema".to_owned());
    let schema = message.header_as_schema().ok_or_else(no_schema)?;
    let fields = schema.fields().ok_or_else(no_schema)?;
    if message.bodyLength() != 0 || fields.is_empty() || fields.len() > MAX_COLUMNS {
        return Err(Nonsense(format!("a schema of {} columns", fields.len())));
    }
    for field in fields {
        let known = match field.type_type() {
            Type::Int => field
                .type_as_int()
                .is_some_and(|int| int.bitWidth() == 64 && int.is_signed()),
            Type::FloatingPoint => field
                .type_as_floating_point()
                .is_some_and(|float| float.precision() == Precision::DOUBLE),
            Type::Utf8 | Type::Binary => true,
            _ => false,
        };
        let plain = field.name().is_some()
            && field.dictionary().is_none()
            && field.children().is_none_or(|children| children.is_empty())
            && field.custom_metadata().is_none();
        if !known || !plain || !field.nullable() {
            return Err(Nonsense("a column of a type that is not served".to_owned()));
        }
    }
    Ok(Arc::new(fb_to_schema(schema)))
}

fn check_batch<'a>(
    message: Message<'a>,
    body: usize,
    schema: &SchemaRef,
) -> Result<arrow_ipc::RecordBatch<'a>, Nonsense> {
    let wrong = |what: &str| Err(Nonsense(format!("a batch with {what}")));
    let batch = match (message.header_type(), message.header_as_record_batch()) {
        (MessageHeader::RecordBatch, Some(batch)) => batch,
        _ => return Err(Nonsense("not a batch".to_owned())),
    };
    if message.bodyLength() != body as i64 {
        return wrong("another length than it says");
    }
    if batch.compression().is_some() || batch.variadicBufferCounts().is_some_and(|v| !v.is_empty())
    {
        return wrong("compression or views");
    }
    let (Some(nodes), Some(buffers)) = (batch.nodes(), batch.buffers()) else {
        return wrong("no columns");
    };
    let layouts = || {
        schema
            .fields()
            .iter()
            .map(|field| layout(field.data_type()))
    };
    let fields = schema.fields();
    let expected: usize = layouts().map(<[_]>::len).sum();
    if nodes.len() != fields.len() || buffers.len() != expected {
        return wrong("other columns than the schema");
    }
    let rows = batch.length();
    if !(0..=MAX_BATCH_ROWS as i64).contains(&rows) {
        return wrong("too many rows");
    }
    if nodes
        .iter()
        .any(|n| n.length() != rows || !(0..=rows).contains(&n.null_count()))
    {
        return wrong("columns of other lengths");
    }
    let mut buffers = buffers.iter();
    for (node, layout) in nodes.iter().zip(layouts()) {
        for (part, buffer) in layout.iter().zip(&mut buffers) {
            let (offset, len) = (buffer.offset(), buffer.length());
            let lies_within = offset
                .checked_add(len)
                .is_some_and(|end| end <= body as i64);
            if offset < 0 || len < 0 || !lies_within {
                return wrong("values beyond its end");
            }
            let (least, width) = match part {
                Part::Validity if node.null_count() > 0 => ((rows + 7) / 8, 1),
                Part::Offsets if rows > 0 => ((rows + 1) * 4, 4),
                Part::Numbers => (rows * 8, 8),
                Part::Offsets => (0, 4),
                Part::Validity | Part::Bytes => (0, 1),
            };
            if len < least {
                return wrong("fewer values than rows");
            }
            if offset % ALIGNMENT as i64 != 0 || len % width != 0 {
                return wrong("values that are not aligned");
            }
        }
    }
    Ok(batch)
}

/// What a buffer of a column holds.
#[derive(Clone, Copy)]
enum Part {
    Validity,
    Numbers,
    Offsets,
    Bytes,
}

/// The buffers of a column.
fn layout(data_type: &DataType) -> &'static [Part] {
    match data_type {
        DataType::Utf8 | DataType::Binary => &[Part::Validity, Part::Offsets, Part::Bytes],
        _ => &[Part::Validity, Part::Numbers],
    }
}
