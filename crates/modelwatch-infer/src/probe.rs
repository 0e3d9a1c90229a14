//! Asks a model an arbitrary question, to find out what is wrong with it before any data is run.
//!
//! A model that rejects the question (say, because numbers are indices in it) passes.

use std::path::Path;

use crate::{
    error::InferError,
    spec::{ElementType, TensorSpec},
    tensor::{HostTensor, Values},
};

/// By how much scores may differ, as a part of the largest of their output: two orders of magnitude above what rounding did to the
/// models this was tried on.
const TOLERANCE: f64 = 1e-3;

/// What rounding to single precision leaves of numbers about 1, such as the questions are, where they cancel each other out.
const LEAST_TOLERANCE: f64 = 1e-6;

/// The most rows whose neighbors are changed.
const MAX_CHANGED: usize = 8;

/// The most elements of one input in a micro-batch; a larger declared shape is a damaged file.
const MAX_INPUT_ELEMENTS: usize = 1 << 28;

/// Something that can be asked.
pub type Answer<'a, E> = dyn Fn(Vec<HostTensor>) -> Result<Vec<HostTensor>, E> + 'a;

/// What a question looks like.
#[derive(Clone, Copy)]
pub struct Probe<'a> {
    rows: usize,
    row_shapes: &'a [Vec<usize>],
    inputs: &'a [TensorSpec],
    /// What numbers with a fraction are multiplied with.
    scale: f32,
}

impl<'a> Probe<'a> {
    /// Returns questions of `rows` rows of these shapes for the inputs of the model at `path`.
    ///
    /// # Errors
    /// Where an input would be larger than any that is sound.
    pub fn new(
        path: &Path,
        rows: usize,
        row_shapes: &'a [Vec<usize>],
        inputs: &'a [TensorSpec],
    ) -> Result<Self, InferError> {
        let n_elements = |it: &Vec<usize>| it.iter().try_fold(rows, |acc, &it| acc.checked_mul(it));
        if row_shapes.iter().any(|it| n_elements(it).is_none_or(|it| it > MAX_INPUT_ELEMENTS)) {
            let reason = format!("an input has more than {MAX_INPUT_ELEMENTS} elements");
            return Err(InferError::Prepare { path: path.to_path_buf(), rows, reason });
        }
        Ok(Self { rows, row_shapes, inputs, scale: 1.0 })
    }

    /// Returns whether rows keep their answers when they trade places or others change; a single row does.
    ///
    /// Where no answer is a score, as of a model that gives classes alone, more is asked: classes are far less likely to show it.
    pub fn rows_are_independent<E>(&self, model: &Answer<'_, E>) -> bool {
        if self.rows == 1 {
            return true;
        }
        self.scales(model).iter().all(|&scale| {
            let at = Self { scale, ..*self };
            let (Ok(first), Ok(shifted)) = (at.ask(model, 0), at.ask(model, 1)) else { return true };
            at.agree(&shifted, &first, 1, &largest(&first)) && at.agree_if_neighbors_change(model, &first)
        })
    }

