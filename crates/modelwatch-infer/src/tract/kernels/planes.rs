//! What looks at one channel of an image at a time: convolutions of depth one, and the largest number of a window.
//!
//! An image is laid out so that every place of a window sees neighbors where neighboring windows do: with a stride of two as four
//! images of every other row and column. Rows then follow each other without a seam, and what is computed beyond the last window
//! of a row is left out when it is given.

use pulp::Simd;

use super::{
    copy::{copy, every_other},
    finish::{Finish, Rounding},
    matrix::{COLUMNS, Line},
    op::Kernel,
    window::Window,
};

/// The vectors of results that are worked on at once, whose chains of sums run beside each other.
const AT_ONCE: usize = 4;

/// One filter for each channel: `weights[channel][place] · window[place] + bias[channel]`.
#[derive(Debug)]
pub(super) struct Depthwise {
    layout: Layout,
    /// By channel and place in the window.
    weights: Vec<f32>,
    bias: Vec<f32>,
    finish: Finish,
}

/// The largest number that a window sees.
#[derive(Debug)]
pub(super) enum Largest {
    /// Of windows anywhere.
    Anywhere(Layout),
    /// Of windows of this size that lie side by side and fill images of this width.
    SideBySide { size: [usize; 2], width: usize },
}

impl Depthwise {
    pub(super) fn new(window: &Window, weights: Vec<f32>, bias: Vec<f32>, finish: Finish) -> Self {
        Self { layout: Layout::new(window), weights, bias, finish }
    }
}

impl Largest {
    pub(super) fn new(window: &Window) -> Self {
        let &Window { image, size, stride, dilation, before, out, .. } = window;
        let fills = [0, 1].map(|it| stride[it] == size[it] && out[it] * size[it] == image[it]) == [true; 2];
        if fills && dilation == [1, 1] && before == [0, 0] {
            Self::SideBySide { size, width: image[1] }
        } else {
            Self::Anywhere(Layout::new(window))
        }
    }
}

impl Kernel for Depthwise {
    const NAME: &'static str = "Depthwise";

    fn rounding(&self) -> Option<Rounding> {
        self.finish.rounding
    }

    #[inline(always)]
    fn run<S: Simd>(&self, simd: S, inputs: &[&[f32]], output: &mut [f32]) {
        let Self { layout, weights, bias, finish } = self;
        let mut plane = layout.plane(0.0);
        let mut lines = vec![[0.0; COLUMNS]; layout.n_lines];
        let channels = || weights.chunks_exact(layout.places.len()).zip(bias);
        let samples = inputs[0].chunks_exact(layout.n_pixels * bias.len());
        for (images, output) in samples.zip(output.chunks_exact_mut(layout.n_out() * bias.len())) {
            let planes = images.chunks_exact(layout.n_pixels).zip(output.chunks_exact_mut(layout.n_out()));
            for ((image, output), (weights, bias)) in planes.zip(channels()) {
                layout.lay_out(image, &mut plane);
                for (sums, start) in vectors(simd, &mut lines).iter_mut().zip((0..).step_by(AT_ONCE * S::F32_LANES)) {
                    let mut res = [simd.splat_f32s(*bias); AT_ONCE];
                    for (weight, place) in weights.iter().zip(&layout.places) {
                        let weight = simd.splat_f32s(*weight);
                        for (sum, seen) in res.iter_mut().zip(neighbors(simd, &plane[place + start..])) {
                            *sum = simd.mul_add_e_f32s(weight, *seen, *sum);
                        }
                    }
                    for (to, sum) in sums.iter_mut().zip(&res) {
                        *to = finish.apply(simd, *sum);
                    }
                }
                layout.give(&lines, output);
            }
        }
    }
}

impl Kernel for Largest {
    const NAME: &'static str = "Largest";
    const PICKS: bool = true;

    #[inline(always)]
    fn run<S: Simd>(&self, simd: S, inputs: &[&[f32]], output: &mut [f32]) {
        let layout = match self {
            Self::Anywhere(it) => it,
            Self::SideBySide { size, width } => return side_by_side(*size, *width, inputs[0], output),
        };
        let mut plane = layout.plane(LEAST);
        let mut lines = vec![[0.0; COLUMNS]; layout.n_lines];
        let planes = inputs[0].chunks_exact(layout.n_pixels).zip(output.chunks_exact_mut(layout.n_out()));
        for (image, output) in planes {
            layout.lay_out(image, &mut plane);
            for (to, start) in vectors(simd, &mut lines).iter_mut().zip((0..).step_by(AT_ONCE * S::F32_LANES)) {
                let mut res = [simd.splat_f32s(LEAST); AT_ONCE];
                for place in &layout.places {
                    for (largest, seen) in res.iter_mut().zip(neighbors(simd, &plane[place + start..])) {
                        let larger = simd.select_f32s(simd.less_than_f32s(*largest, *seen), *seen, *largest);
                        // A NaN, which is not equal to itself, is kept, as nothing is larger.
                        *largest = simd.select_f32s(simd.equal_f32s(*seen, *seen), larger, *seen);
                    }
                }
                *to = res;
            }
            layout.give(&lines, output);
        }
    }
}

/// What is given where a window sees nothing, or nothing larger. tract gives the least finite number, which is put right.
const LEAST: f32 = f32::NEG_INFINITY;

