//! Plumbing behind [`export_plugin!`](crate::export_plugin): the ordinary traits as the raw ones.
#![allow(unsafe_code)]

use std::{mem, sync::OnceLock};

use abi_stable::{
    library::CheckTypeLayout,
    prefix_type::PrefixTypeTrait,
    sabi_extern_fn,
    std_types::{ROption, RResult, RSlice, RSliceMut, RStr, RString, RVec},
    type_level::downcasting::TD_Opaque,
};
use arrow_array::RecordBatch;
use modelwatch_abi::v1;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    batch,
    error::{Error, ErrorKind, Result},
    guard::{catch, guard},
    host::{Host, ModelRole},
    log_bridge,
    probe::{Probe, Role},
    registry::{Kind, Registry},
    store::{CheckpointId, CheckpointReader, CheckpointStore, CheckpointWriter},
    tensor::{DType, TensorView},
};

pub use abi_stable::library::{LibHeader, RootModuleResult};
pub use modelwatch_abi::{ProbeRecord, v1::PluginRef};

/// The record that the host reads before anything else.
pub const PROBE_RECORD: ProbeRecord = ProbeRecord {
    magic: modelwatch_abi::PROBE_MAGIC,
    abi: modelwatch_abi::ABI_VERSION,
    panic_unwind: cfg!(panic = "unwind") as u8,
    reserved: [0; 3],
};

/// Returns the header of a library whose root module `constructor` makes.
pub const fn header(constructor: extern "C" fn() -> RootModuleResult) -> LibHeader {
    // SAFETY: `export_plugin!` passes a constructor that erases a `PluginRef`.
    unsafe { LibHeader::from_constructor::<PluginRef>(constructor, CheckTypeLayout::Yes) }
}

/// Returns the erased root module.
pub fn load(root: fn() -> PluginRef) -> RootModuleResult {
    abi_stable::library::__call_root_module_loader(root)
}

/// Exports a plugin from the dynamic library that the crate is built as.
///
/// The argument is a function that returns a [`Registry`](crate::Registry). The exported symbols
/// carry the crate's name, so that plugins can also be linked into one binary.
#[macro_export]
macro_rules! export_plugin {
    ($registry:path) => {
        #[allow(unsafe_code)]
        const _: () = {
            #[unsafe(export_name = concat!("modelwatch_probe_", env!("CARGO_CRATE_NAME")))]
            pub static PROBE: $crate::export::ProbeRecord = $crate::export::PROBE_RECORD;
            #[unsafe(export_name = concat!("modelwatch_plugin_", env!("CARGO_CRATE_NAME")))]
            pub static ROOT: $crate::export::LibHeader = $crate::export::header(erased);
            extern "C" fn erased() -> $crate::export::RootModuleResult {
                $crate::export::load(|| $crate::export::root($registry))
            }
        };
    };
}

static REGISTRY: OnceLock<Result<Registry>> = OnceLock::new();

/// Returns the root module. Called once, by the host, when it loads the library.
pub fn root(registry: fn() -> Registry) -> PluginRef {
    log_bridge::install();
    REGISTRY.get_or_init(|| catch(|| Ok(registry())));
    v1::Plugin { manifest, store, probe }.leak_into_prefix()
}

fn registry() -> Result<&'static Registry> {
    match REGISTRY.get() {
        Some(it) => it.as_ref().map_err(Clone::clone),
        None => Err(Error::new(ErrorKind::Other, "the plugin was not initialized")),
    }
}

#[sabi_extern_fn]
fn manifest() -> v1::Fallible<RString> {
    guard(|| to_json(registry()?.manifest()), RString::from)
}

#[sabi_extern_fn]
fn store(component: RStr<'_>, config: RStr<'_>) -> v1::Fallible<v1::CheckpointStoreBox> {
    let open = || registry()?.open_store(&component, &parse(&config)?);
    guard(open, |it| v1::CheckpointStore_TO::from_value(Exported::new(it), TD_Opaque))
}

#[sabi_extern_fn]
fn probe(component: RStr<'_>, config: RStr<'_>) -> v1::Fallible<v1::ProbeBox> {
    let open = || {
        let (kind, name) = match component.split_once('/') {
            Some(("verifier", name)) => (Kind::Verifier, name),
            Some(("analyzer", name)) => (Kind::Analyzer, name),
            _ => return Err(Error::input(format!("`{component}` is neither verifier/… nor analyzer/…"))),
        };
        registry()?.open_probe(kind, name, &parse(&config)?)
    };
    guard(open, |it| v1::Probe_TO::from_value(Exported::new(it), TD_Opaque))
}

