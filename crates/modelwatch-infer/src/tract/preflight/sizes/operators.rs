//! What operators make of what is known of their inputs.

mod window;

use tract_onnx::pb::NodeProto;

use super::{
    einsum,
    value::{Known, MAX_NUMBERS, is_exact},
};
use crate::tract::{
    attributes::{floats, int, ints, tensor, text},
    axes::resolve_axis,
    ops::COUNTED_FROM_THE_END,
    preflight::constants::bits,
};

type Shape = Vec<Option<u64>>;

/// Returns what is known of the outputs of a node of this version; what is left out may be anything.
pub(in crate::tract) fn node_outputs(node: &NodeProto, inputs: &[Option<Known>], version: i64) -> Vec<Known> {
    if !matches!(&*node.domain, "" | "ai.onnx") {
        return vec![];
    }
    let Some(mut res) = (Operator { node, inputs, version }).output() else { return vec![] };
    res.is_constant = inputs.iter().flatten().all(|it| it.is_constant);
    vec![res]
}

struct Operator<'a> {
    node: &'a NodeProto,
    inputs: &'a [Option<Known>],
    version: i64,
}

impl Operator<'_> {
    fn input(&self, idx: usize) -> Option<&Known> {
        self.inputs.get(idx)?.as_ref()
    }

    fn shape(&self, idx: usize) -> Option<&Shape> {
        self.input(idx)?.shape.as_ref()
    }

    fn numbers(&self, idx: usize) -> Option<&[f64]> {
        self.input(idx)?.numbers.as_deref()
    }

    fn bytes(&self) -> u64 {
        self.input(0).map_or(1, |it| it.element_bytes)
    }

    /// Returns what was an attribute in one version and is an input in another.
    fn integers(&self, name: &str, idx: usize) -> Option<Vec<i64>> {
        match self.input(idx) {
            Some(it) => it.integers(),
            None => Some(ints(self.node, name).to_vec()).filter(|it| !it.is_empty()),
        }
    }

    fn axis(&self, name: &str, default: i64, rank: usize) -> Option<usize> {
        resolve_axis(int(self.node, name).unwrap_or(default), rank).ok()
    }

    fn output(&self) -> Option<Known> {
        Some(match &*self.node.op_type {
            "Constant" => return self.constant(),
            "Identity" => self.input(0)?.clone(),
            "Cast" => self.cast()?,
            "Shape" => self.shape_of()?,
            "Size" => self.size()?,
            "Concat" => self.concat()?,
            "Gather" => self.gather()?,
            "Slice" => self.slice()?,
            "Squeeze" | "Unsqueeze" | "Reshape" | "Flatten" => self.reshaped()?,
            "Transpose" => self.transpose()?,
            "ConstantOfShape" => self.constant_of_shape()?,
            "Expand" => self.of_shape(broadcast(self.shape(0)?, &known(self.input(1)?.dims()?))?),
            "Tile" => self.tile()?,
            "Range" => self.range()?,
            "Pad" => self.pad()?,
            "Resize" | "Upsample" => self.resize()?,
            "OneHot" => self.one_hot()?,
            "TopK" => self.top_k()?,
            "Einsum" => {
                self.of_shape(einsum::shape(text(self.node, "equation")?, |idx| self.shape(idx).map(|it| &**it))?)
            }
            "MelWeightMatrix" => self.mel_weights()?,
            "HannWindow" | "HammingWindow" | "BlackmanWindow" => Known::of_shape(4, known(self.input(0)?.dims()?)),
            "MatMul" => self.of_shape(stacked(self.shape(0)?, self.shape(1)?)?),
            "MatMulInteger" => Known::of_shape(4, stacked(self.shape(0)?, self.shape(1)?)?),
            "QLinearMatMul" => self.of_shape(stacked(self.shape(0)?, self.shape(3)?)?),
            "Gemm" => self.gemm()?,
            "Conv" | "ConvInteger" | "ConvTranspose" | "QLinearConv" | "AveragePool" | "LpPool" | "MaxPool" => {
                self.window()?
            }
            "Add" | "Sub" | "Mul" | "Div" | "Max" | "Min" => self.arithmetic()?,
            "And" | "Or" | "Xor" | "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" => {
                Known::of_shape(1, self.broadcast_all()?)
            }
            "Mod" | "Pow" | "Sum" | "Mean" | "BitShift" => self.of_shape(self.broadcast_all()?),
            "Not" | "IsNaN" | "IsInf" => Known::of_shape(1, self.shape(0)?.clone()),
            "DequantizeLinear" => {
                Known::of_shape(self.input(1).map_or(1, |it| it.element_bytes), self.shape(0)?.clone())
            }
            "QuantizeLinear" => Known::of_shape(1, self.shape(0)?.clone()),
            "GatherElements" => self.of_shape(self.shape(1)?.clone()),
            "GlobalAveragePool" | "GlobalLpPool" | "GlobalMaxPool" => {
                let image = self.shape(0)?;
                self.of_shape(image.iter().enumerate().map(|(axis, it)| if axis < 2 { *it } else { Some(1) }).collect())
            }
            it if it.starts_with("Reduce") => self.reduced()?,
            "Where" => Known::of_shape(self.input(1)?.element_bytes, self.broadcast_all()?),
            it if KEEPS_SHAPE.contains(&it) => self.of_shape(self.shape(0)?.clone()),
            _ => return None,
        })
    }

    fn of_shape(&self, shape: Shape) -> Known {
        Known::of_shape(self.bytes(), shape)
    }

    fn constant(&self) -> Option<Known> {
        let attribute = self.node.attribute.first()?;
        let flat = |bytes, numbers: Vec<f64>| Known::of_numbers(bytes, vec![numbers.len() as u64], numbers);
        Some(match &*attribute.name {
            "value" => Known::of_tensor(attribute.t.as_ref()?),
            "value_int" => Known::of_numbers(8, vec![], vec![attribute.i as f64]),
            "value_float" => Known::of_numbers(4, vec![], vec![attribute.f.into()]),
            "value_ints" => flat(8, attribute.ints.iter().map(|&it| it as f64).collect()),
            "value_floats" => flat(4, attribute.floats.iter().map(|&it| it.into()).collect()),
            _ => return None,
        })
    }

    fn cast(&self) -> Option<Known> {
        let to = i32::try_from(int(self.node, "to")?).ok()?;
        let element_bytes = bits(to)?.div_ceil(8);
        let range = match to {
            1 | 10 | 11 | 16 => f64::NEG_INFINITY..=f64::INFINITY,
            2 => 0.0..=255.0,
            3 => -128.0..=127.0,
            4 => 0.0..=65_535.0,
            5 => -32_768.0..=32_767.0,
            6 => f64::from(i32::MIN)..=f64::from(i32::MAX),
            7 => i64::MIN as f64..=i64::MAX as f64,
            9 => 0.0..=1.0,
            12 => 0.0..=f64::from(u32::MAX),
            13 => 0.0..=u64::MAX as f64,
            _ => return Some(Known { element_bytes, numbers: None, ..self.input(0)?.clone() }),
        };
        let is_float = matches!(to, 1 | 10 | 11 | 16);
        let mut res = self.input(0)?.clone();
        let converted = |it: f64| match to {
            9 => f64::from(u8::from(it != 0.0)),
            _ => it.trunc(),
        };
        if !is_float {
            res.numbers.iter_mut().flatten().for_each(|it| *it = converted(*it));
            // Other numbers go around, or are what the machine makes of them.
            res.numbers = res.numbers.filter(|it| it.iter().all(|it| range.contains(it)));
        }
        Some(Known { element_bytes, ..res })
    }

    fn shape_of(&self) -> Option<Known> {
        let shape = self.shape(0)?;
        let at = |name, default| {
            let it = int(self.node, name).unwrap_or(default);
            let rank = shape.len() as i64;
            (if it < 0 { it + rank } else { it }).clamp(0, rank) as usize
        };
        let part = shape.get(at("start", 0)..at("end", i64::MAX))?;
        let n = part.len() as u64;
        Some(match part.iter().map(|it| it.map(|it| it as f64)).collect() {
            Some(numbers) => Known::of_numbers(8, vec![n], numbers),
            None => Known::of_shape(8, vec![Some(n)]),
        })
    }

    fn size(&self) -> Option<Known> {
        let n: Option<Vec<f64>> = self.shape(0)?.iter().map(|it| it.map(|it| it as f64)).collect();
        Some(match n {
            Some(dims) => Known::of_numbers(8, vec![], vec![dims.iter().product()]),
            None => Known::of_shape(8, vec![]),
        })
    }

    fn concat(&self) -> Option<Known> {
        let mut res = self.shape(0)?.clone();
        let axis = self.axis("axis", 1, res.len())?;
        let mut numbers = Some(vec![]);
        for idx in 0..self.inputs.len() {
            let shape = self.shape(idx)?;
            if shape.len() != res.len() {
                return None;
            }
            if idx > 0 {
                res[axis] = add(res[axis], shape[axis]);
            }
            numbers = numbers.zip(self.numbers(idx)).map(|(mut all, it): (Vec<f64>, _)| {
                all.extend(it);
                all
            });
        }
        let is_flat = res.len() == 1;
        let numbers = numbers.filter(|it| is_flat && it.len() <= MAX_NUMBERS);
        Some(Known { numbers, ..self.of_shape(res) })
    }

    fn gather(&self) -> Option<Known> {
        let (data, indices) = (self.shape(0)?, self.shape(1)?);
        let axis = self.axis("axis", 0, data.len())?;
        let shape = [&data[..axis], indices, &data[axis + 1..]].concat();
        let pick = |at: &f64| {
            let numbers = self.numbers(0)?;
            numbers.get(resolve_axis(*at as i64, numbers.len()).ok()?).copied()
        };
        let numbers = if data.len() == 1 { self.numbers(1).and_then(|it| it.iter().map(pick).collect()) } else { None };
        Some(Known { numbers, ..self.of_shape(shape) })
    }

    fn slice(&self) -> Option<Known> {
        let mut shape = self.shape(0)?.clone();
        let (starts, ends) = (self.integers("starts", 1), self.integers("ends", 2));
        let usual = || Some((0..starts.as_ref()?.len() as i64).collect());
        let axes = self.integers("axes", 3).or_else(|| self.input(3).is_none().then(usual)?);
        let steps = self.input(4).map_or_else(|| Some(vec![1; starts.as_ref()?.len()]), Known::integers);
        let (Some(starts), Some(ends), Some(axes), Some(steps)) = (starts, ends, axes, steps) else {
            return Some(self.of_shape(vec![None; shape.len()]));
        };
        let mut numbers = self.numbers(0).filter(|_| shape.len() == 1).map(<[f64]>::to_vec);
        for (((axis, start), end), step) in axes.iter().zip(&starts).zip(&ends).zip(&steps) {
            let axis = resolve_axis(*axis, shape.len()).ok()?;
            let (Some(size), 1) = (shape[axis], step) else {
                (shape[axis], numbers) = (None, None);
                continue;
            };
            let size = i64::try_from(size).ok()?;
            let at = |it: i64| (if it < 0 { it.saturating_add(size) } else { it }).clamp(0, size);
            let (start, end) = (at(*start), at(*end));
            shape[axis] = Some(u64::try_from(end - start).unwrap_or(0));
            numbers = numbers.and_then(|it| Some(it.get(start as usize..end.max(start) as usize)?.to_vec()));
        }
        Some(Known { numbers, ..self.of_shape(shape) })
    }

    /// The same elements in another shape.
    fn reshaped(&self) -> Option<Known> {
        let numbers = self.input(0)?.numbers.clone();
        let shape = match &*self.node.op_type {
            "Squeeze" => self.squeezed(),
            "Unsqueeze" => self.unsqueezed(),
            "Flatten" => self.flattened(),
            _ => self.asked_for(),
        };
        match shape {
            Some(shape) => Some(Known { numbers, ..self.of_shape(shape) }),
            None => Some(Known { numbers, shape: None, ..self.of_shape(vec![]) }),
        }
    }

    fn squeezed(&self) -> Option<Shape> {
        let shape = self.shape(0)?;
        let Some(axes) = self.integers("axes", 1) else {
            return shape
                .iter()
                .all(Option::is_some)
                .then(|| shape.iter().copied().filter(|it| *it != Some(1)).collect());
        };
        let axes = resolve_all(&axes, shape.len())?;
        Some(shape.iter().enumerate().filter(|(idx, _)| !axes.contains(idx)).map(|(_, it)| *it).collect())
    }

    fn unsqueezed(&self) -> Option<Shape> {
        let (shape, axes) = (self.shape(0)?, self.integers("axes", 1)?);
        let rank = shape.len() + axes.len();
        let axes = resolve_all(&axes, rank)?;
        let mut rest = shape.iter();
        (0..rank).map(|it| if axes.contains(&it) { Some(Some(1)) } else { rest.next().copied() }).collect()
    }

    fn flattened(&self) -> Option<Shape> {
        let shape = self.shape(0)?;
        let axis = int(self.node, "axis").unwrap_or(1);
        let axis = usize::try_from(if axis < 0 { axis + shape.len() as i64 } else { axis }).ok()?;
        Some(vec![product(shape.get(..axis)?), product(&shape[axis..])])
    }

    fn asked_for(&self) -> Option<Shape> {
        let asked = self.integers("shape", 1)?;
        let dim = |(idx, it): (usize, &i64)| match it {
            0 if int(self.node, "allowzero") != Some(1) => self.shape(0)?.get(idx).copied(),
            -1 => Some(None),
            _ => Some(u64::try_from(*it).ok()),
        };
        let mut res: Shape = asked.iter().enumerate().map(dim).collect::<Option<_>>()?;
        if let (Some(free), Some(n)) = (asked.iter().position(|it| *it == -1), self.shape(0).and_then(|it| product(it)))
        {
            let others = res.iter().enumerate().filter(|(idx, _)| *idx != free).map(|(_, it)| *it).collect::<Vec<_>>();
            res[free] = product(&others).filter(|&it| it > 0).map(|it| n / it);
        }
        Some(res)
    }

    fn transpose(&self) -> Option<Known> {
        let shape = self.shape(0)?;
        let order = ints(self.node, "perm");
        if order.is_empty() {
            return Some(self.of_shape(shape.iter().rev().copied().collect()));
        }
        let at = |it: &i64| shape.get(usize::try_from(*it).ok()?).copied();
        Some(self.of_shape(order.iter().map(at).collect::<Option<_>>()?))
    }

    fn constant_of_shape(&self) -> Option<Known> {
        let shape = self.input(0)?.dims()?;
        let value = tensor(self.node, "value").map(Known::of_tensor);
        let element_bytes = value.as_ref().map_or(4, |it| it.element_bytes);
        let n = shape.iter().try_fold(1u64, |acc, &it| acc.checked_mul(it)).filter(|&it| it <= MAX_NUMBERS as u64);
        let fill = value.and_then(|it| it.numbers?.first().copied());
        Some(match n.zip(fill) {
            Some((n, fill)) => Known::of_numbers(element_bytes, shape, vec![fill; n as usize]),
            None => Known::of_shape(element_bytes, known(shape)),
        })
    }

    fn tile(&self) -> Option<Known> {
        let repeats = self.input(1)?.dims()?;
        let shape = self.shape(0)?;
        (repeats.len() == shape.len()).then_some(())?;
        Some(self.of_shape(shape.iter().zip(&repeats).map(|(it, by)| it.map(|it| it.saturating_mul(*by))).collect()))
    }

    fn range(&self) -> Option<Known> {
        let (start, limit, step) = (*self.numbers(0)?.first()?, *self.numbers(1)?.first()?, *self.numbers(2)?.first()?);
        let n = ((limit - start) / step).ceil().max(0.0);
        if n.is_nan() {
            return None;
        }
        let n = n as u64;
        Some(if n <= MAX_NUMBERS as u64 {
            Known::of_numbers(self.bytes(), vec![n], (0..n).map(|it| start + it as f64 * step).collect())
        } else {
            self.of_shape(vec![Some(n)])
        })
    }

    fn pad(&self) -> Option<Known> {
        let shape = self.shape(0)?;
        let pads = self.integers("pads", 1).or_else(|| self.integers("paddings", 1))?;
        let axes = match self.input(3) {
            Some(it) => resolve_all(&it.integers()?, shape.len())?,
            None => (0..shape.len()).collect(),
        };
        let mut res = shape.clone();
        for (idx, axis) in axes.iter().enumerate() {
            let by = pads.get(idx)?.saturating_add(*pads.get(idx + axes.len())?);
            res[*axis] = res[*axis].map(|it| it.saturating_add_signed(by));
        }
        Some(self.of_shape(res))
    }

    fn resize(&self) -> Option<Known> {
        let shape = self.shape(0)?;
        let is_first = self.node.op_type == "Upsample" || self.inputs.len() == 2;
        let given = floats(self.node, "scales");
        let scales: Vec<f64> = match self.numbers(if is_first { 1 } else { 2 }) {
            Some(it) => it.to_vec(),
            None => given.iter().map(|&it| it.into()).collect(),
        };
        let sizes = self.input(3).and_then(Known::dims).map(known);
        let axes = ints(self.node, "axes");
        let axes: Vec<usize> =
            if axes.is_empty() { (0..shape.len()).collect() } else { resolve_all(axes, shape.len())? };
        let is_stretched = text(self.node, "keep_aspect_ratio_policy").is_none_or(|it| it == "stretch");
        let mut res = shape.clone();
        for (idx, axis) in axes.iter().enumerate() {
            res[*axis] = match &sizes {
                Some(_) if !is_stretched => None,
                Some(sizes) => *sizes.get(idx)?,
                // In single precision, as ONNX Runtime does: 7 is 0.7 of 10.
                None => res[*axis].zip(scales.get(idx)).map(|(it, by)| (it as f32 * *by as f32) as u64),
            };
        }
        Some(self.of_shape(res))
    }

    fn one_hot(&self) -> Option<Known> {
        let mut shape = self.shape(0)?.clone();
        let depth = self.input(1)?.dims()?.first().copied();
        let axis = self.axis("axis", -1, shape.len() + 1)?;
        shape.insert(axis, depth);
        Some(Known::of_shape(self.input(2).map_or(1, |it| it.element_bytes), shape))
    }

    fn reduced(&self) -> Option<Known> {
        let shape = self.shape(0)?;
        let is_kept = int(self.node, "keepdims").unwrap_or(1) != 0;
        let is_none = int(self.node, "noop_with_empty_axes").unwrap_or(0) != 0;
        let axes = match (self.input(1), ints(self.node, "axes")) {
            (Some(it), _) => it.integers()?,
            (None, it) => it.to_vec(),
        };
        let axes = match &*axes {
            [] if is_none => vec![],
            [] => (0..shape.len()).collect(),
            it => resolve_all(it, shape.len())?,
        };
        let dims = shape.iter().enumerate().map(|(axis, it)| if axes.contains(&axis) { Some(1) } else { *it });
        let dims = dims.enumerate().filter(|(axis, _)| is_kept || !axes.contains(axis));
        Some(self.of_shape(dims.map(|it| it.1).collect()))
    }

    /// The values; the indices are as many.
    fn top_k(&self) -> Option<Known> {
        let mut shape = self.shape(0)?.clone();
        let axis = self.axis("axis", -1, shape.len())?;
        shape[axis] = match self.input(1) {
            Some(it) => it.dims().and_then(|it| it.first().copied()),
            None => u64::try_from(int(self.node, "k")?).ok(),
        };
        Some(self.of_shape(shape))
    }

    fn mel_weights(&self) -> Option<Known> {
        let number = |idx: usize| self.input(idx)?.dims()?.first().copied();
        let data_type = i32::try_from(int(self.node, "output_datatype").unwrap_or(1)).ok()?;
        let shape = [number(1).map(|it| it / 2 + 1), number(0)].to_vec();
        Some(Known::of_shape(bits(data_type)?.div_ceil(8), shape))
    }

    fn gemm(&self) -> Option<Known> {
        let at = |idx: usize, flag: &str, which: usize| {
            let is_flipped = int(self.node, flag).unwrap_or(0) != 0;
            Some(*self.shape(idx)?.get(if is_flipped { 1 - which } else { which })?)
        };
        Some(self.of_shape(vec![at(0, "transA", 0)?, at(1, "transB", 1)?]))
    }

    fn broadcast_all(&self) -> Option<Shape> {
        let mut res = vec![];
        for idx in 0..self.inputs.len() {
            res = broadcast(&res, &self.aligned(idx)?)?;
        }
        Some(res)
    }

    /// Returns the shape of an input as it is broadcast: that of a second one had its axes where an attribute says.
    fn aligned(&self, idx: usize) -> Option<Shape> {
        let shape = self.shape(idx)?.clone();
        let is_early = self.version < COUNTED_FROM_THE_END && int(self.node, "broadcast") == Some(1);
        let (Some(axis), true) = (int(self.node, "axis"), is_early && idx == 1) else { return Some(shape) };
        let n_axes = self.shape(0)?.len();
        let end = resolve_axis(axis, n_axes).ok()? + shape.len();
        Some([shape, vec![Some(1); n_axes.checked_sub(end)?]].concat())
    }

    fn arithmetic(&self) -> Option<Known> {
        let shape = self.broadcast_all()?;
        // Integers are 4 or 8 bytes, and so are scales; both are divided as shapes are where everything is whole.
        let (numbers_of, n) = (|idx| self.numbers(idx), self.inputs.len());
        let numbers = match (n, numbers_of(0), numbers_of(1)) {
            (2, Some(a), Some(b)) if a.len() == b.len() || a.len() == 1 || b.len() == 1 => {
                let len = if a.is_empty() || b.is_empty() { 0 } else { a.len().max(b.len()) };
                let is_whole = a.iter().chain(b).all(|it| it.fract() == 0.0);
                let one = |idx: usize| {
                    let (a, b) = (a[idx % a.len()], b[idx % b.len()]);
                    match &*self.node.op_type {
                        "Add" => a + b,
                        "Sub" => a - b,
                        "Mul" => a * b,
                        "Max" => a.max(b),
                        "Min" => a.min(b),
                        _ if is_whole && self.bytes() == 8 => (a / b).trunc(),
                        // Of floats that is a fraction, of integers it is not: it is left out.
                        _ if is_whole && (a / b).fract() != 0.0 => f64::NAN,
                        _ => a / b,
                    }
                };
                Some((0..len).map(one).collect::<Vec<_>>())
            }
            _ => None,
        };
        let dims: Option<Vec<u64>> = shape.iter().copied().collect();
        Some(match numbers.zip(dims) {
            Some((numbers, dims)) if dims.len() <= 1 && numbers.iter().all(|it| is_exact(*it)) => {
                Known::of_numbers(self.bytes(), dims, numbers)
            }
            _ => self.of_shape(shape),
        })
    }
}

