//! Zip archives as containers of other files: opened with bounds, read without a copy where nothing is packed.

use std::{
    fmt,
    io::{Cursor, Read},
    sync::{Arc, OnceLock},
};

use prost::bytes::Bytes;
use zip::{CompressionMethod, ZipArchive, result::ZipError};

use crate::error::{Site, TensorError};

const MAX_ENTRIES: usize = 100_000;
/// Deflate codes at most 258 bytes in two bits, so a greater ratio is a lie.
pub(crate) const MAX_RATIO: u64 = 1032;
const MAX_ENTRY: u64 = 16 << 30;
/// Beyond this, memory is only taken for bytes that are there.
const FIRST_RESERVE: usize = 16 << 20;

/// A zip archive in memory.
pub(crate) type Zip = ZipArchive<Cursor<Bytes>>;

/// The bytes of an entry that is stored as it is, with the checksum that the archive has for it.
///
/// The sum is computed when the first of the tensors inside is read, and kept.
pub(crate) struct Checksum {
    bytes: Bytes,
    expected: u32,
    found: OnceLock<u32>,
}

/// The content of an entry.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) bytes: Bytes,
    /// What remains to be verified; nothing after unpacking, which verifies.
    pub(crate) checksum: Option<Arc<Checksum>>,
}

/// Opens an archive whose entries are named once and share no bytes.
pub(crate) fn open(site: Site<'_>, bytes: &Bytes) -> Result<Zip, TensorError> {
    let damaged = |error: ZipError| site.corrupt("the archive", format!("is damaged: {error}"));
    let mut zip = ZipArchive::new(Cursor::new(bytes.clone())).map_err(damaged)?;
    if zip.len() > MAX_ENTRIES {
        let problem = format!("has {} entries", zip.len());
        return Err(site.limit("the archive", problem, MAX_ENTRIES as u64));
    }
    if zip.has_duplicate_names() {
        return Err(site.corrupt("the archive", "has two entries of one name"));
    }
    for name in zip.file_names() {
        let name = name.map_err(|error| site.corrupt("a name in the archive", error))?;
        if leads_out(&name) {
            let place = format!("entry `{}`", name.escape_debug());
            return Err(site.corrupt(place, "has a name that leads out of the folder that it is unpacked in"));
        }
    }
    // Entries that share bytes are how a small archive claims to hold a large one.
    if zip.has_overlapping_entries().map_err(damaged)? {
        return Err(site.corrupt("the archive", "has entries that overlap"));
    }
    Ok(zip)
}

/// Returns whether a name leads out of the folder that an archive is unpacked in, where whoever unpacks it takes it for a path.
pub(crate) fn leads_out(name: &str) -> bool {
    name.split(['/', '\\']).any(|it| it == "..")
}

/// Refuses sizes that deflate cannot reach, and those past the limit.
pub(crate) fn check_sizes(site: Site<'_>, place: &str, packed: u64, unpacked: u64) -> Result<(), TensorError> {
    if unpacked > MAX_ENTRY {
        return Err(site.limit(place, format!("takes {unpacked} bytes"), MAX_ENTRY));
    }
    // The first bytes cost a fixed overhead, so the ratio is only held against what comes after them.
    if unpacked / MAX_RATIO > packed {
        let problem = format!("claims to unpack {packed} bytes to {unpacked}");
        return Err(site.limit(place, problem, MAX_RATIO.saturating_mul(packed)));
    }
    Ok(())
}

/// Returns a slice of the archive and its checksum for an entry that is stored as it is, and `None` for others.
pub(crate) fn stored_content(
    site: Site<'_>,
    zip: &mut Zip,
    idx: usize,
    place: &str,
) -> Result<Option<(Bytes, Arc<Checksum>)>, TensorError> {
    let archive = zip.clone().into_inner().into_inner();
    let entry = zip.by_index(idx).map_err(|error| site.corrupt(place, format!("cannot be unpacked: {error}")))?;
    let size = entry.size();
    if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
        return Ok(None);
    }
    let range = entry.data_start().and_then(|start| {
        let end = usize::try_from(start.checked_add(size)?).ok()?;
        (size == entry.compressed_size() && end <= archive.len()).then_some(usize::try_from(start).ok()?..end)
    });
    let range = range.ok_or_else(|| site.corrupt(place, "lies outside the archive"))?;
    let bytes = archive.slice(range);
    let checksum = Checksum { bytes: bytes.clone(), expected: entry.crc32(), found: OnceLock::new() };
    Ok(Some((bytes, Arc::new(checksum))))
}

/// Returns the content of an entry: a slice of the archive if it is stored, and otherwise unpacked.
pub(crate) fn content(site: Site<'_>, zip: &mut Zip, idx: usize, place: &str) -> Result<Content, TensorError> {
    if let Some((bytes, checksum)) = stored_content(site, zip, idx, place)? {
        return Ok(Content { bytes, checksum: Some(checksum) });
    }
    let damaged = |error: &dyn fmt::Display| site.corrupt(place, format!("cannot be unpacked: {error}"));
    let entry = zip.by_index(idx).map_err(|error| damaged(&error))?;
    let size = entry.size();
    check_sizes(site, place, entry.compressed_size(), size)?;
    let want = usize::try_from(size).map_err(|error| damaged(&error))?;
    let bytes = unpack(entry, want).map_err(|error| damaged(&error))?;
    if bytes.len() != want {
        return Err(site.corrupt(place, format!("unpacks to {} bytes instead of {want}", bytes.len())));
    }
    Ok(Content { bytes: bytes.into(), checksum: None })
}

/// Returns the content of a small entry, verified.
pub(crate) fn small_content(site: Site<'_>, zip: &mut Zip, name: &str, max: u64) -> Result<Option<Bytes>, TensorError> {
    let place = format!("entry `{}`", name.escape_debug());
    let Some(idx) = zip.index_for_name(name) else { return Ok(None) };
    let size = zip.by_index(idx).map_err(|error| site.corrupt(&*place, error))?.size();
    if size > max {
        return Err(site.limit(place, format!("takes {size} bytes"), max));
    }
    let content = content(site, zip, idx, &place)?;
    if let Some(checksum) = &content.checksum {
        checksum.verify(site, &place)?;
    }
    Ok(Some(content.bytes))
}

/// Unpacks at most one byte more than wanted, so that the end and with it the checksum is reached.
pub(crate) fn unpack(reader: impl Read, want: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(want.min(FIRST_RESERVE));
    reader.take((want as u64).saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Checksum {
    /// Holds the bytes against the checksum.
    pub(crate) fn verify(&self, site: Site<'_>, place: &str) -> Result<(), TensorError> {
        let found = *self.found.get_or_init(|| crc32fast::hash(&self.bytes));
        if found == self.expected {
            return Ok(());
        }
        let problem =
            format!("is in an entry of the archive with checksum {found:#010x} instead of {:#010x}", self.expected);
        Err(site.corrupt(place, problem))
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checksum").field("expected", &self.expected).finish_non_exhaustive()
    }
}
