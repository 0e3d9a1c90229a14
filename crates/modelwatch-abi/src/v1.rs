//! Version 1 of the interface.
//!
//! Control data (ids, errors, configuration, reports) crosses as strings and JSON texts, rows as
//! the structs of the Arrow C Data Interface, tensors as borrowed slices, partial states as bytes.

use std::ffi::{c_char, c_void};

use abi_stable::{
    StableAbi, declare_root_module_statics,
    library::RootModule,
    sabi_trait,
    sabi_types::{RRef, VersionStrings},
    std_types::{RArc, RBox, ROption, RResult, RSlice, RSliceMut, RStr, RString, RVec},
};

/// The result of every call that can fail.
pub type Fallible<T> = RResult<T, Error>;

/// What kind of failure it was: an open set, so that a new kind needs no new interface.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorKind(pub u32);

impl ErrorKind {
    /// None of the others.
    pub const OTHER: Self = Self(0);
    /// The configuration is at fault.
    pub const CONFIG: Self = Self(1);
    /// The data, tensor or state that was handed over is at fault.
    pub const INPUT: Self = Self(2);
    /// A file or device failed.
    pub const IO: Self = Self(3);
    /// What was asked for does not exist.
    pub const NOT_FOUND: Self = Self(4);
    /// What is there now is in the way, and is so the next time, too.
    pub const CONFLICT: Self = Self(5);
    /// The host asked for an end.
    pub const CANCELLED: Self = Self(6);
    /// The plugin panicked; the instance must not be used again.
    pub const PANICKED: Self = Self(7);
    /// Stored bytes are not what was written.
    pub const CORRUPT: Self = Self(8);
    /// It may have happened or not; looking again tells.
    pub const UNCERTAIN: Self = Self(9);
    /// The device is full.
    pub const NO_SPACE: Self = Self(10);
    /// It was removed while it was used.
    pub const GONE: Self = Self(11);
    /// The device does not give a stored file back.
    pub const UNREADABLE: Self = Self(12);
    /// Other writers were faster each time it was tried; nothing was changed.
    pub const BUSY: Self = Self(13);
    /// Rows that were handed over together influence each other.
    pub const MIXED_ROWS: Self = Self(14);
}

/// A failure, as it crosses the boundary.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct Error {
    pub kind: ErrorKind,
    pub message: RString,
    /// A JSON pointer into the component's configuration, or empty.
    pub path: RString,
    /// What to do about it, or empty.
    pub help: RString,
}

/// `struct ArrowArray` of the Arrow C Data Interface.
#[repr(C)]
#[derive(StableAbi)]
pub struct ArrowArray {
    pub length: i64,
    pub null_count: i64,
    pub offset: i64,
    pub n_buffers: i64,
    pub n_children: i64,
    pub buffers: *mut *const c_void,
    pub children: *mut *mut c_void,
    pub dictionary: *mut c_void,
    pub release: Option<unsafe extern "C" fn(*mut c_void)>,
    pub private_data: *mut c_void,
}

/// `struct ArrowSchema` of the Arrow C Data Interface, which releases itself.
///
/// The batches that have it share it, so it is only read: nobody takes its children out of it.
#[repr(C)]
#[derive(StableAbi)]
pub struct ArrowSchema {
    pub format: *const c_char,
    pub name: *const c_char,
    pub metadata: *const c_char,
    pub flags: i64,
    pub n_children: i64,
    pub children: *mut *mut c_void,
    pub dictionary: *mut c_void,
    pub release: Option<unsafe extern "C" fn(*mut c_void)>,
    pub private_data: *mut c_void,
}

// SAFETY: the C Data Interface permits a move to another thread, and nobody changes what is shared.
unsafe impl Send for ArrowSchema {}
// SAFETY: as above.
unsafe impl Sync for ArrowSchema {}

impl Drop for ArrowSchema {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: its producer's callback, which is called once: it sets itself to none.
            unsafe { release(std::ptr::from_mut(self).cast()) };
        }
    }
}

/// A record batch: a struct array without an offset, no row of which is missing. Whoever holds it releases the array.
///
/// The producer gives batches of one schema the same one, so that the consumer need not read it again.
#[repr(C)]
#[derive(StableAbi)]
pub struct Batch {
    pub array: ArrowArray,
    pub schema: RArc<ArrowSchema>,
}