fn known(dims: Vec<u64>) -> Shape {
    dims.into_iter().map(Some).collect()
}

fn resolve_all(axes: &[i64], rank: usize) -> Option<Vec<usize>> {
    axes.iter().map(|&it| resolve_axis(it, rank).ok()).collect()
}

fn add(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    Some(a?.saturating_add(b?))
}

fn product(dims: &[Option<u64>]) -> Option<u64> {
    dims.iter().try_fold(1u64, |acc, it| Some(acc.saturating_mul((*it)?)))
}

/// Returns the shape that both broadcast to, as NumPy says.
fn broadcast(a: &[Option<u64>], b: &[Option<u64>]) -> Option<Shape> {
    let rank = a.len().max(b.len());
    let at = |shape: &[Option<u64>], idx: usize| (idx + shape.len()).checked_sub(rank).map_or(Some(1), |it| shape[it]);
    let one = |idx: usize| match (at(a, idx), at(b, idx)) {
        (Some(1), it) | (it, Some(1)) => Some(it),
        // A dimension that is not known is the other one, or 1.
        (None, it) | (it, None) => Some(it),
        (a, b) => (a == b).then_some(a),
    };
    (0..rank).map(one).collect()
}

/// Returns the shape of a product of matrices, one for each place of the axes before the last two.
pub(super) fn stacked(a: &[Option<u64>], b: &[Option<u64>]) -> Option<Shape> {
    if a.len() < 2 || b.len() < 2 {
        return None;
    }
    let (a_stack, a_matrix) = a.split_at(a.len() - 2);
    let (b_stack, b_matrix) = b.split_at(b.len() - 2);
    Some([broadcast(a_stack, b_stack)?, vec![a_matrix[0], b_matrix[1]]].concat())
}

/// Operators whose output has the type and shape of their first input.
const KEEPS_SHAPE: [&str; 58] = [
    "Abs",
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "BatchNormalization",
    "Ceil",
    "Celu",
    "Clip",
    "Cos",
    "Cosh",
    "CumProd",
    "CumSum",
    "Dropout",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "GroupNormalization",
    "HardSigmoid",
    "HardSwish",
    "Hardmax",
    "InstanceNormalization",
    "LRN",
    "LayerNormalization",
    "LeakyRelu",
    "Log",
    "LogSoftmax",
    "LpNormalization",
    "MeanVarianceNormalization",
    "Mish",
    "Neg",
    "PRelu",
    "RMSNormalization",
    "Reciprocal",
    "Relu",
    "Round",
    "Scatter",
    "ScatterElements",
    "ScatterND",
    "Selu",
    "Shrink",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Softmax",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Swish",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
    "Trilu",
];

#[cfg(test)]
mod tests;
