//! The layer for `tracing`.

use std::cell::RefCell;
use std::fmt::{self, Debug};
use std::sync::Arc;

use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::{Event, Subscriber};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::record::{Body, MAX_RECORD, Members};
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

/// A span's name and fields, as members of an object.
struct SpanText {
    members: Vec<u8>,
    cut: bool,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> tracing_subscriber::Layer<S> for Layer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        let mut text = SpanText {
            members: Vec::new(),
            cut: false,
        };
        text.add(|members| {
            members.text("name", span.name());
            attributes.record(&mut Fields::new(members, None));
        });
        span.extensions_mut().replace(text);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        // Taken out: a value that is shown may log, which looks at it.
        let text = span.extensions_mut().remove::<SpanText>();
        if let Some(mut text) = text {
            text.add(|members| values.record(&mut Fields::new(members, None)));
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
                    spans.extend_from_slice(&text.members);
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
    fn add(&mut self, add: impl FnOnce(&mut Members<'_>)) {
        let mut members = Members {
            out: &mut self.members,
            cut: self.cut,
        };
        add(&mut members);
        self.cut = members.cut;
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
