//! The files of an NNEF model, in a folder or an archive.
//!
//! tract opens whatever lies there, follows links, and allocates what the header of a tensor says. So files are opened here: plain ones
//! beneath the folder, no more of an archive than its size lets expect, and tensors that are as long as their headers say.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read, Seek},
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use flate2::read::GzDecoder;
use modelwatch_tensors::{map_external_data, whole};
use tract_nnef::{
    ProtoModel,
    ast::{Identifier, quant::parse_quantization},
    tensors::read_tensor,
};
use tract_onnx::prelude::Tensor;

use super::graph;
use crate::{
    error::InferError,
    spec::ModelFormat,
    tract::{guard, preflight::Fault},
};

const GRAPH: &str = "graph.nnef";
const QUANTIZATION: &str = "graph.quant";
/// Bytes of a text; a graph of 20,000 nodes has fewer.
const MAX_TEXT: u64 = 4 << 20;
const MAX_FILES: usize = 100_000;
/// Folders in folders.
const MAX_DEPTH: usize = 16;
/// How many bytes one of a compressed archive stands for at most; weights compress much less.
const MAX_RATIO: u64 = 200;
/// How many bytes a compressed archive may stand for however small it is.
const FREE: u64 = 16 << 20;
const HEADER: usize = 128;

const PLAIN: &str = "put the file itself there";

/// Reads all files of the model.
///
/// # Errors
/// When one cannot be read, is no plain file, or does not have the size that it or the archive says.
pub(super) fn read(path: &Path) -> Result<ProtoModel, InferError> {
    let mut files = Files { path, n: 0, graph: None, quantization: None, tensors: HashMap::new() };
    if path.is_dir() {
        files.walk()?
    } else {
        files.unpack()?
    }
    files.finish()
}

/// What a file is to the model.
enum Part {
    Graph,
    Quantization,
    Tensor(String),
}

struct Files<'a> {
    path: &'a Path,
    n: usize,
    graph: Option<String>,
    quantization: Option<String>,
    /// By the name of the file without its ending.
    tensors: HashMap<Identifier, Arc<Tensor>>,
}

