//! The archive of `torch.save`: `data.pkl`, and `data/<key>` for each storage.

use std::{collections::HashMap, sync::Arc};

use prost::bytes::Bytes;

use super::{
    names::{Named, flatten},
    pickle::{self, PickleError, Storage, View},
    scan,
};
use crate::{
    archive::{self, Checksum, Zip},
    catalog::{Catalog, Data, Lost, checked_len, length_mismatch, tensor},
    dtype::DType,
    error::{Site, TensorError},
    npy::NpyLayout,
    strided::Strides,
    tensor::TensorInfo,
};

const PICKLE: &str = "data.pkl";
const MAX_PICKLE: u64 = 64 << 20;
/// A view may repeat elements of its storage; more than this is only there to fill memory.
const MAX_REPEATED: usize = 16 << 20;
const REMEDY: &str = "save the state_dict alone, or save it as safetensors";

/// Lists the tensors of a checkpoint under dotted names, and notes its plain values.
pub(crate) fn read(site: Site<'_>, bytes: &Bytes) -> Result<Catalog, TensorError> {
    let mut zip = archive::open(site, bytes)?;
    let folder = folder(site, &zip)?;
    if zip.index_for_name(&format!("{folder}constants.pkl")).is_some() {
        return Err(site.unsupported("it is TorchScript, which is code", REMEDY));
    }
    let pickle = archive::small_content(site, &mut zip, &format!("{folder}{PICKLE}"), MAX_PICKLE)?.unwrap_or_default();
    let is_big_endian = is_big_endian(site, &mut zip, &folder)?;
    let values = pickle::read(&pickle).map_err(|error| match error {
        PickleError::Broken { offset, problem } => site.corrupt(format!("{PICKLE} at offset {offset}"), problem),
        PickleError::Refused(reason) => refused(site, reason, &pickle),
        PickleError::TooLarge { limit } => site.limit(PICKLE, "has more operations", limit as u64),
    })?;
    let parts = flatten(&values).map_err(|(problem, limit)| site.limit(PICKLE, problem, limit as u64))?;
    let mut storages = Storages { site, zip, folder, is_big_endian, known: HashMap::new() };
    let mut catalog = Catalog::default();
    for part in parts {
        match part {
            Named::Tensor(name, view) => {
                // Only what was saved as one tensor has no name of its own.
                let name = if name.is_empty() { stem(site) } else { name };
                add(site, name, view, &mut storages, &mut catalog)?;
            }
            Named::Scalar(name, value) => catalog.note(&name, value),
            Named::Skipped(name, lost, reason) => catalog.skip(name, lost, reason),
        }
    }
    catalog.note("framework", "pytorch");
    Ok(catalog)
}

/// Modules by which a pickle reaches the operating system.
const SYSTEM: [&str; 18] = [
    "os",
    "posix",
    "nt",
    "subprocess",
    "_posixsubprocess",
    "sys",
    "runpy",
    "socket",
    "pty",
    "shutil",
    "ctypes",
    "importlib",
    "commands",
    "webbrowser",
    "timeit",
    "pdb",
    "bdb",
    "multiprocessing.util",
];
const BUILTINS: [&str; 2] = ["builtins", "__builtin__"];
const EXECUTE: [&str; 4] = ["eval", "exec", "execfile", "__import__"];

/// Tells a pickle that only names classes from one that wants more.
fn refused(site: Site<'_>, reason: String, pickle: &[u8]) -> TensorError {
    let name = reason.strip_prefix("its pickle wants `").and_then(|it| it.strip_suffix("`, which is code"));
    let Some(name) = name.filter(|_| !names_the_system(pickle)).map(str::to_owned) else {
        return site.unsupported(reason, REMEDY);
    };
    TensorError::Class { path: site.path.to_owned(), format: site.format, name, remedy: REMEDY }
}

/// Returns whether there are such names anywhere in a pickle, which is read no further than to its first name of code.
fn names_the_system(pickle: &[u8]) -> bool {
    let has = |name: &&str| is_text_of(pickle, name.as_bytes());
    let is_written = SYSTEM.iter().any(has) || (BUILTINS.iter().any(has) && EXECUTE.iter().any(has));
    is_written || scan::names(pickle, reaches_the_system)
}

/// The same of a name that may be written in any way.
fn reaches_the_system(module: &str, name: &str) -> bool {
    let is_below = |it: &&str| module.strip_prefix(*it).is_some_and(|it| it.is_empty() || it.starts_with('.'));
    SYSTEM.iter().any(is_below) || (BUILTINS.contains(&module) && EXECUTE.contains(&name))
}

/// Returns whether it is a whole text in a pickle: behind its length, or on a line.
fn is_text_of(pickle: &[u8], name: &[u8]) -> bool {
    let len = name.len() as u64;
    pickle.windows(name.len()).enumerate().any(|(at, it)| {
        if it != name {
            return false;
        }
        let (before, after) = (&pickle[..at], &pickle[at + name.len()..]);
        let is_on_line = matches!(before.last(), Some(b'c' | b'i' | b'V' | b'\'' | b'"' | b'\n'))
            && matches!(after.first(), Some(b'\n' | b'\'' | b'"'));
        let is_counted = before.ends_with(&[len as u8])
            || before.ends_with(&(len as u32).to_le_bytes())
            || before.ends_with(&len.to_le_bytes());
        is_on_line || is_counted
    })
}

