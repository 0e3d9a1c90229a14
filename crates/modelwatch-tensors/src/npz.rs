//! NPZ: NPY files in a zip archive.

use std::io::{Cursor, Read};

use prost::bytes::Bytes;
use zip::{ZipArchive, result::ZipError};

use crate::{
    catalog::{Catalog, Data, checked_len, length_mismatch, tensor},
    error::{Site, TensorError},
    npy::{self, NpyKind, NpyLayout, PREFIX},
    tensor::TensorInfo,
};

const MAX_ENTRIES: usize = 100_000;
/// Deflate codes at most 258 bytes in two bits, so a greater ratio is a lie.
const MAX_RATIO: u64 = 1032;
const MAX_ENTRY: u64 = 16 << 30;
/// Beyond this, memory is only taken for bytes that are there.
const FIRST_RESERVE: usize = 16 << 20;

/// Lists the arrays of an NPZ file.
pub(crate) fn read(site: Site<'_>, bytes: &Bytes) -> Result<Catalog, TensorError> {
    let archive_error = |error: ZipError| site.corrupt("the archive", format!("is damaged: {error}"));
    let mut archive = ZipArchive::new(Cursor::new(bytes.clone())).map_err(archive_error)?;
    if archive.len() > MAX_ENTRIES {
        let problem = format!("has {} entries", archive.len());
        return Err(site.limit("the archive", problem, MAX_ENTRIES as u64));
    }
    if archive.has_duplicate_names() {
        return Err(site.corrupt("the archive", "has two entries of one name"));
    }
    // Entries that share bytes are how a small archive claims to hold a large one.
    if archive.has_overlapping_entries().map_err(archive_error)? {
        return Err(site.corrupt("the archive", "has entries that overlap"));
    }
    let mut catalog = Catalog::default();
    for idx in 0..archive.len() {
        list_entry(site, &mut archive, idx, &mut catalog)?;
    }
    Ok(catalog)
}

fn list_entry(
    site: Site<'_>,
    archive: &mut ZipArchive<Cursor<Bytes>>,
    idx: usize,
    catalog: &mut Catalog,
) -> Result<(), TensorError> {
    let mut entry =
        archive.by_index(idx).map_err(|error| site.corrupt(format!("entry {idx} of the archive"), error))?;
    let full_name = entry.name().map_err(|error| site.corrupt(format!("entry {idx}"), error))?.into_owned();
    let Some(name) = full_name.strip_suffix(".npy") else {
        catalog.skip(full_name, "is not an NPY array");
        return Ok(());
    };
    let (packed, unpacked) = (entry.compressed_size(), entry.size());
    if unpacked > MAX_ENTRY {
        return Err(site.limit(tensor(name), format!("takes {unpacked} bytes"), MAX_ENTRY));
    }
    // The first bytes cost a fixed overhead, so the ratio is only held against what comes after them.
    if unpacked / MAX_RATIO > packed {
        let problem = format!("claims to unpack {packed} bytes to {unpacked}");
        return Err(site.limit(tensor(name), problem, MAX_RATIO.saturating_mul(packed)));
    }
    let mut prefix = Vec::new();
    entry
        .by_ref()
        .take(PREFIX as u64)
        .read_to_end(&mut prefix)
        .map_err(|error| site.corrupt(tensor(name), format!("cannot be unpacked: {error}")))?;
    drop(entry);
    match npy::parse_header(site, name, &prefix)? {
        NpyKind::NotNumeric { reason } => catalog.skip(name, reason),
        NpyKind::Tensor { info, layout } => {
            let want = checked_len(site, &info)?;
            let found = unpacked.saturating_sub(layout.data_start as u64);
            if found != want as u64 {
                return Err(length_mismatch(site, &info, want, usize::try_from(found).unwrap_or(usize::MAX)));
            }
            catalog.add(info, Data::Zipped { archive: archive.clone(), idx, layout });
        }
    }
    Ok(())
}

/// Unpacks the elements of an entry, and with that has its CRC-32 verified.
pub(crate) fn read_entry(
    site: Site<'_>,
    mut archive: ZipArchive<Cursor<Bytes>>,
    idx: usize,
    layout: NpyLayout,
    info: &TensorInfo,
) -> Result<Vec<u8>, TensorError> {
    let damaged =
        |error: &dyn std::fmt::Display| site.corrupt(tensor(&info.name), format!("cannot be unpacked: {error}"));
    let want = checked_len(site, info)?;
    let mut entry = archive.by_index(idx).map_err(|error| damaged(&error))?;
    let mut header = Vec::new();
    entry.by_ref().take(layout.data_start as u64).read_to_end(&mut header).map_err(|error| damaged(&error))?;
    let mut bytes = Vec::with_capacity(want.min(FIRST_RESERVE));
    // One byte more than wanted is asked for, so that the end and with it the checksum is reached.
    entry.take((want as u64).saturating_add(1)).read_to_end(&mut bytes).map_err(|error| damaged(&error))?;
    if bytes.len() != want {
        return Err(length_mismatch(site, info, want, bytes.len()));
    }
    Ok(bytes)
}