impl Files<'_> {
    fn open(&self, source: io::Error) -> InferError {
        InferError::Open { path: self.path.to_path_buf(), source }
    }

    fn malformed(&self, reason: String) -> InferError {
        InferError::Malformed { path: self.path.to_path_buf(), format: ModelFormat::Nnef, reason }
    }

    fn fault(&self, what: String, remedy: &'static str) -> InferError {
        Fault { what, remedy }.of(self.path)
    }

    fn damaged(&self, what: String) -> InferError {
        Fault::damaged(what).of(self.path)
    }

    fn walk(&mut self) -> Result<(), InferError> {
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            let path = self.path.join(&folder);
            for entry in fs::read_dir(&path).map_err(|e| self.open(e))? {
                let entry = entry.map_err(|e| self.open(e))?;
                let kind = entry.file_type().map_err(|e| self.open(e))?;
                let name = folder.join(entry.file_name());
                if kind.is_dir() && name.components().count() <= MAX_DEPTH {
                    folders.push(name);
                    continue;
                }
                let Some(part) = self.part(&name)? else { continue };
                let name = name.to_string_lossy();
                if !kind.is_file() {
                    return Err(self.fault(format!("`{name}` is a link, or no plain file"), PLAIN));
                }
                // Safe also where a link is put into the place of the file meanwhile.
                let bytes = map_external_data(&self.path.join(GRAPH), &name, &name)
                    .map_err(|e| self.fault(e.to_string(), PLAIN))?;
                self.take(part, &name, bytes.len() as u64, &*bytes)?;
                whole(&bytes).map_err(|e| self.fault(e.to_string(), PLAIN))?;
            }
        }
        Ok(())
    }

    fn unpack(&mut self) -> Result<(), InferError> {
        let mut file = File::open(self.path).map_err(|e| self.open(e))?;
        let size = file.metadata().map_err(|e| self.open(e))?.len();
        let mut magic = [0; 2];
        file.read_exact(&mut magic).and_then(|()| file.rewind()).map_err(|e| self.open(e))?;
        let (limit, reader): (u64, Box<dyn Read>) = if magic == [0x1f, 0x8b] {
            (size.saturating_mul(MAX_RATIO).saturating_add(FREE), Box::new(GzDecoder::new(file)))
        } else {
            (size, Box::new(file))
        };
        let mut left = limit;
        let mut archive = tar::Archive::new(reader);
        for entry in archive.entries().map_err(|e| self.open(e))? {
            let mut entry = entry.map_err(|e| self.malformed(e.to_string()))?;
            let name = entry.path().map_err(|e| self.malformed(e.to_string()))?.into_owned();
            let Some(rest) = left.checked_sub(entry.size()) else {
                let what = format!("the archive of {size} bytes unpacks to more than {limit}, at `{}`", name.display());
                return Err(self.fault(what, "unpack it, and give the folder"));
            };
            left = rest;
            let kind = entry.header().entry_type();
            let part = if kind.is_dir() { None } else { self.part(&name)? };
            let Some(part) = part else { continue };
            let name = name.to_string_lossy();
            if !kind.is_file() {
                return Err(self.fault(format!("`{name}` is a link, or no plain file"), PLAIN));
            }
            let size = entry.size();
            self.take(part, &name, size, &mut entry)?;
        }
        Ok(())
    }

    /// Says what the file of that name is, if it is anything to the model.
    fn part(&mut self, name: &Path) -> Result<Option<Part>, InferError> {
        self.n += 1;
        if self.n > MAX_FILES {
            return Err(self.fault(format!("it has more than {MAX_FILES} files"), "export only what inference needs"));
        }
        let mut names = Vec::new();
        for it in name.components() {
            match it {
                Component::Normal(it) => names.push(it.to_str().unwrap_or_default()),
                Component::CurDir => {}
                _ => return Err(self.damaged(format!("`{}` is no name of a file in it", name.display()))),
            }
        }
        // tract leaves these out, too: some systems put their own into archives.
        if names.iter().any(|it| it.starts_with('.')) {
            return Ok(None);
        }
        let is_nested = names.len() > 1;
        Ok(match names.last().copied().unwrap_or_default() {
            it if it.ends_with(".nnef.tar") || it.ends_with(".nnef.tgz") || (it == GRAPH && is_nested) => {
                let what = format!("`{}` is a model in the model", name.display());
                return Err(self.fault(what, "export it as one graph"));
            }
            GRAPH => Some(Part::Graph),
            QUANTIZATION if !is_nested => Some(Part::Quantization),
            _ => names.join("/").strip_suffix(".dat").map(|it| Part::Tensor(it.to_owned())),
        })
    }

    fn take(&mut self, part: Part, name: &str, size: u64, mut reader: impl Read) -> Result<(), InferError> {
        let is_new = match part {
            Part::Graph => {
                let text = self.text(name, size, reader)?;
                self.graph.replace(text).is_none()
            }
            Part::Quantization => {
                let text = self.text(name, size, reader)?;
                self.quantization.replace(text).is_none()
            }
            Part::Tensor(label) => {
                let mut header = [0; HEADER];
                let short = |_| self.damaged(format!("`{name}` ends within its header of {HEADER} bytes"));
                reader.read_exact(&mut header).map_err(short)?;
                check_header(&header, size - HEADER as u64).map_err(|it| self.damaged(format!("`{name}` {it}")))?;
                let tensor = read_tensor(header.chain(reader));
                let tensor = tensor.map_err(|e| self.malformed(format!("`{name}`: {}", guard::reason(&e))))?;
                self.tensors.insert(Identifier(label), Arc::new(tensor)).is_none()
            }
        };
        if is_new { Ok(()) } else { Err(self.damaged(format!("`{name}` is there twice"))) }
    }

    fn text(&self, name: &str, size: u64, reader: impl Read) -> Result<String, InferError> {
        if size > MAX_TEXT {
            let what = format!("`{name}` has {size} bytes, more than the {MAX_TEXT} that are read");
            return Err(self.fault(what, "store weights as tensors, in files of their own"));
        }
        let mut text = String::new();
        let read = reader.take(MAX_TEXT).read_to_string(&mut text);
        read.map_err(|e| self.malformed(format!("`{name}`: {e}")))?;
        Ok(text)
    }

    fn finish(self) -> Result<ProtoModel, InferError> {
        let Some(text) = &self.graph else {
            return Err(self.malformed(format!("there is no `{GRAPH}`")));
        };
        let doc = graph::parse(text).map_err(|it| it.of(self.path))?;
        let quantization = self.quantization.as_deref().map(parse_quantization).transpose();
        let quantization =
            quantization.map_err(|e| self.malformed(format!("`{QUANTIZATION}`: {}", guard::reason(&e))))?;
        let quantization = quantization.map(|it| it.into_iter().collect());
        Ok(ProtoModel { doc, tensors: self.tensors, quantization, resources: HashMap::new() })
    }
}

/// Holds the header of a tensor against the number of bytes after it (NNEF 1.0.5, section 5.2).
fn check_header(header: &[u8; HEADER], n_bytes: u64) -> Result<(), String> {
    /// Texts, in files that tract writes: its own vendor number and type.
    const TEXTS: [u8; 4] = [0x00, 0x10, b'R', b'T'];
    let number = |at: usize| u32::from_le_bytes(*header[at..].first_chunk().expect("a header has 128 bytes"));
    let (size, rank) = (u64::from(number(4)), number(8) as usize);
    if rank > 8 {
        return Err(format!("has {rank} axes, and 8 are the most"));
    }
    let dims: Vec<u64> = (0..rank).map(|it| u64::from(number(12 + 4 * it))).collect();
    let n_elements = dims.iter().try_fold(1u64, |n, it| n.checked_mul(*it));
    let Some(n_elements) = n_elements else { return Err(format!("has the shape {dims:?}, which no tensor has")) };
    let fits = if header[48..52] == TEXTS {
        // Each has its length in four bytes.
        n_elements <= n_bytes / 4
    } else {
        size <= n_bytes
    };
    if fits { Ok(()) } else { Err(format!("has {n_bytes} bytes of data, not those of {dims:?}")) }
}
