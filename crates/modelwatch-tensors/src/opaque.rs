//! Elements of types whose values are not read: they are compared and copied as they are stored.

use std::borrow::Cow;

use prost::bytes::Bytes;
use safetensors::Dtype;
use sha2::{Digest, Sha256};

use crate::{
    archive::Zip,
    catalog::{Skipped, tensor},
    error::{Site, TensorError},
    file::TensorFile,
    npz,
};

/// What is known of a type whose values are not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    /// Its name: that of safetensors where those have it, and else that of the file. What has one name has the same bytes.
    pub(crate) name: Cow<'static, str>,
    /// How many bits one takes; none where they differ.
    pub(crate) bits: Option<usize>,
}

/// Elements as they are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opaque {
    pub(crate) element: Option<Element>,
    pub(crate) shape: Vec<u64>,
    pub(crate) run: Run,
}

/// Where the elements are.
#[derive(Clone, Debug)]
pub(crate) enum Run {
    Here(Bytes),
    /// In an entry of an archive, after its header.
    Zipped {
        archive: Zip,
        idx: usize,
        start: usize,
        n_bytes: usize,
        /// That of the archive, of header and elements.
        checksum: u32,
    },
}

/// What is packed is not unpacked for this, and the same by its checksum.
impl PartialEq for Run {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Here(left), Self::Here(right)) => left == right,
            (
                Self::Zipped { n_bytes: left, checksum: of_left, .. },
                Self::Zipped { n_bytes: right, checksum: of_right, .. },
            ) => (left, of_left) == (right, of_right),
            _ => false,
        }
    }
}

impl Eq for Run {}

/// The types of safetensors that are not read.
const OF_SAFETENSORS: [Dtype; 9] = [
    Dtype::F4,
    Dtype::F6_E2M3,
    Dtype::F6_E3M2,
    Dtype::F8_E4M3,
    Dtype::F8_E5M2,
    Dtype::F8_E8M0,
    Dtype::F8_E4M3FNUZ,
    Dtype::F8_E5M2FNUZ,
    Dtype::C64,
];

/// The types that safetensors and NumPy call otherwise.
const OF_NUMPY: [(&str, &str); 2] = [("C64", "<c8"), ("C128", "<c16")];

impl Element {
    pub(crate) fn of_safetensors(dtype: Dtype) -> Self {
        Self { name: dtype.to_string().into(), bits: Some(dtype.bitsize()) }
    }

    /// Of that many bytes, by the name that NumPy has for it.
    pub(crate) fn of_numpy(descr: &str, size: u64) -> Self {
        let known = OF_NUMPY.iter().find(|it| it.1 == descr).map(|it| it.0.into());
        let bits = usize::try_from(size).ok().and_then(|it| it.checked_mul(8));
        Self { name: known.unwrap_or_else(|| descr.to_owned().into()), bits }
    }

    pub(crate) fn safetensors(&self) -> Option<Dtype> {
        OF_SAFETENSORS.into_iter().find(|it| it.to_string() == self.name)
    }

    pub(crate) fn numpy(&self) -> Option<&str> {
        let known = OF_NUMPY.iter().find(|it| it.0 == self.name).map(|it| it.1);
        known.or_else(|| self.name.starts_with(['<', '>', '|']).then_some(&*self.name))
    }
}

impl Opaque {
    pub(crate) fn new(element: Option<Element>, shape: Vec<u64>, bytes: Bytes) -> Self {
        Self { element, shape, run: Run::Here(bytes) }
    }

    pub(crate) fn len(&self) -> usize {
        match &self.run {
            Run::Here(bytes) => bytes.len(),
            Run::Zipped { n_bytes, .. } => *n_bytes,
        }
    }

    /// Returns how many bytes there are, if they are as many as the type and shape say.
    pub(crate) fn checked_len(&self) -> Option<usize> {
        let n = self.shape.iter().try_fold(1, |product: u64, &dim| product.checked_mul(dim))?;
        let bits = n.checked_mul(self.element.as_ref()?.bits? as u64)?;
        (bits.is_multiple_of(8) && bits / 8 == self.len() as u64).then(|| self.len())
    }

    /// Hands out the bytes in pieces, of which the last may fail.
    pub(crate) fn each_piece<E: From<TensorError>>(
        &self,
        site: Site<'_>,
        name: &str,
        take: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        match &self.run {
            Run::Here(bytes) => take(bytes),
            Run::Zipped { archive, idx, start, n_bytes, .. } => {
                let place = npz::Place { idx: *idx, start: *start, n_bytes: *n_bytes };
                let differs = |found| {
                    let problem = format!("holds {found} bytes where the archive says {n_bytes}");
                    site.corrupt(tensor(name), problem)
                };
                npz::each_piece_of(site, archive.clone(), place, name, &differs, take)
            }
        }
    }
}

/// Returns whether two tensors that are not read have the same elements; `None` where nobody knows.
///
/// # Errors
///
/// Fails if what is packed cannot be unpacked.
pub fn has_same_elements(
    (of_left, left): (&TensorFile, &Skipped),
    (of_right, right): (&TensorFile, &Skipped),
) -> Result<Option<bool>, TensorError> {
    let (Some(a), Some(b)) = (left.opaque(), right.opaque()) else { return Ok(None) };
    if let (Run::Here(a_bytes), Run::Here(b_bytes)) = (&a.run, &b.run) {
        return Ok(Some(a.shape == b.shape && a_bytes == b_bytes));
    }
    Ok(Some(a.shape == b.shape && digest(of_left, left)? == digest(of_right, right)?))
}

fn digest(file: &TensorFile, of: &Skipped) -> Result<[u8; 32], TensorError> {
    let mut res = Sha256::new();
    file.unread_pieces(of, &mut |it| {
        res.update(it);
        Ok::<_, TensorError>(())
    })?;
    Ok(res.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_called_by_the_names_of_each_format() {
        let complex = Element::of_numpy("<c8", 8);
        assert_eq!((&*complex.name, complex.safetensors(), complex.numpy()), ("C64", Some(Dtype::C64), Some("<c8")));
        let dates = Element::of_numpy("<M8[s]", 8);
        assert_eq!((dates.safetensors(), dates.numpy()), (None, Some("<M8[s]")));
        let small = Element::of_safetensors(Dtype::F8_E4M3);
        assert_eq!((small.safetensors(), small.numpy()), (Some(Dtype::F8_E4M3), None));
    }

    #[test]
    fn lengths_are_held_against_type_and_shape() {
        let opaque = |element, shape: &[u64], n| Opaque::new(element, shape.to_vec(), vec![0; n].into()).checked_len();
        let four = || Some(Element::of_safetensors(Dtype::F4));
        assert_eq!(opaque(four(), &[2, 2], 2), Some(2));
        assert_eq!(opaque(four(), &[3], 2), None);
        assert_eq!(opaque(four(), &[u64::MAX, 2], 2), None);
        assert_eq!(opaque(None, &[2], 2), None);
    }
}
