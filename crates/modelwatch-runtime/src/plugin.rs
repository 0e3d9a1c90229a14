//! Plugins: found, checked, loaded, and wrapped in the ordinary traits.
//!
//! A component of a dynamic library and one that is linked in are both a [`Component`], and open
//! as the same `Box<dyn Probe>` or `Box<dyn CheckpointStore>`: nothing else can tell them apart.

mod catalog;
mod foreign;
mod library;
mod listing;

pub use catalog::{Catalog, Component, LoadedPlugin, Lookup, SearchPath};
pub use library::{Refusal, RefusalKind};
pub use listing::{LISTING_FILE, Listing, ListingEntry};

pub(crate) use foreign::{ForeignProbe, ForeignStore};
