//! One tract operator for everything here that maps rows `[N, features]` to rows.

use std::sync::Arc;

use tract_onnx::{
    prelude::{DatumType, IntoTValue, OutletId, TValue, TVec, Tensor, TractResult, TypedFact, TypedModel, tvec},
    tract_hir::{
        infer::{InferenceOp, InferenceResult, Solver, TensorProxy, check_input_arity, check_output_arity},
        internal::{
            EvalContext, EvalOp, Expansion, Op, SpecialOps, StaticName, ToDim, TypedOp, as_op, ensure, expand,
            op_as_typed_op, op_out_of_plan,
        },
    },
};

use super::{
    labels::Labels,
    linear::{LinearClassifier, LinearRegressor},
    scaling::{Norm, Scaler},
    svm,
    trees::{Classifier, Regressor},
};

#[derive(Debug)]
pub(super) enum Kernel {
    Scaler(Scaler),
    Normalizer(Norm),
    Classifier(Classifier),
    Regressor(Regressor),
    LinearClassifier(LinearClassifier),
    LinearRegressor(LinearRegressor),
    SvmClassifier(svm::Classifier),
    SvmRegressor(svm::Regressor),
}

#[derive(Clone, Debug)]
pub(super) struct RowOp(Arc<Kernel>);

impl PartialEq for RowOp {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for RowOp {}

impl RowOp {
    pub(super) fn expansion(kernel: Kernel) -> Box<dyn InferenceOp> {
        expand(Self(Arc::new(kernel)))
    }

    fn kernel_name(&self) -> StaticName {
        match &*self.0 {
            Kernel::Scaler(_) => "Scaler",
            Kernel::Normalizer(_) => "Normalizer",
            Kernel::Classifier(_) => "TreeEnsembleClassifier",
            Kernel::Regressor(_) => "TreeEnsembleRegressor",
            Kernel::LinearClassifier(_) => "LinearClassifier",
            Kernel::LinearRegressor(_) => "LinearRegressor",
            Kernel::SvmClassifier(_) => "SVMClassifier",
            Kernel::SvmRegressor(_) => "SVMRegressor",
        }
        .into()
    }

    /// Returns the width of the output if it is not the input's.
    fn width(&self) -> Option<usize> {
        match &*self.0 {
            Kernel::Scaler(_) | Kernel::Normalizer(_) => None,
            Kernel::Classifier(it) => Some(it.n_classes()),
            Kernel::Regressor(it) => Some(it.n_targets()),
            Kernel::LinearClassifier(it) => Some(it.labels().len()),
            Kernel::LinearRegressor(it) => Some(it.n_targets()),
            Kernel::SvmClassifier(it) => Some(it.n_scores()),
            Kernel::SvmRegressor(_) => Some(1),
        }
    }

    /// Returns the names of the classes of what gives labels, too.
    fn labels(&self) -> Option<&Labels> {
        match &*self.0 {
            Kernel::Classifier(it) => Some(it.labels()),
            Kernel::LinearClassifier(it) => Some(it.labels()),
            Kernel::SvmClassifier(it) => Some(it.labels()),
            _ => None,
        }
    }
}

impl Expansion for RowOp {
    fn name(&self) -> StaticName {
        self.kernel_name()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(if self.labels().is_some() { 2 } else { 1 })
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, self.nboutputs()?)?;
        let scores = &outputs[outputs.len() - 1];
        s.equals(&scores.datum_type, DatumType::F32)?;
        match self.width() {
            None => s.equals(&scores.shape, &inputs[0].shape)?,
            Some(width) => {
                s.equals(&inputs[0].rank, 2)?;
                s.equals(&scores.rank, 2)?;
                s.equals(&scores.shape[0], &inputs[0].shape[0])?;
                s.equals(&scores.shape[1], width.to_dim())?;
            }
        }
        if let Some(labels) = self.labels() {
            s.equals(&outputs[0].datum_type, labels.datum_type())?;
            s.equals(&outputs[0].rank, 1)?;
            s.equals(&outputs[0].shape[0], &inputs[0].shape[0])?;
        }
        Ok(())
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.clone(), inputs)
    }
}

impl Op for RowOp {
    fn name(&self) -> StaticName {
        self.kernel_name()
    }

    op_as_typed_op!();
}

impl EvalOp for RowOp {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let values = widened(&inputs[0])?;
        let mut shape = inputs[0].shape().to_vec();
        ensure!(!shape.is_empty(), "{} needs rows, not a scalar", self.kernel_name());
        // Scaler and Normalizer take [N, features] or [features].
        let features = shape[shape.len() - 1];
        let rows = values.chunks_exact(features.max(1));
        let mut scores = Vec::with_capacity(rows.len().saturating_mul(self.width().unwrap_or(features)));
        let mut labels = Vec::with_capacity(if self.labels().is_some() { rows.len() } else { 0 });
        let mut sums = Vec::new();
        for row in rows {
            match &*self.0 {
                Kernel::Scaler(it) => it.apply(row, inputs[0].datum_type(), &mut scores)?,
                Kernel::Normalizer(it) => it.apply(row, &mut scores),
                Kernel::Classifier(it) => labels.push(it.classify(row, &mut scores)?),
                Kernel::Regressor(it) => it.predict(row, &mut scores)?,
                Kernel::LinearClassifier(it) => labels.push(it.classify(row, &mut sums, &mut scores)?),
                Kernel::LinearRegressor(it) => it.predict(row, &mut sums, &mut scores)?,
                Kernel::SvmClassifier(it) => labels.push(it.classify(row, &mut scores)?),
                Kernel::SvmRegressor(it) => it.predict(row, &mut scores)?,
            }
        }
        if let Some(width) = self.width() {
            shape = vec![shape[0], width];
        }
        let scores = Tensor::from_shape(&shape, &scores)?.into_tvalue();
        Ok(match self.labels() {
            Some(names) => tvec!(names.named(&labels).into_tvalue(), scores),
            None => tvec!(scores),
        })
    }
}

/// Returns the elements in double precision. tract casts one after the other, which takes longer than most of what is done here.
fn widened(tensor: &Tensor) -> TractResult<Vec<f64>> {
    if tensor.datum_type() == DatumType::F32 {
        return Ok(tensor.try_as_plain_ram()?.as_slice::<f32>()?.iter().copied().map(f64::from).collect());
    }
    Ok(tensor.cast_to::<f64>()?.try_as_plain_ram()?.as_slice::<f64>()?.to_vec())
}

impl TypedOp for RowOp {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let rows = inputs[0].shape[0].clone();
        let scores = match self.width() {
            None => TypedFact::dt_shape(DatumType::F32, inputs[0].shape.clone()),
            Some(width) => TypedFact::dt_shape(DatumType::F32, [rows.clone(), width.to_dim()]),
        };
        Ok(match self.labels() {
            Some(it) => tvec!(TypedFact::dt_shape(it.datum_type(), [rows]), scores),
            None => tvec!(scores),
        })
    }

    as_op!();
}
