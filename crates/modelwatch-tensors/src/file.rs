//! Opens a file or folder and hands out its tensors.

use std::{
    iter,
    ops::Range,
    path::{Path, PathBuf},
};

use prost::bytes::Bytes;
use serde_json::{Map, Value};

use crate::{
    catalog::{Catalog, Data, Listing, Skipped},
    error::{Site, TensorError},
    find::find_weights_in,
    format::{Format, SAVED_MODEL_FILE},
    hdf5, keras,
    mmap::{all_whole, uncut, watched, whole},
    npy, npz, onnx, pytorch, safetensors_file, sharded,
    sibling::map_sibling,
    tensor::{Tensor, TensorInfo},
    tensorflow, tflite,
    tree::Tree,
};

/// The named tensors of a checkpoint or model.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    format: Format,
    listing: Listing,
    /// See [`Self::extents`].
    extents: Vec<Range<u64>>,
    /// The file in which the tensors are listed.
    bytes: Bytes,
}

impl TensorFile {
    /// Opens a file, or what [`find_weights`](crate::find_weights) finds in a folder, and checks its structure.
    ///
    /// Values are neither read nor, where the format has checksums, verified before [`Self::get`].
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read, is damaged, names a tensor twice, or has a format that is not read.
    pub fn open(path: &Path) -> Result<Self, TensorError> {
        let res = watched(|| Self::open_in(Tree::Disk, path))?;
        res.check()?;
        Ok(res)
    }

    /// As [`Self::open`], wherever the files are. Of those that are outlined nobody is to have the values.
    pub(crate) fn open_in(tree: Tree<'_>, path: &Path) -> Result<Self, TensorError> {
        let path = find_weights_in(tree, path)?;
        if tree.is_dir(&path) {
            if Format::of_folder(tree, &path) == Some(Format::Nnef) {
                return Err(unread_nnef(Site { path: &path, format: Format::Nnef, tree }));
            }
            return Self::open_saved_model(tree, &path);
        }
        let bytes = tree.map(&path)?;
        let format = Format::of_bytes(&path, &bytes)?;
        Self::list(tree, path, format, &bytes)
    }

    /// Returns the format that was found.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Returns the file that the tensors are listed in; for a folder, the file that was found in it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns what the tensors are, sorted by name.
    pub fn infos(&self) -> &[TensorInfo] {
        &self.listing.infos
    }

    /// Returns what is named like a tensor but was not read, such as strings, sorted by name.
    pub fn skipped(&self) -> &[Skipped] {
        &self.listing.skipped
    }

    /// Returns what the checkpoint says of itself: step, epoch, metrics, versions of the tools, whatever its format keeps.
    ///
    /// Keys are the file's own; `framework` is added where the format or the file tells it.
    /// At most 10 000 entries and 1 MiB are kept; what is past that is among [`Self::skipped`].
    /// Nobody checked it: it is a claim of the file.
    pub fn metadata(&self) -> &Map<String, Value> {
        &self.listing.metadata
    }

    /// Returns what the file has that those who load it with Keras or TensorFlow run, by name: layers and operators. There may be more
    /// that is not known to be code.
    pub fn code(&self) -> &[String] {
        &self.listing.code
    }

    /// Returns the number of tensors.
    pub fn len(&self) -> usize {
        self.listing.infos.len()
    }

    /// Returns whether there are no tensors.
    pub fn is_empty(&self) -> bool {
        self.listing.infos.is_empty()
    }

    /// Returns the name of another file that has tensors of this one, relative to the folder of [`Self::path`], if one has:
    /// external data, a shard, or the data of an index.
    pub fn sibling(&self) -> Option<&str> {
        self.listing.sibling.as_deref()
    }

    /// Returns the names of the shards that an index has, relative to the folder of [`Self::path`]; none of any other file.
    pub fn shards(&self) -> &[String] {
        &self.listing.shards
    }

