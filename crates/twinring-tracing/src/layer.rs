//! The layer for `tracing`.

use std::cell::RefCell;
use std::fmt::{self, Debug};
use std::sync::Arc;

use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::{Event, Subscriber};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::record::{Body, MAX_RECORD, MAX_TEXTS, Members};
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
    /// By name. One that is recorded again takes the place of what was there.
    fields: Vec<(&'static str, Vec<u8>)>,
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
                fields,
                spans,
                body,
            } = scratch;
            message.clear();
            fields.clear();
            spans.clear();
            let mut members = Members {
                out: fields,
                cut: false,
            };
            event.record(&mut Fields::new(&mut members, Some(message)));
            let mut cut = members.cut;
            for span in ctx
                .event_scope(event)
                .into_iter()
                .flat_map(|scope| scope.from_root())
            {
                if let Some(text) = span.extensions().get::<SpanText>() {
                    let comma: &[u8] = if spans.is_empty() { b"{" } else { b",{" };
                    spans.extend_from_slice(comma);
                    spans.extend_from_slice(&text.name);
                    for (_, member) in &text.fields {
                        spans.push(b',');
                        spans.extend_from_slice(member);
                    }
                    spans.push(b'}');
                    cut |= text.cut;
                }
            }
            let meta = event.metadata();
            let (level, target) = (meta.level().as_str(), meta.target());
            let mut record = Body::begin(body, level, target, &self.shared.process);
            record.message(format_args!("{message}"));
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
            cut: false,
        };
        let mut members = Members {
            out: &mut text.name,
            cut: false,
        };
        members.text("name", name);
        text
    }

    /// `write` writes this field alone.
    fn put(&mut self, field: &Field, write: impl FnOnce(&mut Fields<'_, '_>)) {
        let mut member = Vec::new();
        let mut members = Members {
            out: &mut member,
            cut: false,
        };
        write(&mut Fields::new(&mut members, None));
        self.cut |= members.cut;
        if field.name() == "name" {
            // The span's own comes first.
            member.splice(1..1, *b"field.");
        }
        let old = self
            .fields
            .iter()
            .position(|(name, _)| *name == field.name());
        let others: usize = self.fields.iter().map(|(_, member)| member.len()).sum();
        let others = others - old.map_or(0, |old| self.fields[old].1.len());
        match old {
            _ if others + member.len() > MAX_TEXTS => self.cut = true,
            Some(old) => self.fields[old].1 = member,
            None => self.fields.push((field.name(), member)),
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

/// Writes fields, the one that is named `message` apart if there is a place for it.
struct Fields<'a, 'b> {
    members: &'a mut Members<'b>,
    message: Option<&'a mut String>,
}

impl<'a, 'b> Fields<'a, 'b> {
    fn new(members: &'a mut Members<'b>, message: Option<&'a mut String>) -> Self {
        Fields { members, message }
    }

    fn text(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        match &mut self.message {
            Some(message) if field.name() == "message" => {
                // A value that fails to show itself is shown as far as it gets.
                let _ = fmt::write(*message, value);
            }
            _ => self.members.text(field.name(), value),
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
        self.members.plain(field.name(), value);
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