fn parse<T: DeserializeOwned>(json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(Error::input)
}

fn to_json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(Error::input)
}

/// A value of an ordinary trait until it is closed, or dropped without that: a panic of its `Drop` must not cross.
struct Exported<T>(Option<T>);

impl<T> Exported<T> {
    fn new(value: T) -> Self {
        Self(Some(value))
    }

    fn get(&self) -> Result<&T> {
        self.0.as_ref().ok_or_else(closed)
    }

    fn get_mut(&mut self) -> Result<&mut T> {
        self.0.as_mut().ok_or_else(closed)
    }

    fn close(&mut self) -> v1::Fallible<()> {
        guard(
            || {
                drop(self.0.take());
                Ok(())
            },
            |()| (),
        )
    }
}

impl<T> Drop for Exported<T> {
    fn drop(&mut self) {
        // Who did not close it does not want to know.
        drop(self.close());
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Other, "the instance is closed")
}

impl v1::Probe for Exported<Box<dyn Probe>> {
    fn needs(&self) -> v1::Fallible<RString> {
        guard(|| to_json(&self.get()?.needs()), RString::from)
    }
    fn update(&mut self, host: &v1::HostRef<'_>, role: RStr<'_>, batch: v1::Batch) -> v1::Fallible<()> {
        called(
            host,
            |host| {
                let batch = batch::import(batch)?;
                let role = Role::parse(&role).ok_or_else(|| Error::input(format!("unknown role `{role}`")))?;
                self.get_mut()?.update(host, role, &batch)
            },
            |()| (),
        )
    }
    fn update_tensor(&mut self, host: &v1::HostRef<'_>, role: RStr<'_>, tensor: v1::Tensor<'_>) -> v1::Fallible<()> {
        called(
            host,
            |host| {
                let role = ModelRole::parse(&role).ok_or_else(|| Error::input(format!("unknown role `{role}`")))?;
                self.get_mut()?.update_tensor(host, role, &tensor_view(&tensor)?)
            },
            |()| (),
        )
    }
    fn state(&mut self) -> v1::Fallible<RVec<u8>> {
        guard(|| self.get_mut()?.state(), RVec::from)
    }
    fn merge(&mut self, state: RSlice<'_, u8>) -> v1::Fallible<()> {
        guard(|| self.get_mut()?.merge(state.as_slice()), |()| ())
    }
    fn evaluate(&mut self, host: &v1::HostRef<'_>) -> v1::Fallible<RString> {
        called(host, |host| to_json(&self.get_mut()?.evaluate(host)?), RString::from)
    }
    fn close(&mut self) -> v1::Fallible<()> {
        self.close()
    }
}

