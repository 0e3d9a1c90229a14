//! Writes NPZ archives: one NPY file per array, not compressed, as `numpy.savez` does.

use std::io::{self, Read, Seek, Write};

use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// The length of the head of an NPY file is a multiple of this.
const ALIGNMENT: usize = 64;

/// An archive on its way.
pub(crate) struct NpzWriter<W: Write + Seek>(ZipWriter<W>);

impl<W: Write + Seek> NpzWriter<W> {
    /// Returns an archive without arrays.
    pub(crate) fn new(to: W) -> Self {
        Self(ZipWriter::new(to))
    }

    /// Adds an array. `kind` is NumPy's name of the elements' type (`<f4`); `data` has the elements in the order of C.
    pub(crate) fn array(&mut self, name: &str, kind: &str, shape: &[u64], data: &mut dyn Read) -> io::Result<()> {
        // An archive may be larger than the 4 GB of old ones.
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(true);
        self.0.start_file(format!("{name}.npy"), options).map_err(io::Error::other)?;
        self.0.write_all(&head(kind, shape)?)?;
        io::copy(data, &mut self.0).map(drop)
    }

    /// Ends the archive.
    pub(crate) fn finish(self) -> io::Result<W> {
        self.0.finish().map_err(io::Error::other)
    }
}

/// Returns what an NPY file of version 1.0 begins with.
fn head(kind: &str, shape: &[u64]) -> io::Result<Vec<u8>> {
    let extents: String = shape.iter().map(|it| format!("{it}, ")).collect();
    // One extent needs its comma.
    let extents = if shape.len() == 1 { extents.trim_end() } else { extents.trim_end_matches(", ") };
    let text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({extents}), }}");
    let length = (10 + text.len() + 1).next_multiple_of(ALIGNMENT) - 10;
    let mut res = b"\x93NUMPY\x01\x00".to_vec();
    res.extend(u16::try_from(length).map_err(io::Error::other)?.to_le_bytes());
    res.extend(text.as_bytes());
    res.resize(10 + length - 1, b' ');
    res.push(b'\n');
    Ok(res)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_those_of_numpy() {
        let text = |shape: &[u64]| {
            let head = head("<f4", shape).unwrap();
            assert!(head.len().is_multiple_of(64) && head.ends_with(b" \n"), "{head:?}");
            String::from_utf8_lossy(&head[10..]).trim_end().to_owned()
        };
        assert_eq!(text(&[3]), "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }");
        assert_eq!(text(&[3, 4]), "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }");
        assert_eq!(text(&[]), "{'descr': '<f4', 'fortran_order': False, 'shape': (), }");
    }
}
