//! Arithmetic on quantized tensors whose scales and zero points are constant: `QLinearMatMul` of ONNX, and what ONNX Runtime's quantizer
//! writes of `com.microsoft`.
//!
//! Products are sums of integers in single precision, which is exact as long as they are below 2^24, and are scaled as they are rounded.
//! Where a scale is not constant, the interpreter computes the same operators.

use tract_onnx::{
    model::ParsingContext,
    pb::NodeProto,
    prelude::{Datum, DatumType, OutletId, TVec, Tensor, TractResult, TypedModel, tensor0, tvec},
    tract_core::{
        axes::AxesMapping,
        broadcast::multi_broadcast,
        ops::{
            binary::TypedBinOp,
            change_axes::{wire_rank_broadcast, wire_with_rank_broadcast},
            einsum::EinSum,
            math::{add, mul},
            nn::{Softmax, SoftmaxKind},
        },
    },
    tract_hir::{
        infer::{InferenceResult, Solver, TensorProxy, check_output_arity},
        internal::{Expansion, SpecialOps, StaticName, TractErrorContext, bail, ensure, expand},
        ops::matmul::compute_shapes,
    },
};

use super::Built;
use crate::tract::{
    attributes::{float, int},
    axes::resolve_axis,
    repair::{Dequantize, Quantize, ZeroPoint},
};

/// The operators of `com.microsoft` that are here.
pub(in crate::tract) const OF_MICROSOFT: [&str; 4] = ["QGemm", "QLinearAdd", "QLinearMul", "QLinearSoftmax"];

/// An operator of which input 0 is quantized by inputs 1 and 2.
#[derive(Clone, Debug, PartialEq)]
struct Quantized {
    kind: Kind,
    n_inputs: usize,
}

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    /// With input 3, which is quantized by 4 and 5, and the numbers of input 6, in units of all that is multiplied.
    Gemm {
        transposed: [bool; 2],
        alpha: f32,
    },
    /// With input 3, which is quantized by 4 and 5.
    MatMul,
    Add,
    Multiply,
    Softmax {
        axis: i64,
    },
}

impl Kind {
    /// Returns the input with the scale of the output; its zero point is behind it.
    fn scale_of_output(&self) -> usize {
        match self {
            Self::Gemm { .. } => 7,
            Self::MatMul | Self::Add | Self::Multiply => 6,
            Self::Softmax { .. } => 3,
        }
    }
}

/// Returns the operator for a node, which has the name of one that is here.
pub(super) fn parse(_context: &ParsingContext, node: &NodeProto) -> Built {
    let flag = |name: &str| int(node, name).unwrap_or(0) != 0;
    let kind = match &*node.op_type {
        "QGemm" => {
            Kind::Gemm { transposed: [flag("transA"), flag("transB")], alpha: float(node, "alpha").unwrap_or(1.0) }
        }
        "QLinearMatMul" => Kind::MatMul,
        "QLinearAdd" => Kind::Add,
        "QLinearMul" => Kind::Multiply,
        "QLinearSoftmax" => {
            ensure!(int(node, "opset").unwrap_or(13) >= 13, "a softmax over several axes is not supported");
            Kind::Softmax { axis: int(node, "axis").unwrap_or(-1) }
        }
        other => bail!("`{other}` is not an operator on quantized tensors"),
    };
    let n_inputs = kind.scale_of_output() + 2;
    ensure!(
        node.input.len() == n_inputs && node.input.iter().all(|it| !it.is_empty()),
        "node `{}` ({}) leaves out some of its {n_inputs} inputs",
        node.name,
        node.op_type
    );
    Ok((expand(Quantized { kind, n_inputs }), vec![]))
}