    /// Returns where in the file of [`Self::path`] the bytes of tensors are, in order, as far as they are stored as
    /// they are: neither compressed nor in another file.
    pub fn extents(&self) -> &[Range<u64>] {
        &self.extents
    }

    /// Returns the tensor of that name, verified against the checksum that the format has for it.
    ///
    /// `None` means that there is no such tensor.
    /// Converted data is not kept: a second call converts again.
    pub fn get(&self, name: &str) -> Option<Result<Tensor<'_>, TensorError>> {
        let idx = self.listing.infos.binary_search_by(|info| info.name.as_str().cmp(name)).ok()?;
        Some(self.read(idx))
    }

    /// Returns all tensors, sorted by name, reading each when it is reached.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Result<Tensor<'_>, TensorError>> {
        (0..self.listing.infos.len()).map(|idx| self.read(idx))
    }

    /// Fails where one of the files was cut off or written to since it was opened.
    ///
    /// Values that were borrowed from [`Self::get`] and [`Self::iter`] are to be believed only after this.
    ///
    /// # Errors
    ///
    /// [`TensorError::Cut`] names the file.
    pub fn check(&self) -> Result<(), TensorError> {
        // What is not stored as it is used is in the file that lists it.
        let stored = self.listing.data.iter().filter_map(Data::stored);
        all_whole(iter::once(&*self.bytes).chain(stored))
    }

    /// Reads the values of the tensor of that number among [`Self::infos`], and verifies them as [`Self::get`] does, without having all of
    /// a compressed array in memory.
    ///
    /// # Errors
    ///
    /// Those of [`Self::get`].
    pub fn verify(&self, idx: usize) -> Result<(), TensorError> {
        self.pieces_of(idx, &mut |_| Ok(()), false)
    }

    /// Hands out the elements of a tensor: of a compressed array in pieces, of which the last may fail; of any other at once.
    /// What is compressed is in the order of its file unless it `is_converted`, which may take the memory for it.
    pub(crate) fn pieces_of<E: From<TensorError>>(
        &self,
        idx: usize,
        take: &mut dyn FnMut(&[u8]) -> Result<(), E>,
        is_converted: bool,
    ) -> Result<(), E> {
        let (info, data) = (&self.listing.infos[idx], &self.listing.data[idx]);
        match data {
            Data::Zipped { archive, idx: entry, layout } if !is_converted || layout.is_as_used(info) => {
                let site = Site { path: &self.path, format: self.format, tree: Tree::Disk };
                let res = npz::each_piece(site, archive.clone(), *entry, *layout, info, take);
                // Before its checksum is said to be wrong.
                let is_sound = if res.is_ok() { uncut } else { whole };
                is_sound(&self.bytes)?;
                res
            }
            Data::Hdf5 { dataset, layout } if !is_converted || layout.is_as_used(info) => {
                let site = Site { path: &self.path, format: self.format, tree: Tree::Disk };
                let res = dataset.each_piece(site, info, take);
                let is_sound = if res.is_ok() { uncut } else { whole };
                is_sound(&self.bytes)?;
                res
            }
            _ => take(&self.read(idx)?.bytes),
        }
    }

    /// Hands out the elements of one of [`Self::skipped`] as they are stored, in pieces, of which the last may fail.
    pub(crate) fn unread_pieces<E: From<TensorError>>(
        &self,
        of: &Skipped,
        take: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(opaque) = of.opaque() else { return Ok(()) };
        let site = Site { path: &self.path, format: self.format, tree: Tree::Disk };
        let res = opaque.each_piece(site, &of.name, take);
        let is_sound = if res.is_ok() { uncut } else { whole };
        is_sound(&self.bytes)?;
        res
    }

    pub(crate) fn read(&self, idx: usize) -> Result<Tensor<'_>, TensorError> {
        let info = &self.listing.infos[idx];
        let site = Site { path: &self.path, format: self.format, tree: Tree::Disk };
        let data = &self.listing.data[idx];
        let res = data.read(site, info);
        // Before its checksum is said to be wrong.
        let is_sound = if res.is_ok() { uncut } else { whole };
        is_sound(&self.bytes)?;
        data.stored().map_or(Ok(()), is_sound)?;
        Ok(Tensor { info, bytes: res? })
    }

    /// The weights are variables in a bundle of their own, or, after freezing, constants of the graph.
    fn open_saved_model(tree: Tree<'_>, folder: &Path) -> Result<Self, TensorError> {
        let index = folder.join("variables").join("variables.index");
        let model = folder.join(SAVED_MODEL_FILE);
        let of_model = tree.map(&model)?;
        let site = Site { path: &model, format: Format::SavedModel, tree };
        if of_model.is_empty() {
            return Err(site.corrupt("the file", "is empty"));
        }
        if !tree.is_file(&index) {
            let catalog = tensorflow::read_saved_model(site, &of_model)?;
            return Self::from_catalog(model, Format::SavedModel, &of_model, catalog);
        }
        // Half of it is no model, however sound its variables are.
        let code = tensorflow::code_of_saved_model(site, &of_model)?;
        let bytes = map_sibling(site, "the folder of variables", "variables/variables.index")?;
        let mut catalog = tensorflow::read_bundle(Site { path: &index, ..site }, site, &bytes)?;
        catalog.code.extend(code);
        Self::from_catalog(index, Format::SavedModel, &bytes, catalog)
    }

    fn list(tree: Tree<'_>, path: PathBuf, format: Format, bytes: &Bytes) -> Result<Self, TensorError> {
        let site = Site { path: &path, format, tree };
        if bytes.is_empty() {
            return Err(site.corrupt("the file", "is empty"));
        }
        let catalog = match format {
            Format::Onnx => onnx::read(site, bytes)?,
            Format::Safetensors => safetensors_file::read(site, bytes)?,
            Format::ShardedSafetensors => sharded::read(site, bytes, safetensors_file::read)?,
            Format::Npz => npz::read(site, bytes)?,
            Format::Npy => npy::read(site, bytes)?,
            Format::TensorBundle => tensorflow::read_bundle(site, site, bytes)?,
            Format::SavedModel => tensorflow::read_saved_model(site, bytes)?,
            Format::FrozenGraph => tensorflow::read_frozen(site, bytes)?,
            Format::Hdf5 => hdf5::read(site, bytes)?,
            Format::KerasZip => keras::read(site, bytes)?,
            Format::TfLite => tflite::read(site, bytes)?,
            Format::Nnef => return Err(unread_nnef(site)),
            Format::PyTorch => pytorch::read(site, bytes)?,
            Format::ShardedPyTorch => sharded::read(site, bytes, pytorch::read)?,
            Format::Pickle => return Err(pytorch::refused(site, bytes)),
        };
        Self::from_catalog(path, format, bytes, catalog)
    }

    fn from_catalog(path: PathBuf, format: Format, bytes: &Bytes, catalog: Catalog) -> Result<Self, TensorError> {
        let listing = catalog.finish(Site { path: &path, format, tree: Tree::Disk })?;
        let stored = listing.data.iter().filter_map(Data::stored);
        let mut extents: Vec<_> = stored.filter_map(|it| position(bytes, it)).collect();
        extents.sort_unstable_by_key(|it| (it.start, it.end));
        extents.dedup();
        Ok(Self { path, format, listing, extents, bytes: bytes.clone() })
    }
}

fn unread_nnef(site: Site<'_>) -> TensorError {
    site.unsupported("NNEF is only executed here, its weights are not read", "export it as ONNX or safetensors")
}

/// Returns where in `whole` the bytes of `part` are, if they are a part of it.
fn position(whole: &[u8], part: &[u8]) -> Option<Range<u64>> {
    let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    let end = start.checked_add(part.len()).filter(|&it| it <= whole.len() && !part.is_empty())?;
    Some(start as u64..end as u64)
}
