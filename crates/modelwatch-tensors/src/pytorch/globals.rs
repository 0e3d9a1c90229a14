//! The names that a state dict's pickle may use, and what stands for each here.

use crate::dtype::DType;

/// What a name in a pickle stands for; nothing of it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Global {
    /// A mapping that remembers its order, or counts.
    Mapping,
    /// `torch.Size`, a tuple of numbers.
    Size,
    /// A set of values, which is built of a list of them.
    Set,
    /// A class around one text: a device or a version.
    Text,
    RebuildTensor,
    /// With the element type as an argument, for types that have no storage class.
    RebuildTyped,
    RebuildParameter,
    /// A storage class or element type.
    Element(Element),
    /// A storage that is counted in bytes; its tensors say their type.
    UntypedStorage,
}

/// What one element of a storage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) name: &'static str,
    pub(super) size: usize,
    /// `None` for types that are not read.
    pub(super) dtype: Option<DType>,
}

/// Storage class, element type and their element.
const ELEMENTS: [(&str, &str, usize, Option<DType>); 20] = [
    ("FloatStorage", "float32", 4, Some(DType::F32)),
    ("DoubleStorage", "float64", 8, Some(DType::F64)),
    ("HalfStorage", "float16", 2, Some(DType::F16)),
    ("BFloat16Storage", "bfloat16", 2, Some(DType::Bf16)),
    ("LongStorage", "int64", 8, Some(DType::I64)),
    ("IntStorage", "int32", 4, Some(DType::I32)),
    ("ShortStorage", "int16", 2, Some(DType::I16)),
    ("CharStorage", "int8", 1, Some(DType::I8)),
    ("ByteStorage", "uint8", 1, Some(DType::U8)),
    ("BoolStorage", "bool", 1, Some(DType::Bool)),
    ("", "uint16", 2, Some(DType::U16)),
    ("", "uint32", 4, Some(DType::U32)),
    ("", "uint64", 8, Some(DType::U64)),
    ("ComplexFloatStorage", "complex64", 8, None),
    ("ComplexDoubleStorage", "complex128", 16, None),
    ("QInt8Storage", "qint8", 1, None),
    ("QUInt8Storage", "quint8", 1, None),
    ("QInt32Storage", "qint32", 4, None),
    ("", "float8_e4m3fn", 1, None),
    ("", "float8_e5m2", 1, None),
];

impl Global {
    /// Returns what `module.name` stands for; `None` means that it is refused.
    pub(super) fn find(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict" | "Counter") => Self::Mapping,
            ("torch", "Size") => Self::Size,
            ("builtins" | "__builtin__", "set" | "frozenset") => Self::Set,
            ("torch", "device") | ("torch.torch_version", "TorchVersion") => Self::Text,
            ("torch._utils", "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_tensor_v3") => Self::RebuildTyped,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Self::RebuildParameter,
            ("torch.storage", "UntypedStorage") => Self::UntypedStorage,
            ("torch", _) if !name.is_empty() => {
                let (_, name, size, dtype) =
                    *ELEMENTS.iter().find(|(storage, dtype, ..)| *storage == name || *dtype == name)?;
                Self::Element(Element { name, size, dtype })
            }
            _ => return None,
        })
    }
}

/// The one byte that an untyped storage counts.
pub(super) const BYTE: Element = Element { name: "uint8", size: 1, dtype: Some(DType::U8) };