// SAFETY: the C Data Interface permits a move to another thread.
unsafe impl Send for Batch {}

/// DLPack's `(code, bits)` pair, so that no enum of ours can go stale.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataType {
    pub code: u8,
    pub bits: u8,
}

/// A dense, row-major, little-endian tensor, borrowed for the length of one call.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct Tensor<'a> {
    pub name: RStr<'a>,
    pub dtype: DataType,
    pub shape: RSlice<'a, u64>,
    pub bytes: RSlice<'a, u8>,
}

/// One log event of a plugin.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct LogRecord<'a> {
    /// 1 error, 2 warn, 3 info, 4 debug, 5 trace.
    pub level: u8,
    pub target: RStr<'a>,
    pub message: RStr<'a>,
    /// A JSON object.
    pub fields: RStr<'a>,
}

/// What the host lends to a plugin during a call.
#[sabi_trait]
pub trait Host: Send + Sync {
    fn log_level(&self) -> u8;
    fn log(&self, record: LogRecord<'_>);
    fn progress(&self, done: u64, total: u64);
    fn is_cancelled(&self) -> bool;
    /// Runs `candidate` or `baseline` on a batch of model inputs, or gives the batch to another named service.
    fn infer(&self, model: RStr<'_>, input: Batch) -> Fallible<Batch>;
    /// Room to grow: a named service that takes and returns JSON.
    #[sabi(last_prefix_field)]
    fn call(&self, service: RStr<'_>, json: RStr<'_>) -> Fallible<RString>;
}

/// A borrowed [`Host`].
pub type HostRef<'a> = Host_TO<'a, RRef<'a, ()>>;

/// A verifier or an analyzer: a mergeable fold over rows and tensors.
#[sabi_trait]
pub trait Probe: Send {
    /// JSON: what the host has to read, infer and map for this instance.
    fn needs(&self) -> Fallible<RString>;
    fn update(&mut self, host: &HostRef<'_>, role: RStr<'_>, batch: Batch) -> Fallible<()>;
    fn update_tensor(&mut self, host: &HostRef<'_>, role: RStr<'_>, tensor: Tensor<'_>) -> Fallible<()>;
    /// The partial state; its first byte is its version.
    fn state(&mut self) -> Fallible<RVec<u8>>;
    fn merge(&mut self, state: RSlice<'_, u8>) -> Fallible<()>;
    /// JSON: metrics, checks, findings, figures, gaps.
    fn evaluate(&mut self, host: &HostRef<'_>) -> Fallible<RString>;
    /// Drops the instance, so that a panic of its destructor can be told. Nothing but the drop of the box comes after it.
    #[sabi(last_prefix_field)]
    fn close(&mut self) -> Fallible<()>;
}

/// An owned [`Probe`].
pub type ProbeBox = Probe_TO<'static, RBox<()>>;

/// Writes one checkpoint. Dropping it without `commit` leaves nothing behind.
#[sabi_trait]
pub trait CheckpointWriter: Send {
    /// Appends to the file of that name.
    fn append(&mut self, file: RStr<'_>, bytes: RSlice<'_, u8>) -> Fallible<()>;
    fn tensor(&mut self, tensor: Tensor<'_>) -> Fallible<()>;
    /// Atomic and durable: readers see all of it or nothing. Returns the id.
    fn commit(&mut self) -> Fallible<RString>;
    /// Drops the instance, so that a panic of its destructor can be told. Nothing but the drop of the box comes after it.
    #[sabi(last_prefix_field)]
    fn close(&mut self) -> Fallible<()>;
}

/// An owned [`CheckpointWriter`].
pub type CheckpointWriterBox = CheckpointWriter_TO<'static, RBox<()>>;

/// Reads one checkpoint. No byte is handed out before its digest was checked.
#[sabi_trait]
pub trait CheckpointReader: Send + Sync {
    /// JSON: id, lineage, metadata, files, tensors.
    fn manifest(&self) -> Fallible<RString>;
    /// Fills `out` from `offset` of a file and returns how many bytes were read.
    fn read(&self, file: RStr<'_>, offset: u64, out: RSliceMut<'_, u8>) -> Fallible<u64>;
    /// A named tensor, borrowed from the reader.
    fn tensor<'a>(&'a self, name: RStr<'_>) -> Fallible<ROption<Tensor<'a>>>;
    /// As `read`, of the bytes of a tensor.
    fn read_tensor(&self, name: RStr<'_>, offset: u64, out: RSliceMut<'_, u8>) -> Fallible<u64>;
    /// Drops the instance, so that a panic of its destructor can be told. Nothing but the drop of the box comes after it.
    #[sabi(last_prefix_field)]
    fn close(&mut self) -> Fallible<()>;
}

/// An owned [`CheckpointReader`].
pub type CheckpointReaderBox = CheckpointReader_TO<'static, RBox<()>>;

/// Keeps checkpoints and refs. Checkpoints are immutable; only refs move.
#[sabi_trait]
pub trait CheckpointStore: Send + Sync {
    /// `metadata` is a JSON object.
    fn begin(&self, host: &HostRef<'_>, lineage: RStr<'_>, metadata: RStr<'_>) -> Fallible<CheckpointWriterBox>;
    fn open(&self, host: &HostRef<'_>, id: RStr<'_>) -> Fallible<CheckpointReaderBox>;
    /// JSON: the names of all lineages.
    fn lineages(&self) -> Fallible<RString>;
    /// JSON: at most `limit` entries of the lineage's log after sequence number `after`.
    fn log(&self, lineage: RStr<'_>, after: u64, limit: u32) -> Fallible<RString>;
    /// Compare and swap: `CONFLICT` unless the ref is at `expected`.
    fn set_ref(
        &self,
        lineage: RStr<'_>,
        name: RStr<'_>,
        id: RStr<'_>,
        expected: ROption<RStr<'_>>,
        reason: RStr<'_>,
    ) -> Fallible<()>;
    /// Appends a verdict (JSON) on a checkpoint to the log.
    fn record_verdict(&self, lineage: RStr<'_>, id: RStr<'_>, verdict: RStr<'_>) -> Fallible<()>;
    /// Compare and swap: `CONFLICT` unless the ref is at `expected`.
    fn unset_ref(&self, lineage: RStr<'_>, name: RStr<'_>, expected: RStr<'_>, reason: RStr<'_>) -> Fallible<()>;
    /// Marks checkpoints (JSON: a list of ids) as removed, all or none.
    fn remove(&self, lineage: RStr<'_>, ids: RStr<'_>, reason: RStr<'_>) -> Fallible<()>;
    /// `scrub`, `collect`, `repair`, `stats`, `doctor` or `clock`, with options and a report in JSON. `NOT_FOUND`
    /// for a task that the plugin does not know.
    fn care(&self, host: &HostRef<'_>, task: RStr<'_>, options: RStr<'_>) -> Fallible<RString>;
    /// Drops the instance, so that a panic of its destructor can be told. Nothing but the drop of the box comes after it.
    #[sabi(last_prefix_field)]
    fn close(&mut self) -> Fallible<()>;
}

/// An owned [`CheckpointStore`].
pub type CheckpointStoreBox = CheckpointStore_TO<'static, RBox<()>>;

/// The root module of a plugin.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginRef)))]
pub struct Plugin {
    /// JSON: name, version, sdk, components with kind, configuration schema and docs.
    pub manifest: extern "C" fn() -> Fallible<RString>,
    /// Opens a store; `config` is a JSON object.
    pub store: extern "C" fn(component: RStr<'_>, config: RStr<'_>) -> Fallible<CheckpointStoreBox>,
    /// Opens a verifier or an analyzer; `config` is a JSON object.
    #[sabi(last_prefix_field)]
    pub probe: extern "C" fn(component: RStr<'_>, config: RStr<'_>) -> Fallible<ProbeBox>,
}

impl RootModule for PluginRef {
    declare_root_module_statics! {PluginRef}
    const BASE_NAME: &'static str = "modelwatch_plugin";
    const NAME: &'static str = "modelwatch_plugin";
    const VERSION_STRINGS: VersionStrings = VersionStrings::new(env!("CARGO_PKG_VERSION"));
}