impl v1::CheckpointStore for Exported<Box<dyn CheckpointStore>> {
    fn begin(
        &self,
        host: &v1::HostRef<'_>,
        lineage: RStr<'_>,
        metadata: RStr<'_>,
    ) -> v1::Fallible<v1::CheckpointWriterBox> {
        let begin = |host: &dyn Host| {
            let metadata = serde_json::from_str(&metadata).map_err(Error::input)?;
            self.get()?.begin(host, &lineage, &metadata)
        };
        called(host, begin, |it| v1::CheckpointWriter_TO::from_value(ExportedWriter::new(it), TD_Opaque))
    }
    fn open(&self, host: &v1::HostRef<'_>, id: RStr<'_>) -> v1::Fallible<v1::CheckpointReaderBox> {
        let open = |host: &dyn Host| self.get()?.open(host, &CheckpointId::parse(&id)?);
        called(host, open, |it| v1::CheckpointReader_TO::from_value(Exported::new(it), TD_Opaque))
    }
    fn lineages(&self) -> v1::Fallible<RString> {
        guard(|| to_json(&self.get()?.lineages()?), RString::from)
    }
    fn log(&self, lineage: RStr<'_>, after: u64, limit: u32) -> v1::Fallible<RString> {
        guard(|| to_json(&self.get()?.log(&lineage, after, limit)?), RString::from)
    }
    fn set_ref(
        &self,
        lineage: RStr<'_>,
        name: RStr<'_>,
        id: RStr<'_>,
        expected: ROption<RStr<'_>>,
        reason: RStr<'_>,
    ) -> v1::Fallible<()> {
        let set = || {
            let id = CheckpointId::parse(&id)?;
            let expected = expected.into_option().map(|it| CheckpointId::parse(&it)).transpose()?;
            self.get()?.set_ref(&lineage, &name, &id, expected.as_ref(), &reason)
        };
        guard(set, |()| ())
    }
    fn record_verdict(&self, lineage: RStr<'_>, id: RStr<'_>, verdict: RStr<'_>) -> v1::Fallible<()> {
        let record = || {
            let verdict = serde_json::from_str(&verdict).map_err(Error::input)?;
            self.get()?.record_verdict(&lineage, &CheckpointId::parse(&id)?, &verdict)
        };
        guard(record, |()| ())
    }
    fn unset_ref(&self, lineage: RStr<'_>, name: RStr<'_>, expected: RStr<'_>, reason: RStr<'_>) -> v1::Fallible<()> {
        guard(|| self.get()?.unset_ref(&lineage, &name, &CheckpointId::parse(&expected)?, &reason), |()| ())
    }
    fn remove(&self, lineage: RStr<'_>, ids: RStr<'_>, reason: RStr<'_>) -> v1::Fallible<()> {
        guard(|| self.get()?.remove(&lineage, &parse::<Vec<_>>(&ids)?, &reason), |()| ())
    }
    fn care(&self, host: &v1::HostRef<'_>, task: RStr<'_>, options: RStr<'_>) -> v1::Fallible<RString> {
        let care = |host: &dyn Host| match task.as_str() {
            "scrub" => to_json(&self.get()?.scrub(host, parse(&options)?)?),
            "collect" => to_json(&self.get()?.collect(host, &parse(&options)?)?),
            "repair" => to_json(&self.get()?.repair(host)?),
            "stats" => to_json(&self.get()?.stats(host)?),
            "doctor" => to_json(&self.get()?.doctor(host)?),
            "clock" => to_json(&self.get()?.check_clock(host)?),
            it => Err(Error::new(ErrorKind::NotFound, format!("a store does not know how to `{}`", it.escape_debug()))),
        };
        called(host, care, RString::from)
    }
    fn close(&mut self) -> v1::Fallible<()> {
        self.close()
    }
}

struct ExportedWriter {
    /// It goes in `close`: what its destructor does cannot hide whether the checkpoint is stored.
    writer: Exported<Box<dyn CheckpointWriter>>,
    /// Set before it is told to publish: nothing else is asked of it then, also where that failed.
    is_ended: bool,
}

impl ExportedWriter {
    fn new(writer: Box<dyn CheckpointWriter>) -> Self {
        Self { writer: Exported::new(writer), is_ended: false }
    }

    fn get_mut(&mut self) -> Result<&mut dyn CheckpointWriter> {
        if self.is_ended { Err(closed()) } else { Ok(self.writer.get_mut()?.as_mut()) }
    }

    fn publish(&mut self) -> Result<CheckpointId> {
        if mem::replace(&mut self.is_ended, true) { Err(closed()) } else { self.writer.get_mut()?.publish() }
    }
}

impl v1::CheckpointWriter for ExportedWriter {
    fn append(&mut self, file: RStr<'_>, bytes: RSlice<'_, u8>) -> v1::Fallible<()> {
        guard(|| self.get_mut()?.append(&file, bytes.as_slice()), |()| ())
    }
    fn tensor(&mut self, tensor: v1::Tensor<'_>) -> v1::Fallible<()> {
        guard(|| self.get_mut()?.tensor(&tensor_view(&tensor)?), |()| ())
    }
    fn commit(&mut self) -> v1::Fallible<RString> {
        guard(|| self.publish(), |id| RString::from(String::from(id)))
    }
    fn close(&mut self) -> v1::Fallible<()> {
        self.writer.close()
    }
}