/// Returns the folder that everything in the archive is in, with the slash.
fn folder(site: Site<'_>, zip: &Zip) -> Result<String, TensorError> {
    for name in zip.file_names() {
        let name = name.map_err(|error| site.corrupt("a name in the archive", error))?;
        match name.strip_suffix(PICKLE) {
            Some(folder) if folder.ends_with('/') && folder.matches('/').count() == 1 => return Ok(folder.to_owned()),
            _ => {}
        }
    }
    Err(site.corrupt("the archive", format!("has no entry `<name>/{PICKLE}`")))
}

fn is_big_endian(site: Site<'_>, zip: &mut Zip, folder: &str) -> Result<bool, TensorError> {
    const MAX: u64 = 64;
    match archive::small_content(site, zip, &format!("{folder}byteorder"), MAX)?.as_deref() {
        None | Some(b"little") => Ok(false),
        Some(b"big") => Ok(true),
        Some(_) => Err(site.corrupt("byteorder", "is neither little nor big")),
    }
}

fn stem(site: Site<'_>) -> String {
    site.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn add(
    site: Site<'_>,
    name: String,
    view: &View,
    storages: &mut Storages<'_>,
    catalog: &mut Catalog,
) -> Result<(), TensorError> {
    let Some(dtype) = view.element.dtype else {
        let lost = if view.element.name.starts_with('q') { Lost::Finite } else { Lost::Numbers };
        let reason = format!("has element type torch.{}, which is not supported", view.element.name);
        catalog.skip(name, lost, reason);
        return Ok(());
    };
    let info = TensorInfo { name, dtype, shape: view.shape.clone() };
    let n_bytes = checked_len(site, &info)?;
    let (bytes, checksum) = storages.get(&info, &view.storage)?;
    let strides = strides(view).filter(|it| {
        let end = it.end(&info.shape).and_then(|end| end.checked_mul(dtype.size()));
        end.is_some_and(|end| end <= bytes.len())
    });
    let Some(strides) = strides else {
        let problem = format!("reaches past its storage, which has {} bytes", bytes.len());
        return Err(site.corrupt(tensor(&info.name), problem));
    };
    let layout = NpyLayout::row_major(storages.is_big_endian);
    let inner = if n_bytes == 0 {
        Data::Ready(Bytes::new())
    } else if strides.is_row_major(&info.shape) {
        let start = strides.offset * dtype.size();
        Data::Npy { bytes: bytes.slice(start..start + n_bytes), layout }
    } else if n_bytes > bytes.len().max(MAX_REPEATED) {
        let problem = format!("repeats {} bytes to {n_bytes}", bytes.len());
        return Err(site.limit(tensor(&info.name), problem, MAX_REPEATED as u64));
    } else {
        Data::Strided { bytes, strides, layout }
    };
    catalog.add(info, Data::Guarded { checksum, inner: Box::new(inner) });
    Ok(())
}

fn strides(view: &View) -> Option<Strides> {
    let steps: Result<Vec<usize>, _> = view.strides.iter().map(|&it| usize::try_from(it)).collect();
    Some(Strides { offset: usize::try_from(view.offset).ok()?, steps: steps.ok()? })
}

/// The storages of an archive, each looked up once, because tensors share them.
struct Storages<'a> {
    site: Site<'a>,
    zip: Zip,
    folder: String,
    is_big_endian: bool,
    known: HashMap<String, (Bytes, Arc<Checksum>)>,
}

impl Storages<'_> {
    fn get(&mut self, info: &TensorInfo, storage: &Storage) -> Result<(Bytes, Arc<Checksum>), TensorError> {
        let place = tensor(&info.name);
        if !self.known.contains_key(&storage.key) {
            let found = self.find(&place, &storage.key)?;
            self.known.insert(storage.key.clone(), found);
        }
        let (bytes, checksum) = &self.known[&storage.key];
        let want = storage.len.checked_mul(storage.element.size as u64);
        if want != Some(bytes.len() as u64) {
            let whole = TensorInfo {
                name: info.name.clone(),
                dtype: storage.element.dtype.unwrap_or(DType::U8),
                shape: vec![storage.len],
            };
            let want = want.and_then(|it| usize::try_from(it).ok()).unwrap_or(usize::MAX);
            return Err(length_mismatch(self.site, &whole, want, bytes.len()));
        }
        Ok((bytes.clone(), Arc::clone(checksum)))
    }

    fn find(&mut self, place: &str, key: &str) -> Result<(Bytes, Arc<Checksum>), TensorError> {
        let entry = format!("{}data/{key}", self.folder);
        let Some(idx) = self.zip.index_for_name(&entry) else {
            let problem = format!("is in storage `{}`, which is not there", key.escape_debug());
            return Err(self.site.corrupt(place, problem));
        };
        let content = archive::stored_content(self.site, &mut self.zip, idx, place)?;
        content.ok_or_else(|| self.site.unsupported("its entries are compressed", "write it with torch.save"))
    }
}