    fn scales<E>(&self, model: &Answer<'_, E>) -> &'static [f32] {
        match model(self.question()) {
            Ok(answer) if !answer.iter().any(|it| it.values.is_float()) => &[1.0, 100.0, -1.0],
            _ => &[1.0],
        }
    }

    /// Returns whether the first and the last row of several keep their answers where they are alone, which `single` is asked.
    pub fn is_the_same_alone<E>(&self, model: &Answer<'_, E>, single: &Answer<'_, E>) -> bool {
        let alone = Self { rows: 1, ..*self };
        let Ok(several) = self.ask(model, 0) else { return true };
        [0, self.rows - 1].into_iter().all(|row| {
            let Ok(one) = single(alone.rows_as(|_| row)) else { return true };
            let same: Vec<_> = several.iter().map(|it| it.rows(row, 1, 1)).collect();
            alone.agree(&same, &one, 0, &largest(&several))
        })
    }

    /// Trading places keeps sums over all rows, so the other rows are also replaced by copies of one.
    fn agree_if_neighbors_change<E>(&self, model: &Answer<'_, E>, first: &[HostTensor]) -> bool {
        let alone = Self { rows: 1, ..*self };
        // What has other rows is found elsewhere.
        if first.iter().any(|it| it.shape.first() != Some(&self.rows)) {
            return true;
        }
        (0..self.rows.min(MAX_CHANGED)).all(|row| {
            let Ok(copies) = model(self.rows_as(|_| row)) else { return true };
            if copies.iter().any(|it| it.shape.first() != Some(&self.rows)) {
                return true;
            }
            let at = |answer: &[HostTensor]| answer.iter().map(|it| it.rows(row, 1, 1)).collect::<Vec<_>>();
            alone.agree(&at(&copies), &at(first), 0, &largest(first))
        })
    }

    /// Returns the answer for rows 0, 1, …, the row at position `i` being row `i + shift`.
    pub fn ask<E>(&self, model: &Answer<'_, E>, shift: usize) -> Result<Vec<HostTensor>, E> {
        model(self.rows_as(|position| (position + shift) % self.rows))
    }

    /// Returns rows 0, 1, ….
    pub fn question(&self) -> Vec<HostTensor> {
        self.rows_as(|position| position)
    }

    fn rows_as(&self, row_at: impl Fn(usize) -> usize) -> Vec<HostTensor> {
        let one = |(row_shape, spec): (&Vec<usize>, &TensorSpec)| {
            let width: usize = row_shape.iter().product();
            let places = (0..self.rows).flat_map(|row| {
                let start = row_at(row) * width;
                start + 1..=start + width
            });
            HostTensor { shape: [&[self.rows], &**row_shape].concat(), values: values(spec.dtype, places, self.scale) }
        };
        self.row_shapes.iter().zip(self.inputs).map(one).collect()
    }

    /// Compares row `i` of `left` with row `i + shift` of `right`: scores nearly, by the largest of each output, all else exactly.
    fn agree(&self, left: &[HostTensor], right: &[HostTensor], shift: usize, largest: &[f64]) -> bool {
        left.iter().zip(right).zip(largest).all(|((left, right), largest)| {
            let by = shift * right.row_len();
            if !left.values.is_float() || !right.values.is_float() {
                return left.values.is_rotated(&right.values, by);
            }
            let (left, mut right) = (left.values.to_f64(), right.values.to_f64());
            if !right.is_empty() {
                let by = by % right.len();
                right.rotate_left(by);
            }
            left.len() == right.len() && are_close(&left, &right, tolerance(*largest))
        })
    }
}

/// Returns the values for places in a question: 0 and 1 in turns, or numbers between them.
fn values(dtype: ElementType, places: impl Iterator<Item = usize>, scale: f32) -> Values {
    // A low-discrepancy sequence in 0..1: no two rows alike, and no random state.
    let number = |place: usize| (place as f64 * 0.618_033_988_749_895).fract() as f32 * scale;
    macro_rules! bits {
        ($variant:ident, $ty:ty) => {
            Values::$variant(places.map(|it| (it % 2) as $ty).collect())
        };
    }
    match dtype {
        ElementType::Bool => Values::Bool(places.map(|it| it % 2 == 1).collect()),
        ElementType::I8 => bits!(I8, i8),
        ElementType::I16 => bits!(I16, i16),
        ElementType::I32 => bits!(I32, i32),
        ElementType::I64 => bits!(I64, i64),
        ElementType::U8 => bits!(U8, u8),
        ElementType::U16 => bits!(U16, u16),
        ElementType::U32 => bits!(U32, u32),
        ElementType::U64 => bits!(U64, u64),
        ElementType::F16 | ElementType::F32 => Values::F32(places.map(number).collect()),
        ElementType::F64 => Values::F64(places.map(|it| f64::from(number(it))).collect()),
        ElementType::Utf8 => Values::Utf8(places.map(|it| number(it).to_string()).collect()),
    }
}

/// Returns the size of the largest finite score of each output; 0 of one without scores.
fn largest(answer: &[HostTensor]) -> Vec<f64> {
    answer.iter().map(|it| if it.values.is_float() { largest_of(&it.values.to_f64()) } else { 0.0 }).collect()
}

/// Returns the size of the largest finite score.
pub(crate) fn largest_of(scores: &[f64]) -> f64 {
    scores.iter().filter(|it| it.is_finite()).fold(0.0, |largest, it| largest.max(it.abs()))
}

/// Returns by how much scores of an output may differ whose largest has this size: it is what sums are rounded by.
pub(crate) fn tolerance(largest: f64) -> f64 {
    (TOLERANCE * largest).max(LEAST_TOLERANCE)
}

/// Returns whether as many scores are nearly the same.
pub(crate) fn are_close(left: &[f64], right: &[f64], tolerance: f64) -> bool {
    // Any number is within a part of an infinity.
    let is_close =
        |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan()) || (b.is_finite() && (a - b).abs() <= tolerance);
    left.iter().zip(right).all(|(a, b)| is_close(*a, *b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(dtype: ElementType) -> TensorSpec {
        TensorSpec { name: "x".to_owned(), dtype, shape: vec![None, Some(2)] }
    }

    fn is_independent(model: impl Fn(Vec<f32>) -> Vec<f32>) -> bool {
        let (shapes, inputs) = ([vec![2]], [spec(ElementType::F32)]);
        let probe = Probe::new(Path::new("m"), 3, &shapes, &inputs).unwrap();
        probe.rows_are_independent::<()>(&|mut inputs| {
            let HostTensor { shape, values: Values::F32(values) } = inputs.remove(0) else { unreachable!() };
            Ok(vec![HostTensor { shape, values: Values::F32(model(values.into()).into()) }])
        })
    }

    #[test]
    fn rows_that_influence_each_other_are_found() {
        assert!(is_independent(|rows| rows.iter().map(|it| it * 2.0).collect()));
        let total = |rows: &[f32]| rows.iter().sum::<f32>();
        assert!(!is_independent(|rows| rows.iter().map(|it| it / total(&rows)).collect()));
        assert!(!is_independent(|rows| (0..rows.len()).map(|idx| idx as f32).collect()));
    }

    #[test]
    fn small_scores_are_held_against_the_largest_of_them() {
        assert_eq!((tolerance(5.0), tolerance(5e-4)), (5e-3, 1e-6));
        assert_eq!(largest_of(&[f64::NAN, -2.0, 1.0, f64::INFINITY]), 2.0);
        let mean = |rows: &[f32]| rows.iter().sum::<f32>() / rows.len() as f32;
        assert!(!is_independent(|rows| rows.iter().map(|it| (it - mean(&rows)) * 5e-4).collect()));
    }

    #[test]
    fn rows_are_found_to_influence_each_other_whatever_the_type_of_the_answer() {
        let (shapes, inputs) = ([vec![2]], [spec(ElementType::F32)]);
        let probe = Probe::new(Path::new("m"), 3, &shapes, &inputs).unwrap();
        let check = |answer: fn(Vec<f32>, f32) -> Values| {
            let independent = |threshold: fn(&[f32]) -> f32| {
                probe.rows_are_independent::<()>(&|mut inputs| {
                    let HostTensor { shape, values: Values::F32(values) } = inputs.remove(0) else { unreachable!() };
                    let threshold = threshold(&values);
                    Ok(vec![HostTensor { shape, values: answer(values.into(), threshold) }])
                })
            };
            assert!(independent(|_| 0.5));
            assert!(!independent(|rows| 0.75 * rows.iter().copied().fold(0.0, f32::max)));
            // Only numbers of another magnitude show it, which are asked for where there are no scores.
            let has_scores = answer(Vec::new(), 0.0).is_float();
            assert!(has_scores || !independent(|rows| rows[0].max(30.0)));
        };
        check(|rows, it| Values::F64(rows.into_iter().map(|row| f64::from(row) - f64::from(it)).collect()));
        check(|rows, it| Values::Bool(rows.into_iter().map(|row| row > it).collect()));
        check(|rows, it| Values::I64(rows.into_iter().map(|row| (row > it).into()).collect()));
        check(|rows, it| Values::Utf8(rows.into_iter().map(|row| (row > it).to_string()).collect()));
    }

    #[test]
    fn what_depends_on_the_number_of_rows_is_found() {
        let (shapes, inputs) = ([vec![2]], [spec(ElementType::F32)]);
        let probe = Probe::new(Path::new("m"), 3, &shapes, &inputs).unwrap();
        let answers = |by: fn(usize, usize) -> f32| {
            let answer = move |mut inputs: Vec<HostTensor>| {
                let HostTensor { shape, values: Values::F32(values) } = inputs.remove(0) else { unreachable!() };
                let scaled = values.iter().enumerate().map(|(idx, it)| it * by(shape[0], idx / 2)).collect();
                Ok(vec![HostTensor { shape, values: Values::F32(scaled) }])
            };
            (probe.rows_are_independent::<()>(&answer), probe.is_the_same_alone::<()>(&answer, &answer))
        };
        assert_eq!(answers(|_, _| 2.0), (true, true));
        assert_eq!(answers(|rows, _| rows as f32), (true, false));
        // What the place of a row decides leaves the first one as it is.
        assert_eq!(answers(|_, row| row as f32 + 1.0), (false, false));
    }

    #[test]
    fn an_infinity_is_close_to_itself_alone() {
        let is_close = |a, b| are_close(&[a], &[b], tolerance(largest_of(&[b])));
        assert!(is_close(f64::INFINITY, f64::INFINITY) && is_close(1.0, 1.0 + TOLERANCE));
        assert!(!is_close(f64::MAX, f64::INFINITY) && !is_close(f64::INFINITY, f64::MAX));
        assert!(!is_close(f64::NEG_INFINITY, f64::INFINITY));
    }

    #[test]
    fn a_question_has_the_types_of_the_inputs() {
        let shapes = vec![vec![2]; 3];
        let inputs = [ElementType::F16, ElementType::I64, ElementType::Bool].map(spec);
        let question = Probe::new(Path::new("m"), 1, &shapes, &inputs).unwrap().question();
        assert_eq!(question[0].values, Values::F32(vec![0.618_034, 0.236_067_98].into()));
        assert_eq!(question[1].values, Values::I64(vec![1, 0].into()));
        assert_eq!(question[2].values, Values::Bool(vec![true, false]));
    }

    #[test]
    fn an_input_that_no_memory_holds_is_not_made() {
        let (shapes, inputs) = ([vec![usize::MAX, 2]], [spec(ElementType::F32)]);
        let error = Probe::new(Path::new("m"), 1, &shapes, &inputs).err().unwrap();
        assert!(error.to_string().contains("more than 268435456 elements"), "{error}");
    }
}
