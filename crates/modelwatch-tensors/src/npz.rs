//! NPZ: NPY files in a zip archive.

use std::io::Read;

use prost::bytes::Bytes;

use crate::{
    archive::{self, Zip},
    catalog::{Catalog, Data, Lost, checked_len, length_mismatch, tensor},
    error::{Site, TensorError},
    npy::{self, NpyKind, NpyLayout, PREFIX},
    opaque::{Opaque, Run},
    tensor::TensorInfo,
};

/// Lists the arrays of an NPZ file.
pub(crate) fn read(site: Site<'_>, bytes: &Bytes) -> Result<Catalog, TensorError> {
    let mut archive = archive::open(site, bytes)?;
    let mut catalog = Catalog::default();
    for idx in 0..archive.len() {
        list_entry(site, &mut archive, idx, &mut catalog)?;
    }
    Ok(catalog)
}

fn list_entry(site: Site<'_>, archive: &mut Zip, idx: usize, catalog: &mut Catalog) -> Result<(), TensorError> {
    let mut entry =
        archive.by_index(idx).map_err(|error| site.corrupt(format!("entry {idx} of the archive"), error))?;
    let full_name = entry.name().map_err(|error| site.corrupt(format!("entry {idx}"), error))?.into_owned();
    let Some(name) = full_name.strip_suffix(".npy") else {
        catalog.skip(full_name, Lost::Nothing, "is not an NPY array");
        return Ok(());
    };
    let (packed, unpacked, checksum) = (entry.compressed_size(), entry.size(), entry.crc32());
    archive::check_sizes(site, &tensor(name), packed, unpacked)?;
    let mut prefix = Vec::new();
    entry
        .by_ref()
        .take(PREFIX as u64)
        .read_to_end(&mut prefix)
        .map_err(|error| site.corrupt(tensor(name), format!("cannot be unpacked: {error}")))?;
    drop(entry);
    match npy::parse_header(site, name, &prefix)? {
        NpyKind::NotNumeric { lost, reason, data_start, shape, element } => {
            let n_bytes = usize::try_from(unpacked.saturating_sub(data_start as u64)).unwrap_or(usize::MAX);
            let run = Run::Zipped { archive: archive.clone(), idx, start: data_start, n_bytes, checksum };
            catalog.skip_stored(name.to_owned(), lost, reason, Opaque { element, shape, run });
        }
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

/// How much of an entry is unpacked at a time.
const PIECE: usize = 256 << 10;

/// Which bytes of which entry the elements of an array are, after unpacking.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) idx: usize,
    pub(crate) start: usize,
    pub(crate) n_bytes: usize,
}

/// As [`read_entry`], of which only a piece is in memory at a time.
pub(crate) fn each_piece<E: From<TensorError>>(
    site: Site<'_>,
    archive: Zip,
    idx: usize,
    layout: NpyLayout,
    info: &TensorInfo,
    take: &mut dyn FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let n_bytes = checked_len(site, info)?;
    let place = Place { idx, start: layout.data_start, n_bytes };
    each_piece_of(site, archive, place, &info.name, &|found| length_mismatch(site, info, n_bytes, found), take)
}

/// Unpacks what is at a place, piece by piece; `differs` says that it is another number of bytes.
pub(crate) fn each_piece_of<E: From<TensorError>>(
    site: Site<'_>,
    mut archive: Zip,
    place: Place,
    name: &str,
    differs: &dyn Fn(usize) -> TensorError,
    take: &mut dyn FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let damaged = |error: &dyn std::fmt::Display| site.corrupt(tensor(name), format!("cannot be unpacked: {error}"));
    let mut entry = archive.by_index(place.idx).map_err(|error| damaged(&error))?;
    let mut piece = Vec::new();
    entry.by_ref().take(place.start as u64).read_to_end(&mut piece).map_err(|error| damaged(&error))?;
    let mut found = 0_usize;
    loop {
        piece.clear();
        entry.by_ref().take(PIECE as u64).read_to_end(&mut piece).map_err(|error| damaged(&error))?;
        found = found.saturating_add(piece.len());
        if found > place.n_bytes || (piece.is_empty() && found < place.n_bytes) {
            return Err(differs(found).into());
        }
        if piece.is_empty() {
            return Ok(());
        }
        take(&piece)?;
    }
}

/// Unpacks the elements of an entry, and with that has its CRC-32 verified.
pub(crate) fn read_entry(
    site: Site<'_>,
    mut archive: Zip,
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
    let bytes = archive::unpack(entry, want).map_err(|error| damaged(&error))?;
    if bytes.len() != want {
        return Err(length_mismatch(site, info, want, bytes.len()));
    }
    Ok(bytes)
}
