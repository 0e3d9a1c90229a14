//! The keys under which a store keeps its files.

use crate::format::Digest;

/// What kind of store this is.
pub const STORE_FILE: &str = "store.json";
/// The log of the store itself, whose name no lineage can have.
pub(crate) const STORE_LOG: &str = ".store";
/// A key that no file has. Of a place that is away nobody can tell that.
pub(crate) const NEVER: &str = "never";

pub(crate) fn manifest(digest: Digest) -> String {
    sharded("manifests", digest, "json")
}

pub(crate) fn pack(digest: Digest) -> String {
    sharded("packs", digest, "pack")
}

/// A list of what a garbage collection condemns.
pub(crate) fn condemned(digest: Digest) -> String {
    sharded("gc", digest, "json")
}

pub(crate) fn log(lineage: &str) -> String {
    format!("log/{lineage}")
}

pub(crate) fn entry(lineage: &str, seq: u64) -> String {
    format!("log/{lineage}/{seq:020}.json")
}

/// The entries up to and including `seq` once more, in one file.
pub(crate) fn segment(lineage: &str, seq: u64) -> String {
    format!("log/{lineage}/{seq:020}.segment")
}

fn sharded(folder: &str, digest: Digest, extension: &str) -> String {
    let name = digest.to_string();
    format!("{folder}/{}/{name}.{extension}", &name[..2])
}