impl v1::CheckpointReader for Exported<Box<dyn CheckpointReader>> {
    fn manifest(&self) -> v1::Fallible<RString> {
        guard(|| to_json(self.get()?.manifest()), RString::from)
    }
    fn read(&self, file: RStr<'_>, offset: u64, mut out: RSliceMut<'_, u8>) -> v1::Fallible<u64> {
        guard(|| self.get()?.read(&file, offset, out.as_mut_slice()), |it| it as u64)
    }
    fn tensor<'a>(&'a self, name: RStr<'_>) -> v1::Fallible<ROption<v1::Tensor<'a>>> {
        guard(|| self.get()?.tensor(&name), |it| it.map(raw_tensor).into())
    }
    fn read_tensor(&self, name: RStr<'_>, offset: u64, mut out: RSliceMut<'_, u8>) -> v1::Fallible<u64> {
        guard(|| self.get()?.read_tensor(&name, offset, out.as_mut_slice()), |it| it as u64)
    }
    fn close(&mut self) -> v1::Fallible<()> {
        self.close()
    }
}

/// Returns the raw form of a tensor.
pub fn raw_tensor(tensor: TensorView<'_>) -> v1::Tensor<'_> {
    v1::Tensor {
        name: tensor.name.into(),
        dtype: tensor.dtype.to_abi(),
        shape: tensor.shape.into(),
        bytes: tensor.bytes.into(),
    }
}

/// Returns the ordinary form of a tensor.
///
/// # Errors
/// When its type is unknown, or its bytes do not fit its shape.
pub fn tensor_view<'a>(raw: &v1::Tensor<'a>) -> Result<TensorView<'a>> {
    let (name, shape, bytes) = (raw.name.as_str(), raw.shape.as_slice(), raw.bytes.as_slice());
    let dtype = DType::from_abi(raw.dtype).ok_or_else(|| {
        Error::input(format!("tensor `{name}` has an unknown type (code {}, {} bits)", raw.dtype.code, raw.dtype.bits))
    })?;
    let wanted = shape.iter().try_fold(dtype.size() as u64, |product, &it| product.checked_mul(it));
    if wanted != Some(bytes.len() as u64) {
        return Err(Error::input(format!(
            "tensor `{name}` has {} bytes, which do not fit its shape {shape:?}",
            bytes.len()
        )));
    }
    Ok(TensorView { name, dtype, shape, bytes })
}

/// Runs a call that was lent a host: with its log bridge, and guarded.
fn called<T, U>(
    raw: &v1::HostRef<'_>,
    code: impl FnOnce(&dyn Host) -> Result<T>,
    ok: impl FnOnce(T) -> U,
) -> v1::Fallible<U> {
    log_bridge::with_host(raw, || guard(|| code(&ForeignHost(raw)), ok))
}

struct ForeignHost<'r, 'h>(&'r v1::HostRef<'h>);

impl Host for ForeignHost<'_, '_> {
    fn progress(&self, done: u64, total: u64) {
        self.0.progress(done, total);
    }
    fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
    fn exchange(&self, service: &str, rows: &RecordBatch) -> Result<RecordBatch> {
        match self.0.infer(service.into(), batch::export(rows)?) {
            RResult::ROk(it) => batch::import(it),
            RResult::RErr(e) => Err(e.into()),
        }
    }
    fn call(&self, service: &str, argument: &Value) -> Result<Value> {
        match self.0.call(service.into(), argument.to_string().as_str().into()) {
            RResult::ROk(it) => parse(&it),
            RResult::RErr(e) => Err(e.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use modelwatch_abi::v1::CheckpointWriter as _;

    use super::*;

    /// Takes everything.
    struct Taker;

    impl CheckpointWriter for Taker {
        fn append(&mut self, _: &str, _: &[u8]) -> Result<()> {
            Ok(())
        }
        fn tensor(&mut self, _: &TensorView<'_>) -> Result<()> {
            Ok(())
        }
        fn publish(&mut self) -> Result<CheckpointId> {
            CheckpointId::parse(&"0123456789abcdef".repeat(4))
        }
    }

    #[test]
    fn nothing_is_asked_of_a_writer_that_was_told_to_publish() {
        let mut writer = ExportedWriter::new(Box::new(Taker));
        assert!(writer.append("a".into(), b"1".as_slice().into()).is_ok() && writer.commit().is_ok());
        let tensor = raw_tensor(TensorView { name: "w", dtype: DType::U8, shape: &[1], bytes: &[1] });
        let again =
            [writer.append("a".into(), b"2".as_slice().into()), writer.tensor(tensor), writer.commit().map(drop)];
        for it in again {
            assert_eq!(it.unwrap_err().message.as_str(), "the instance is closed");
        }
        assert!(v1::CheckpointWriter::close(&mut writer).is_ok());
    }
}