/// Takes the largest of the rows of windows, and then of their columns, of many windows at once.
#[inline(always)]
fn side_by_side([height, n_columns]: [usize; 2], width: usize, pixels: &[f32], output: &mut [f32]) {
    /// Numbers that the first cache holds with what they are taken from.
    const BLOCK: usize = 1 << 11;
    let n_bands = (BLOCK / width).max(1);
    let mut columns = vec![LEAST; n_bands * width];
    let blocks = pixels.chunks(n_bands * height * width);
    for (pixels, output) in blocks.zip(output.chunks_mut(n_bands * width / n_columns)) {
        for (band, columns) in pixels.chunks_exact(height * width).zip(columns.chunks_exact_mut(width)) {
            columns.fill(LEAST);
            for row in band.chunks_exact(width) {
                for (largest, it) in columns.iter_mut().zip(row) {
                    *largest = larger(*largest, *it);
                }
            }
        }
        if n_columns == 2 {
            for (to, [left, right]) in output.iter_mut().zip(columns.as_chunks().0) {
                *to = larger(*left, *right);
            }
        } else {
            for (to, columns) in output.iter_mut().zip(columns.chunks_exact(n_columns)) {
                *to = LEAST;
                for it in columns {
                    *to = larger(*to, *it);
                }
            }
        }
    }
}

/// Returns the larger number; a NaN, which is not equal to itself, is kept, as nothing is larger.
#[inline(always)]
#[allow(clippy::eq_op)] // What vectors have.
fn larger(largest: f32, it: f32) -> f32 {
    let larger = if largest < it { it } else { largest };
    if it == it { larger } else { it }
}

/// The width of images whose pixels are moved one by one, not by rows.
const NARROW: usize = 8;

/// Where the pixels of an image are laid out, and where windows find them.
#[derive(Debug)]
pub(super) struct Layout {
    n_pixels: usize,
    image_width: usize,
    stride: usize,
    /// By row of pixels, and by which of so many neighbors: the first of them, and its place; the others follow each other.
    targets: Vec<(usize, usize)>,
    /// By pixel: its place.
    pixels: Vec<usize>,
    /// The places that the first window looks at; those of the others are as far from them as their results are from the first.
    places: Vec<usize>,
    /// Numbers of a row, of the results as well.
    width: usize,
    out: [usize; 2],
    n_places: usize,
    n_lines: usize,
}

impl Layout {
    fn new(window: &Window) -> Self {
        let &Window { image, size, stride, dilation, before, out, .. } = window;
        let padded = window.padded();
        let [height, width] = [0, 1].map(|it| padded[it].div_ceil(stride[it]));
        let place = |y: usize, x: usize| {
            let part = y % stride[0] * stride[1] + x % stride[1];
            (part * height + y / stride[0]) * width + x / stride[1]
        };
        // An even number, which is one of as many vectors as are worked on at once.
        let n_lines = ((out[0] - 1) * width + out[1]).div_ceil(COLUMNS).next_multiple_of(2);
        Self {
            n_pixels: window.n_pixels(),
            image_width: image[1],
            stride: stride[1],
            pixels: grid(image).map(|(y, x)| place(y + before[0], x + before[1])).collect(),
            targets: grid([image[0], stride[1]]).map(|(y, x)| (x, place(y + before[0], x + before[1]))).collect(),
            places: grid(size).map(|(y, x)| place(y * dilation[0], x * dilation[1])).collect(),
            width,
            out,
            // As many more as the last line reads beyond.
            n_places: stride[0] * stride[1] * height * width + n_lines * COLUMNS,
            n_lines,
        }
    }

    fn n_out(&self) -> usize {
        self.out[0] * self.out[1]
    }

    /// Returns places of which all that no pixel takes have this number.
    fn plane(&self, around: f32) -> Vec<f32> {
        vec![around; self.n_places]
    }

    #[inline(always)]
    fn lay_out(&self, image: &[f32], plane: &mut [f32]) {
        if self.image_width < NARROW {
            for (pixel, place) in image.iter().zip(&self.pixels) {
                plane[*place] = *pixel;
            }
            return;
        }
        let rows = image.chunks_exact(self.image_width).zip(self.targets.chunks_exact(self.stride));
        for (row, targets) in rows {
            for &(first, target) in targets {
                let row = row.get(first..).unwrap_or_default();
                let to = &mut plane[target..];
                match self.stride {
                    1 => copy(&mut to[..row.len()], row),
                    2 => every_other(to, row),
                    stride => {
                        for (to, pixel) in to.iter_mut().zip(row.iter().step_by(stride)) {
                            *to = *pixel;
                        }
                    }
                }
            }
        }
    }

    /// Writes the results of windows.
    #[inline(always)]
    fn give(&self, lines: &[Line], output: &mut [f32]) {
        let rows = lines.as_flattened().chunks(self.width);
        for (to, row) in output.chunks_exact_mut(self.out[1]).zip(rows) {
            copy(to, &row[..self.out[1]]);
        }
    }
}

fn grid([height, width]: [usize; 2]) -> impl Iterator<Item = (usize, usize)> {
    (0..height).flat_map(move |y| (0..width).map(move |x| (y, x)))
}

/// Returns numbers by as many vectors as are worked on at once.
#[inline(always)]
fn vectors<S: Simd>(_simd: S, lines: &mut [Line]) -> &mut [[S::f32s; AT_ONCE]] {
    S::as_mut_simd_f32s(lines.as_flattened_mut()).0.as_chunks_mut().0
}

/// Returns the first vectors of numbers.
#[inline(always)]
fn neighbors<S: Simd>(_simd: S, numbers: &[f32]) -> &[S::f32s] {
    S::as_simd_f32s(&numbers[..AT_ONCE * S::F32_LANES]).0
}
