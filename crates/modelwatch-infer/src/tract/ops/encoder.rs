//! `LabelEncoder` from numbers to numbers, by lists. What has texts or tensors is interpreted.

use std::{collections::HashMap, hash::Hash};

use tract_onnx::{
    model::ParsingContext,
    pb::{NodeProto, OperatorSetIdProto},
    prelude::{Datum, DatumType, IntoTValue, OutletId, TValue, TVec, Tensor, TractResult, TypedFact, TypedModel, tvec},
    tract_hir::{
        infer::{InferenceResult, Solver, TensorProxy, check_input_arity, check_output_arity},
        internal::{
            EvalContext, EvalOp, Expansion, Op, SpecialOps, StaticName, TypedOp, as_op, ensure, expand, op_as_typed_op,
            op_out_of_plan,
        },
    },
};

use super::Built;
use crate::tract::{
    attributes::{float, floats, int, ints},
    guard::RefusedOperator,
};

/// Why a node is refused in which a key has two values.
pub(in crate::tract) const TWO_VALUES: &str =
    "ONNX Runtime takes another of the two values of a key than is specified; give each key one value";

/// Returns whether a node maps numbers to numbers by lists of both.
pub(in crate::tract) fn maps_numbers(node: &NodeProto) -> bool {
    let sides = ["keys_", "values_", "classes_"];
    let is_side = |name: &&str| sides.iter().any(|it| name.starts_with(it)) || *name == "default_tensor";
    let mut given: Vec<&str> = node.attribute.iter().map(|it| &*it.name).filter(is_side).collect();
    given.sort_unstable();
    matches!(*given, ["keys_floats" | "keys_int64s", "values_floats" | "values_int64s"])
}

/// Returns the operator for a node that [`maps_numbers`].
pub(super) fn parse(context: &ParsingContext, node: &NodeProto) -> Built {
    let nan = NanKeys::of(&context.model.opset_import);
    let of_integers = ints(node, "keys_int64s").iter().map(|it| key_of_integer(*it));
    let of_floats = floats(node, "keys_floats").iter().map(|it| nan.key(f64::from(*it)));
    let keys: Vec<u64> = of_integers.chain(of_floats).collect();
    let has_floats = !floats(node, "keys_floats").is_empty();
    let values = match floats(node, "values_floats") {
        [] => Values::Ints(ints(node, "values_int64s").to_vec(), int(node, "default_int64").unwrap_or(-1)),
        it => Values::Floats(it.to_vec(), float(node, "default_float").unwrap_or(-0.0)),
    };
    ensure!(keys.len() == values.len(), "{} keys and {} values", keys.len(), values.len());
    let places = places(node, keys, |a, b| values.are_same(a, b))?;
    Ok((expand(Encoder { has_floats, nan, places, values }), vec![]))
}

/// Returns the place of each key; a node is refused in which a key has two values.
pub(in crate::tract) fn places<K: Eq + Hash>(
    node: &NodeProto,
    keys: Vec<K>,
    are_same: impl Fn(usize, usize) -> bool,
) -> TractResult<HashMap<K, usize>> {
    let mut res = HashMap::new();
    for (place, key) in keys.into_iter().enumerate() {
        if !are_same(*res.entry(key).or_insert(place), place) {
            return Err(RefusedOperator::of(node, TWO_VALUES).into());
        }
    }
    Ok(res)
}

/// Which NaN are one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tract) enum NanKeys {
    All,
    /// As before version 4, for which ONNX Runtime finds none.
    OfSameBits,
}

impl NanKeys {
    /// Returns what the imported version of `ai.onnx.ml` says.
    pub(in crate::tract) fn of(imports: &[OperatorSetIdProto]) -> Self {
        let version = imports.iter().find(|it| it.domain == "ai.onnx.ml").map_or(1, |it| it.version);
        if version < 4 { Self::OfSameBits } else { Self::All }
    }

    /// Returns by what a float is found. Zero is one key, whatever its sign.
    pub(in crate::tract) fn key(self, value: f64) -> u64 {
        match value {
            0.0 => 0,
            it if it.is_nan() && self == Self::All => f64::NAN.to_bits(),
            it => it.to_bits(),
        }
    }
}

/// The values, and that of what is no key.
#[derive(Clone, Debug, PartialEq)]
enum Values {
    Ints(Vec<i64>, i64),
    Floats(Vec<f32>, f32),
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Self::Ints(it, _) => it.len(),
            Self::Floats(it, _) => it.len(),
        }
    }

    fn are_same(&self, a: usize, b: usize) -> bool {
        match self {
            Self::Ints(it, _) => it[a] == it[b],
            Self::Floats(it, _) => it[a].to_bits() == it[b].to_bits(),
        }
    }

    fn datum_type(&self) -> DatumType {
        match self {
            Self::Ints(..) => DatumType::I64,
            Self::Floats(..) => DatumType::F32,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Encoder {
    /// Whether the keys are floats.
    has_floats: bool,
    nan: NanKeys,
    /// The place of each key's value.
    places: HashMap<u64, usize>,
    values: Values,
}

impl Eq for Encoder {}

fn key_of_integer(value: i64) -> u64 {
    value.cast_unsigned()
}

impl Encoder {
    /// Returns the place of each element's value; none for what is no key, as what is of another kind than the keys.
    fn places(&self, input: &Tensor) -> TractResult<Vec<Option<usize>>> {
        fn of<T: Datum + Copy>(input: &Tensor, place: impl Fn(T) -> Option<usize>) -> TractResult<Vec<Option<usize>>> {
            Ok(input.cast_to::<T>()?.to_plain_array_view::<T>()?.iter().map(|it| place(*it)).collect())
        }
        let find = |key: u64| self.places.get(&key).copied();
        match input.datum_type().is_float() {
            is_float if is_float != self.has_floats => Ok(vec![None; input.len()]),
            true => of(input, |it: f64| find(self.nan.key(it))),
            false => of(input, |it: i64| find(key_of_integer(it))),
        }
    }
}

impl Expansion for Encoder {
    fn name(&self) -> StaticName {
        "LabelEncoder".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        s.equals(&outputs[0].datum_type, self.values.datum_type())?;
        s.equals(&outputs[0].shape, &inputs[0].shape)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.clone(), inputs)
    }
}

impl Op for Encoder {
    fn name(&self) -> StaticName {
        "LabelEncoder".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Encoder {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        fn pick<T: Datum + Copy>(
            places: &[Option<usize>],
            values: &[T],
            otherwise: T,
            shape: &[usize],
        ) -> TractResult<Tensor> {
            let picked: Vec<T> = places.iter().map(|it| it.map_or(otherwise, |it| values[it])).collect();
            Tensor::from_shape(shape, &picked)
        }
        let (places, shape) = (self.places(&inputs[0])?, inputs[0].shape());
        let res = match &self.values {
            Values::Ints(values, otherwise) => pick(&places, values, *otherwise, shape)?,
            Values::Floats(values, otherwise) => pick(&places, values, *otherwise, shape)?,
        };
        Ok(tvec!(res.into_tvalue()))
    }
}

impl TypedOp for Encoder {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(TypedFact::dt_shape(self.values.datum_type(), inputs[0].shape.clone())))
    }

    as_op!();
}
