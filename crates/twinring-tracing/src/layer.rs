//! The layer for `tracing`.

use std::cell::RefCell;
use std::fmt::{self, Debug};
use std::sync::Arc;

use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::record::{
    Body, MAX_FIELDS, MAX_FIELDS_AND_SPANS, MAX_RECORD, MAX_SPAN_FIELD, MAX_TEXTS, Members,
};
use crate::shared::Shared;

/// Sends each event to the collector, with the fields of the spans that it is in; made by [`Log::layer`](crate::Log::layer).
pub struct Layer {
    shared: Arc<Shared>,
}

impl Layer {
    pub(crate) fn new(shared: Arc<Shared>) -> Layer {
        Layer { shared }
    }
}

/// Memory that a thread uses again.
#[derive(Default)]
struct Scratch {
    message: String,
    target: String,
    fields: Vec<u8>,
    spans: Vec<u8>,
    body: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// The thread's own memory; new one at the end of a thread, and while a value that is shown logs something itself.
fn with_scratch(f: impl FnOnce(&mut Scratch)) {
    let mut scratch = SCRATCH
        .try_with(|own| {
            own.try_borrow_mut()
                .map(|mut own| std::mem::take(&mut *own))
        })
        .ok()
        .and_then(Result::ok)
        .unwrap_or_default();
    f(&mut scratch);
    if scratch.message.capacity() > MAX_RECORD {
        scratch.message = String::new();
    }
    let _ = SCRATCH.try_with(|own| {
        if let Ok(mut own) = own.try_borrow_mut() {
            *own = scratch;
        }
    });
}

/// A span's name and fields, each as a member of an object.
struct SpanText {
    name: Vec<u8>,
    /// One that is recorded again takes the place of what was there.
    fields: Vec<SpanField>,
}

struct SpanField {
    name: &'static str,
    member: Vec<u8>,
    cut: bool,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> tracing_subscriber::Layer<S> for Layer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        let mut text = SpanText::new(span.name());
        attributes.record(&mut text);
        span.extensions_mut().replace(text);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        // Taken out: a value that is shown may log, which looks at it.
        let text = span.extensions_mut().remove::<SpanText>();
        if let Some(mut text) = text {
            values.record(&mut text);
            span.extensions_mut().replace(text);
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        with_scratch(|scratch| {
            let Scratch {
                message,
                target,
                fields,
                spans,
                body,
            } = scratch;
            message.clear();
            target.clear();
            fields.clear();
            spans.clear();
            let meta = event.metadata();
            let mut members = Members::new(fields, MAX_FIELDS);
            event.record(&mut Fields {
                members: &mut members,
                message: Some(message),
                log_target: is_of_log(meta).then_some(target),
            });
            let mut cut = members.cut;
            let room = MAX_FIELDS_AND_SPANS - fields.len();
            for span in ctx
                .event_scope(event)
                .into_iter()
                .flat_map(|scope| scope.from_root())
            {
                if let Some(text) = span.extensions().get::<SpanText>() {
                    cut |= !text.write(spans, room);
                }
            }
            let level = meta.level().as_str();
            let target = if target.is_empty() {
                meta.target()
            } else {
                target
            };
            let mut record = Body::begin(body, level, target, &self.shared.process);
            let left = MAX_TEXTS - fields.len() - spans.len();
            record.message(format_args!("{message}"), left);
            record.part("fields", '{', fields, '}');
            record.part("spans", '[', spans, ']');
            record.end(cut);
            self.shared.submit(body);
        });
    }
}

impl SpanText {
    fn new(name: &str) -> SpanText {
        let mut text = SpanText {
            name: Vec::new(),
            fields: Vec::new(),
        };
        Members::new(&mut text.name, MAX_SPAN_FIELD).text("name", name);
        text
    }

    /// Adds it, as far as there is room. Returns whether it is whole.
    fn write(&self, out: &mut Vec<u8>, room: usize) -> bool {
        if out.len() + self.name.len() + 3 > room {
            return false;
        }
        out.extend_from_slice(if out.is_empty() { b"{" } else { b",{" });
        out.extend_from_slice(&self.name);
        let mut is_whole = true;
        for field in &self.fields {
            let has_room = out.len() + field.member.len() + 2 <= room;
            if has_room {
                out.push(b',');
                out.extend_from_slice(&field.member);
            }
            is_whole &= has_room && !field.cut;
        }
        out.push(b'}');
        is_whole
    }

    /// `write` writes this field alone.
    fn put(&mut self, field: &Field, write: impl FnOnce(&mut Fields<'_, '_>)) {
        let mut member = Vec::new();
        let mut members = Members::new(&mut member, MAX_SPAN_FIELD);
        write(&mut Fields {
            members: &mut members,
            message: None,
            log_target: None,
        });
        let cut = members.cut;
        if field.name() == "name" {
            // The span's own comes first.
            member.splice(1..1, *b"field.");
        }
        let name = field.name();
        let new = SpanField { name, member, cut };
        match self.fields.iter_mut().find(|old| old.name == name) {
            Some(old) => *old = new,
            None => self.fields.push(new),
        }
    }
}

macro_rules! put_each {
    ($($method:ident: $value:ty;)+) => {$(
        fn $method(&mut self, field: &Field, value: $value) {
            self.put(field, |fields| fields.$method(field, value));
        }
    )+};
}

impl Visit for SpanText {
    put_each! {
        record_debug: &dyn Debug;
        record_str: &str;
        record_bool: bool;
        record_i64: i64;
        record_u64: u64;
        record_f64: f64;
    }
}

/// Whether it is the event that `tracing-log` makes of a record of the crate `log`.
fn is_of_log(meta: &Metadata<'_>) -> bool {
    meta.target() == "log" && meta.name() == "log event"
}

/// Writes fields, the one that is named `message` apart if there is a place for it.
struct Fields<'a, 'b> {
    members: &'a mut Members<'b>,
    message: Option<&'a mut String>,
    /// Of a record of the crate `log`: its own target. Its other `log.` fields say where in the program it was made, which
    /// no record here does.
    log_target: Option<&'a mut String>,
}

impl Fields<'_, '_> {
    fn text(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        match (field.name(), &mut self.message, &mut self.log_target) {
            ("message", Some(text), _) | ("log.target", _, Some(text)) => {
                // A value that fails to show itself is shown as far as it gets.
                let _ = fmt::write(*text, value);
            }
            ("log.module_path" | "log.file", _, Some(_)) => {}
            (name, ..) => self.members.text(name, value),
        }
    }
}

impl Visit for Fields<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.members.plain(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.members.plain(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if self.log_target.is_none() || field.name() != "log.line" {
            self.members.plain(field.name(), value);
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        match value.is_finite() {
            true => self.members.plain(field.name(), format_args!("{value:?}")),
            false => self.members.text(field.name(), value),
        }
    }
}

impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layer").finish_non_exhaustive()
    }
}
