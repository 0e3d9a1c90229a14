//! Plugins: found, checked, loaded, and wrapped in the ordinary traits.
//!
//! A component of a dynamic library and one that is linked in are both a [`Component`], and open
//! as the same `Box<dyn Probe>` or `Box<dyn CheckpointStore>`: nothing else can tell them apart. Nor a probe
//! in a process of its own: `isolated` has its instances here, `process` the process, `wire` what is
//! said, and `worker` the other side, where the library is loaded as it would be here.

mod callee;
mod catalog;
mod foreign;
mod held;
mod library;
mod listing;
mod opener;
mod unfinished;

#[cfg(unix)]
mod isolated;
#[cfg(unix)]
mod process;
#[cfg(unix)]
mod wire;
#[cfg(unix)]
mod worker;

pub use catalog::{Catalog, Component, LoadedPlugin, Lookup, SearchPath};
pub use library::{Refusal, RefusalKind};
pub use listing::{LISTING_FILE, Listing, ListingEntry};
pub use opener::{Opener, WorkerLimits, WorkerProgram};
pub use unfinished::Unfinished;
#[cfg(unix)]
pub use worker::serve_worker;

pub(crate) use foreign::{ForeignProbe, ForeignStore};
pub(crate) use held::HeldStore;
pub(crate) use library::{check_folder_permissions, check_permissions};
pub(crate) use opener::this_program;
