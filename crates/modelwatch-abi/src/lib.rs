//! The binary interface between the modelwatch host and its plugins.
//!
//! Every item in [`v1`] is frozen once 1.0 is out: `abi_stable` refuses a plugin whose traits
//! or structs have fewer fields than the host expects, so that a new capability is a new
//! module, never a new field. Growth goes through JSON texts, [`v1::ErrorKind`]s,
//! [`v1::Host::call`], or the version byte of a probe's state.
//!
//! Nothing here is for plugin authors: they write safe Rust against `modelwatch-sdk`.
#![allow(non_local_definitions)] // `sabi_trait` expands to such impls on current compilers.
#![allow(missing_docs)] // `sabi_trait` and `StableAbi` generate undocumented public items.

pub mod v1;

/// What the host reads with plain `dlsym`, before it touches any `abi_stable` type.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeRecord {
    /// Always [`PROBE_MAGIC`].
    pub magic: [u8; 8],
    /// The plugin's [`ABI_VERSION`].
    pub abi: u32,
    /// 1 if the plugin was built with `panic = "unwind"`, without which no panic can be caught.
    pub panic_unwind: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

/// The number of the interface in this crate. It may move until 1.0.
pub const ABI_VERSION: u32 = 5;

/// The first eight bytes of every [`ProbeRecord`].
pub const PROBE_MAGIC: [u8; 8] = *b"mwplugin";

/// The exported symbol of the [`ProbeRecord`] is this, followed by the crate's name.
pub const PROBE_PREFIX: &str = "modelwatch_probe_";

/// The exported symbol of the root module's header is this, followed by the crate's name.
pub const ROOT_PREFIX: &str = "modelwatch_plugin_";
