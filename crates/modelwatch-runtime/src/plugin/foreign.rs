//! Values of a loaded library as values of the ordinary traits.
#![allow(unsafe_code)]

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use abi_stable::{
    sabi_types::RRef,
    std_types::{ROption, RResult, RStr, RString},
    type_level::downcasting::TD_Opaque,
};
use modelwatch_abi::{ABI_VERSION, v1};
use modelwatch_sdk::{
    Error, ErrorKind, Host, ModelRole, Needs, Probe, RecordBatch, Report, Result, Role, TensorView, batch,
    export::{raw_tensor, tensor_view},
    store::{
        CheckpointId, CheckpointManifest, CheckpointReader, CheckpointStore, CheckpointWriter, CollectOptions,
        CollectReport, DoctorReport, LogEntry, RepairReport, ScrubDepth, ScrubReport, StoreStats, VerdictRecord,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use tracing::{debug, error, info, level_filters::LevelFilter, trace, warn};

use super::callee::Callee;

/// The target of the events of plugins.
pub(super) const TARGET: &str = "modelwatch::plugin";

/// A probe in a library.
pub(crate) struct ForeignProbe {
    callee: Callee<v1::ProbeBox>,
    needs: Arc<Needs>,
}

impl ForeignProbe {
    /// Opens `kind/name`; `config` is a JSON object.
    pub(crate) fn open(root: v1::PluginRef, component: &str, config: &Value) -> Result<Self> {
        let raw = Self::raw(root, component, config)?;
        let needs = Arc::new(json(raw.needs())?);
        Ok(Self { callee: Callee::new("plugin", raw), needs })
    }

    /// Opens another instance of what has told its needs.
    pub(crate) fn open_another(
        root: v1::PluginRef,
        component: &str,
        config: &Value,
        needs: Arc<Needs>,
    ) -> Result<Self> {
        Ok(Self { callee: Callee::new("plugin", Self::raw(root, component, config)?), needs })
    }

    fn raw(root: v1::PluginRef, component: &str, config: &Value) -> Result<v1::ProbeBox> {
        Ok(root.probe()(component.into(), config.to_string().as_str().into()).into_result()?)
    }
}

impl Probe for ForeignProbe {
    fn needs(&self) -> Needs {
        Needs::clone(&self.needs)
    }
    fn update(&mut self, host: &dyn Host, role: Role, rows: &RecordBatch) -> Result<()> {
        let rows = batch::export(rows)?;
        self.callee.call_mut(|raw| with_host(host, |host| raw.update(host, role.as_str().into(), rows)))
    }
    fn update_tensor(&mut self, host: &dyn Host, role: ModelRole, tensor: &TensorView<'_>) -> Result<()> {
        self.callee
            .call_mut(|raw| with_host(host, |host| raw.update_tensor(host, role.as_str().into(), raw_tensor(*tensor))))
    }
    fn state(&mut self) -> Result<Vec<u8>> {
        self.callee.call_mut(|raw| raw.state()).map(Into::into)
    }
    fn merge(&mut self, state: &[u8]) -> Result<()> {
        self.callee.call_mut(|raw| raw.merge(state.into()))
    }
    fn evaluate(&mut self, host: &dyn Host) -> Result<Report> {
        self.callee.call_mut(|raw| with_host(host, |host| raw.evaluate(host))).and_then(|it| parse(&it))
    }
    fn close(&mut self) -> Result<()> {
        self.callee.call_mut(|raw| raw.close())
    }
}

/// A store in a library.
pub(crate) struct ForeignStore {
    callee: Callee<v1::CheckpointStoreBox>,
    fallen: Fallen,
}

/// The first panic in a destructor of a store's readers and writers, which themselves have nobody to tell.
#[derive(Clone, Default)]
struct Fallen(Arc<Mutex<Option<Error>>>);

impl Fallen {
    fn keep(&self, closed: Result<()>) {
        if let Err(e) = closed {
            self.lock().get_or_insert(e);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Error>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ForeignStore {
    /// Opens the store; `config` is a JSON object.
    pub(crate) fn open(root: v1::PluginRef, name: &str, config: &Value) -> Result<Self> {
        let raw = root.store()(name.into(), config.to_string().as_str().into()).into_result()?;
        Ok(Self { callee: Callee::new("store", raw), fallen: Fallen::default() })
    }

    fn care<T: DeserializeOwned>(&self, host: &dyn Host, task: &str, options: &impl Serialize) -> Result<T> {
        let options = serde_json::to_string(options).map_err(Error::input)?;
        parse(&self.callee.call(|raw| with_host(host, |host| raw.care(host, task.into(), options.as_str().into())))?)
    }
}

impl CheckpointStore for ForeignStore {
    fn begin(
        &self,
        host: &dyn Host,
        lineage: &str,
        metadata: &Map<String, Value>,
    ) -> Result<Box<dyn CheckpointWriter>> {
        let metadata = Value::from(metadata.clone()).to_string();
        let raw = self
            .callee
            .call(|raw| with_host(host, |host| raw.begin(host, lineage.into(), metadata.as_str().into())))?;
        Ok(Box::new(ForeignWriter { callee: Callee::new("store's writer", raw), fallen: self.fallen.clone() }))
    }
    fn open(&self, host: &dyn Host, id: &CheckpointId) -> Result<Box<dyn CheckpointReader>> {
        let raw = self.callee.call(|raw| with_host(host, |host| raw.open(host, id.as_str().into())))?;
        let manifest = json(raw.manifest())?;
        Ok(Box::new(ForeignReader {
            callee: Callee::new("store's reader", raw),
            manifest,
            fallen: self.fallen.clone(),
        }))
    }
    fn lineages(&self) -> Result<Vec<String>> {
        parse(&self.callee.call(|raw| raw.lineages())?)
    }
    fn log(&self, lineage: &str, after: u64, limit: u32) -> Result<Vec<LogEntry>> {
        parse(&self.callee.call(|raw| raw.log(lineage.into(), after, limit))?)
    }
    fn set_ref(
        &self,
        lineage: &str,
        name: &str,
        id: &CheckpointId,
        expected: Option<&CheckpointId>,
        reason: &str,
    ) -> Result<()> {
        let expected: ROption<RStr<'_>> = expected.map(|it| it.as_str().into()).into();
        self.callee.call(|raw| raw.set_ref(lineage.into(), name.into(), id.as_str().into(), expected, reason.into()))
    }
    fn record_verdict(&self, lineage: &str, id: &CheckpointId, verdict: &VerdictRecord) -> Result<()> {
        let verdict = serde_json::to_string(verdict).map_err(Error::input)?;
        self.callee.call(|raw| raw.record_verdict(lineage.into(), id.as_str().into(), verdict.as_str().into()))
    }
    fn unset_ref(&self, lineage: &str, name: &str, expected: &CheckpointId, reason: &str) -> Result<()> {
        self.callee.call(|raw| raw.unset_ref(lineage.into(), name.into(), expected.as_str().into(), reason.into()))
    }
    fn remove(&self, lineage: &str, ids: &[CheckpointId], reason: &str) -> Result<()> {
        let ids = serde_json::to_string(ids).map_err(Error::input)?;
        self.callee.call(|raw| raw.remove(lineage.into(), ids.as_str().into(), reason.into()))
    }
    fn scrub(&self, host: &dyn Host, depth: ScrubDepth) -> Result<ScrubReport> {
        self.care(host, "scrub", &depth)
    }
    fn collect(&self, host: &dyn Host, options: &CollectOptions) -> Result<CollectReport> {
        self.care(host, "collect", options)
    }
    fn repair(&self, host: &dyn Host) -> Result<RepairReport> {
        self.care(host, "repair", &())
    }
    fn stats(&self, host: &dyn Host) -> Result<StoreStats> {
        self.care(host, "stats", &())
    }
    fn doctor(&self, host: &dyn Host) -> Result<DoctorReport> {
        self.care(host, "doctor", &())
    }
    fn check_clock(&self, host: &dyn Host) -> Result<()> {
        // Plugins of early versions cannot tell.
        self.care(host, "clock", &()).or_else(|e| if e.kind == ErrorKind::NotFound { Ok(()) } else { Err(e) })
    }
    fn close(&mut self) -> Result<()> {
        self.fallen.keep(self.callee.close(|raw| raw.close()));
        self.fallen.lock().take().map_or(Ok(()), Err)
    }
}

impl Drop for ForeignStore {
    fn drop(&mut self) {
        // Who did not close it, as where a run is interrupted, hears of it here.
        if let Err(error) = self.close() {
            error!(%error, "A store panicked at its end.");
        }
    }
}

struct ForeignWriter {
    callee: Callee<v1::CheckpointWriterBox>,
    fallen: Fallen,
}

impl CheckpointWriter for ForeignWriter {
    fn append(&mut self, file: &str, bytes: &[u8]) -> Result<()> {
        self.callee.call_mut(|raw| raw.append(file.into(), bytes.into()))
    }
    fn tensor(&mut self, tensor: &TensorView<'_>) -> Result<()> {
        self.callee.call_mut(|raw| raw.tensor(raw_tensor(*tensor)))
    }
    fn publish(&mut self) -> Result<CheckpointId> {
        let mut is_called = false;
        let res = self.callee.call_mut(|raw| {
            is_called = true;
            raw.commit()
        });
        // It may have panicked when all was stored. Who finds that it was hears of the panic when the store is closed.
        let id = res.map_err(|e| match e.kind {
            ErrorKind::Panicked if is_called => {
                self.fallen.lock().get_or_insert_with(|| e.clone());
                let help = format!(
                    "{}; the checkpoint may be stored all the same, which `modelwatch store log` tells; to store it again \
                     changes nothing then",
                    e.help
                );
                e.with_help(help)
            }
            _ => e,
        })?;
        CheckpointId::parse(&id)
    }
}

impl Drop for ForeignWriter {
    fn drop(&mut self) {
        self.fallen.keep(self.callee.close(|raw| raw.close()));
    }
}

struct ForeignReader {
    callee: Callee<v1::CheckpointReaderBox>,
    manifest: CheckpointManifest,
    fallen: Fallen,
}

impl CheckpointReader for ForeignReader {
    fn manifest(&self) -> &CheckpointManifest {
        &self.manifest
    }
    fn read(&self, file: &str, offset: u64, out: &mut [u8]) -> Result<usize> {
        let room = out.len();
        n_read(self.callee.call(|raw| raw.read(file.into(), offset, out.into()))?, room)
    }
    fn tensor(&self, name: &str) -> Result<Option<TensorView<'_>>> {
        self.callee.call(|raw| raw.tensor(name.into()))?.into_option().map(|it| tensor_view(&it)).transpose()
    }
    fn read_tensor(&self, name: &str, offset: u64, out: &mut [u8]) -> Result<usize> {
        let room = out.len();
        n_read(self.callee.call(|raw| raw.read_tensor(name.into(), offset, out.into()))?, room)
    }
}

impl Drop for ForeignReader {
    fn drop(&mut self) {
        self.fallen.keep(self.callee.close(|raw| raw.close()));
    }
}

fn n_read(n: u64, room: usize) -> Result<usize> {
    usize::try_from(n)
        .ok()
        .filter(|&it| it <= room)
        .ok_or_else(|| Error::input(format!("the store says it read {n} bytes into room for {room}")))
}

fn json<T: DeserializeOwned>(raw: v1::Fallible<RString>) -> Result<T> {
    parse(&raw.into_result()?)
}

/// Reads what a plugin says. The interface's number is of what crosses the boundary, and need not change with what its JSON
/// means before 1.0.
pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| {
        let help = "build it with this version's SDK";
        Error::input(format!("the plugin was built for another form of plugin interface {ABI_VERSION} ({e}); {help}"))
    })
}

fn with_host<T>(host: &dyn Host, call: impl FnOnce(&v1::HostRef<'_>) -> T) -> T {
    let lent = LentHost(host);
    call(&v1::Host_TO::from_ptr(RRef::new(&lent), TD_Opaque))
}

/// The host, as a library sees it for the length of one call.
struct LentHost<'a>(&'a dyn Host);

impl v1::Host for LentHost<'_> {
    fn log_level(&self) -> u8 {
        log_level()
    }
    fn log(&self, record: v1::LogRecord<'_>) {
        emit(record.level, &record.target, &record.fields, &record.message);
    }
    fn progress(&self, done: u64, total: u64) {
        self.0.progress(done, total);
    }
    fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
    fn infer(&self, model: RStr<'_>, input: v1::Batch) -> v1::Fallible<v1::Batch> {
        answer(|| batch::export(&self.0.exchange(&model, &batch::import(input)?)?))
    }
    fn call(&self, service: RStr<'_>, text: RStr<'_>) -> v1::Fallible<RString> {
        answer(|| Ok(self.0.call(&service, &parse(&text)?)?.to_string().into()))
    }
}

/// Returns up to which level somebody wants to hear events: 0 for none, 1 for errors, 5 for all.
pub(super) fn log_level() -> u8 {
    match LevelFilter::current().into_level() {
        None => 0,
        Some(tracing::Level::ERROR) => 1,
        Some(tracing::Level::WARN) => 2,
        Some(tracing::Level::INFO) => 3,
        Some(tracing::Level::DEBUG) => 4,
        Some(_) => 5,
    }
}

/// Passes an event of a plugin on; `fields` is a JSON object.
pub(super) fn emit(level: u8, plugin: &str, fields: &str, message: &str) {
    match level {
        1 => error!(target: TARGET, plugin, fields, "{message}"),
        2 => warn!(target: TARGET, plugin, fields, "{message}"),
        3 => info!(target: TARGET, plugin, fields, "{message}"),
        4 => debug!(target: TARGET, plugin, fields, "{message}"),
        _ => trace!(target: TARGET, plugin, fields, "{message}"),
    }
}

/// Keeps a panic of the host from crossing the boundary the other way.
fn answer<T>(code: impl FnOnce() -> Result<T>) -> v1::Fallible<T> {
    let res = catch_unwind(AssertUnwindSafe(code))
        .unwrap_or_else(|_| Err(Error::new(ErrorKind::Panicked, "the host panicked in a plugin's call")));
    match res {
        Ok(it) => RResult::ROk(it),
        Err(e) => RResult::RErr(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_that_says_it_in_another_form_is_to_be_built_again() {
        // As before the metrics had labels.
        let error = parse::<Needs>(r#"{ "metrics": ["accuracy"] }"#).unwrap_err().message;
        let interface = format!("built for another form of plugin interface {ABI_VERSION} ");
        assert!(error.contains(&interface) && error.ends_with("build it with this version's SDK"), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}
