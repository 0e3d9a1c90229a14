//! Tensors of ONNX whose values are not read: what their types are called, and their elements.

use safetensors::Dtype;

use super::proto::TensorProto;
use crate::opaque::Element;

/// The number of texts among the element types.
const STRING: i32 = 8;
/// Element types of what is always finite: texts, integers of four and two bits, and floats of four.
pub(super) const FINITE: [i32; 6] = [STRING, 21, 22, 23, 25, 26];

/// Returns what ONNX calls the type of that number, and the type; where safetensors have it as well, it is theirs.
pub(super) fn element(data_type: i32) -> Option<(&'static str, Element)> {
    let own = |name: &'static str, bits| Some((name, Element { name: name.into(), bits }));
    let shared = |name, dtype| Some((name, Element::of_safetensors(dtype)));
    match data_type {
        STRING => own("STRING", None),
        14 => shared("COMPLEX64", Dtype::C64),
        15 => Some(("COMPLEX128", Element { name: "C128".into(), bits: Some(128) })),
        17 => shared("FLOAT8E4M3FN", Dtype::F8_E4M3),
        18 => shared("FLOAT8E4M3FNUZ", Dtype::F8_E4M3FNUZ),
        19 => shared("FLOAT8E5M2", Dtype::F8_E5M2),
        20 => shared("FLOAT8E5M2FNUZ", Dtype::F8_E5M2FNUZ),
        21 => own("UINT4", None),
        22 => own("INT4", None),
        23 => own("FLOAT4E2M1", None),
        24 => shared("FLOAT8E8M0", Dtype::F8_E8M0),
        25 => own("UINT2", None),
        26 => own("INT2", None),
        27 => own("FLOAT6E2M3", None),
        28 => own("FLOAT6E3M2", None),
        _ => None,
    }
}

/// Returns the elements that are not stored raw, as the bytes that raw data has of them, and texts with their lengths.
pub(super) fn typed_data(proto: &TensorProto) -> Option<Vec<u8>> {
    match proto.data_type {
        STRING => {
            let text = |it: &prost::bytes::Bytes| [&(it.len() as u64).to_le_bytes()[..], it].concat();
            Some(proto.string_data.iter().flat_map(text).collect())
        }
        14 => Some(proto.float_data.iter().flat_map(|it| it.to_le_bytes()).collect()),
        15 => Some(proto.double_data.iter().flat_map(|it| it.to_le_bytes()).collect()),
        // A byte, of one element or of several that share it.
        17..=28 => proto.int32_data.iter().map(|&it| u8::try_from(it).ok()).collect(),
        _ => None,
    }
}
