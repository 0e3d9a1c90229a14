//! Carries a plugin's `tracing` events to the host.
//!
//! A dynamic library has its own `tracing` statics, where no subscriber is set: without this, its
//! events vanish. The host is lent for one call at a time, so it is kept per thread for that long.
#![allow(unsafe_code)]

use std::{cell::Cell, fmt, ptr::NonNull, sync::Once};

use modelwatch_abi::v1;
use serde_json::{Map, Value};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

type Lent = NonNull<v1::HostRef<'static>>;

thread_local! {
    static HOST: Cell<Option<Lent>> = const { Cell::new(None) };
}

/// Sets the forwarding subscriber of this library, once.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Where the library has a subscriber of its own, its author wants that one.
        let _ = tracing::subscriber::set_global_default(Forward);
    });
}

/// Runs `code` with `host` as the receiver of this thread's events.
pub(crate) fn with_host<T>(host: &v1::HostRef<'_>, code: impl FnOnce() -> T) -> T {
    struct Restore(Option<Lent>);
    impl Drop for Restore {
        fn drop(&mut self) {
            HOST.set(self.0);
        }
    }
    let _restore = Restore(HOST.replace(Some(NonNull::from(host).cast())));
    code()
}

fn host(use_it: impl FnOnce(&v1::HostRef<'_>)) {
    if let Some(host) = HOST.get() {
        // SAFETY: `with_host` set the pointer from a reference that outlives its call, and
        // `Restore` takes it back before the call ends, also when it unwinds. It never leaves the thread.
        use_it(unsafe { host.as_ref() });
    }
}

fn number(level: &Level) -> u8 {
    match *level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

struct Forward;

impl Subscriber for Forward {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let mut res = false;
        host(|it| res = metadata.is_event() && number(metadata.level()) <= v1::Host_TO::log_level(it));
        res
    }

    fn register_callsite(&self, _: &'static Metadata<'static>) -> tracing::subscriber::Interest {
        // Asked anew each time: the level belongs to the host of the call.
        tracing::subscriber::Interest::sometimes()
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let json = Value::Object(fields.others).to_string();
        host(|it| {
            it.log(v1::LogRecord {
                level: number(event.metadata().level()),
                target: event.metadata().target().into(),
                message: fields.message.as_str().into(),
                fields: json.as_str().into(),
            });
        });
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.others.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.put(field, format!("{value:?}").into());
        }
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, crate::report::float::to_value(value));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}