impl Expansion for Quantized {
    fn name(&self) -> StaticName {
        "Quantized".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_output_arity(outputs, 1)?;
        ensure!(inputs.len() == self.n_inputs, "there are {} inputs, not {}", inputs.len(), self.n_inputs);
        s.equals(&outputs[0].datum_type, &inputs[self.n_inputs - 1].datum_type)?;
        if let Kind::Softmax { .. } = self.kind {
            return s.equals(&inputs[0].shape, &outputs[0].shape);
        }
        s.given_2(&inputs[0].shape, &inputs[3].shape, move |s, a, b| {
            let is_product = matches!(self.kind, Kind::Gemm { .. } | Kind::MatMul);
            ensure!(!is_product || (a.len() >= 2 && b.len() >= 2), "a vector is not a factor");
            let shape = match self.kind {
                Kind::Gemm { transposed, .. } => compute_shapes(a, b, transposed[0], transposed[1], false)?.2,
                Kind::MatMul => compute_shapes(a, b, false, false, false)?.2,
                _ => multi_broadcast(&[a, b])?,
            };
            s.equals(&outputs[0].shape, shape)
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let mut wiring = Wiring { prefix, model, inputs };
        let at = self.kind.scale_of_output();
        let (scale, zero_point) = (wiring.scale(at)?, wiring.zero_point(at + 1)?);
        let (wire, unit) = match self.kind {
            Kind::Gemm { transposed, alpha } => {
                let product = wiring.product(transposed)?;
                let added = wiring.dequantized("added", 6, 1.0, 0)?;
                let sum = wire_with_rank_broadcast(format!("{prefix}.sum"), wiring.model, add(), &[product, added])?[0];
                (sum, wiring.scale(1)? * wiring.scale(4)? * alpha)
            }
            Kind::MatMul => (wiring.product([false; 2])?, wiring.scale(1)? * wiring.scale(4)?),
            Kind::Add => (wiring.binary(add())?, 1.0),
            Kind::Multiply => (wiring.binary(mul())?, 1.0),
            Kind::Softmax { axis } => {
                let numbers = wiring.numbers("numbers", 0)?;
                let axis = resolve_axis(axis, wiring.model.outlet_fact(numbers)?.rank())?;
                let op = Softmax { axes: tvec![axis], quant_output_dt: None, kind: SoftmaxKind::Softmax };
                (wiring.model.wire_node(format!("{prefix}.softmax"), op, &[numbers])?[0], 1.0)
            }
        };
        wiring.model.wire_node(prefix, quantization(unit / scale, &zero_point)?, &[wire])
    }
}

/// Returns the operator that multiplies by a factor, rounds, and adds the zero point, in its type.
pub(in crate::tract) fn quantization(factor: f32, zero_point: &Tensor) -> TractResult<Quantize> {
    let zero = zero_point.cast_to_scalar::<i32>()?;
    let zero_point = match zero_point.datum_type() {
        DatumType::U8 => ZeroPoint::U8(u8::try_from(zero)?),
        DatumType::I8 => ZeroPoint::I8(i8::try_from(zero)?),
        other => bail!("quantizing to {other:?} is not supported"),
    };
    Ok(Quantize { factor, zero_point })
}

/// The inputs of a node while what computes it is wired.
struct Wiring<'a> {
    prefix: &'a str,
    model: &'a mut TypedModel,
    inputs: &'a [OutletId],
}

impl Wiring<'_> {
    /// Returns an input that must be one constant number.
    fn constant<T: Datum + Copy>(&self, idx: usize) -> TractResult<T> {
        let tensor = self.model.outlet_fact(self.inputs[idx])?.konst.clone();
        let tensor = tensor.with_context(|| format!("input {idx} is not constant"))?;
        ensure!(tensor.len() == 1, "input {idx} has {} numbers where one is needed", tensor.len());
        tensor.cast_to::<T>()?.to_plain_array_view::<T>()?.first().copied().context("there is one number")
    }

    fn scale(&self, idx: usize) -> TractResult<f32> {
        self.constant::<f32>(idx)
    }

    fn zero_point(&self, idx: usize) -> TractResult<Tensor> {
        let datum_type = self.model.outlet_fact(self.inputs[idx])?.datum_type;
        Ok(tensor0(self.constant::<i32>(idx)?).cast_to_dt(datum_type)?.into_owned())
    }

    fn dequantized(&mut self, what: &str, idx: usize, scale: f32, zero_point: i32) -> TractResult<OutletId> {
        let name = format!("{}.{what}", self.prefix);
        Ok(self.model.wire_node(name, Dequantize { scale, zero_point }, &[self.inputs[idx]])?[0])
    }

    /// Returns the numbers that an input stands for, which is quantized by those behind it.
    fn numbers(&mut self, what: &str, idx: usize) -> TractResult<OutletId> {
        let (scale, zero_point) = (self.scale(idx + 1)?, self.constant(idx + 2)?);
        self.dequantized(what, idx, scale, zero_point)
    }

    /// Returns the product of inputs 0 and 3 in units of their scales.
    fn product(&mut self, transposed: [bool; 2]) -> TractResult<OutletId> {
        let (zero_of_a, zero_of_b) = (self.constant(2)?, self.constant(5)?);
        let factors = [self.dequantized("a", 0, 1.0, zero_of_a)?, self.dequantized("b", 3, 1.0, zero_of_b)?];
        let factors = wire_rank_broadcast(format!("{}.factors", self.prefix), self.model, &factors)?;
        let rank = self.model.outlet_fact(factors[0])?.rank();
        let axes = AxesMapping::for_numpy_matmul(rank, transposed[0], transposed[1], false)?;
        let name = format!("{}.product", self.prefix);
        Ok(self.model.wire_node(name, EinSum::new(axes, DatumType::F32), &factors)?[0])
    }

    /// Returns what becomes of the numbers that inputs 0 and 3 stand for.
    fn binary(&mut self, op: TypedBinOp) -> TractResult<OutletId> {
        let numbers = [self.numbers("a", 0)?, self.numbers("b", 3)?];
        Ok(wire_with_rank_broadcast(format!("{}.numbers", self.prefix), self.model, op, &numbers)?[0])
    }
}
