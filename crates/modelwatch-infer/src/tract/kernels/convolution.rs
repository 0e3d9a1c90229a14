//! Convolutions of images `[sample][channel][y][x]`.
//!
//! For 32 pixels of the output at once, whatever samples they are of, what their windows see is laid out as the columns of a
//! matrix (Chellapilla, Puri and Simard, "High performance convolutional neural networks for document processing", 2006), of
//! which there is never more than the second cache holds.

use std::borrow::Cow;

use pulp::Simd;

use super::{
    copy::{add, copy, every_other},
    finish::{Finish, Rounding},
    matrix::{COLUMNS, Line, ROWS, Rows, Tile, add_products},
    op::Kernel,
    window::Window,
};

/// Numbers of the columns that are worked on at once.
const BLOCK: usize = 1 << 17;

/// `weights[channel][k] · window[k] + bias[channel]`, and the same place of a second input where there is one.
#[derive(Debug)]
pub(super) struct Convolution {
    window: Window,
    groups: usize,
    /// By group, eight channels of the output and `k`; the last channels of a group are filled up with zeros.
    weights: Vec<Rows>,
    bias: Vec<f32>,
    /// Where each number that a window sees of a group is, from its first.
    places: Vec<usize>,
    finish: Finish,
}

impl Convolution {
    /// Takes weights by channel of the output, channel of the input in the group, y and x.
    pub(super) fn new(window: Window, groups: usize, weights: &[f32], bias: Vec<f32>, finish: Finish) -> Self {
        let window = if window.size == [1, 1] && window.stride == [1, 1] && window.is_inside() {
            let n = window.n_pixels();
            Window { image: [1, n], out: [1, n], ..window }
        } else {
            window
        };
        let depth = window.channels / groups * window.size[0] * window.size[1];
        let of_rows = |rows: &[f32]| -> Vec<Rows> {
            (0..depth).map(|k| std::array::from_fn(|row| rows.get(row * depth + k).copied().unwrap_or(0.0))).collect()
        };
        let of_group = |group: &[f32]| -> Vec<Rows> { group.chunks(ROWS * depth).flat_map(of_rows).collect() };
        let packed = weights.chunks(weights.len() / groups).flat_map(of_group).collect();
        let [height, width] = window.padded();
        let place = |k: usize| {
            let (x, y, channel) =
                (k % window.size[1], k / window.size[1] % window.size[0], k / window.size[1] / window.size[0]);
            (channel * height + y * window.dilation[0]) * width + x * window.dilation[1]
        };
        let places = (0..depth).map(place).collect();
        Self { window, groups, weights: packed, bias, places, finish }
    }

    /// Returns the images as windows see them.
    #[inline(always)]
    fn seen<'a>(&self, images: &'a [f32]) -> Cow<'a, [f32]> {
        if self.window.is_inside() {
            return Cow::Borrowed(images);
        }
        let [height, width] = self.window.padded();
        let mut res = vec![0.0; images.len() / self.window.n_pixels() * height * width];
        self.window.pad(images, &mut res);
        Cow::Owned(res)
    }

    /// Lays out what the windows at output pixels from `start` on, counted over all samples, see of a group.
    #[inline(always)]
    fn unfold(&self, seen: &[f32], group: usize, pixels: std::ops::Range<usize>, lines: &mut [Line]) {
        let Window { channels, stride, out, .. } = self.window;
        let (n_out, [height, width]) = (self.window.n_out(), self.window.padded());
        let mut at = 0;
        let mut pixel = pixels.start;
        while pixel < pixels.end {
            let (sample, within) = (pixel / n_out, pixel % n_out);
            let (y, x) = (within / out[1], within % out[1]);
            let n = (out[1] - x).min(pixels.end - pixel);
            let first = (sample * channels + group * (channels / self.groups)) * height * width;
            let seen = &seen[first + y * stride[0] * width + x * stride[1]..];
            for (place, line) in self.places.iter().zip(&mut *lines) {
                let (to, from) = (&mut line[at..at + n], &seen[*place..]);
                match stride[1] {
                    1 => copy(to, &from[..n]),
                    2 => every_other(to, &from[..2 * n - 1]),
                    stride => {
                        for (to, from) in to.iter_mut().zip(from.iter().step_by(stride)) {
                            *to = *from;
                        }
                    }
                }
            }
            at += n;
            pixel += n;
        }
    }
}

impl Kernel for Convolution {
    const NAME: &'static str = "Convolution";

    fn rounding(&self) -> Option<Rounding> {
        self.finish.rounding
    }

    #[inline(always)]
    fn run<S: Simd>(&self, simd: S, inputs: &[&[f32]], output: &mut [f32]) {
        let seen = self.seen(inputs[0]);
        let added = inputs.get(1);
        let n_channels = self.bias.len();
        let (per_group, n_out) = (n_channels / self.groups, self.window.n_out());
        let depth = self.places.len();
        if depth == 0 || output.is_empty() {
            return;
        }
        let n_pixels = output.len() / n_channels;
        let n_panels = (BLOCK / (depth * COLUMNS)).clamp(1, n_pixels.div_ceil(COLUMNS));
        let mut lines = vec![[0.0; COLUMNS]; depth * n_panels];
        let weights = self.weights.chunks_exact(per_group.div_ceil(ROWS) * depth);
        for (group, weights) in weights.enumerate() {
            for first in (0..n_pixels).step_by(COLUMNS * n_panels) {
                let panels = || (first..n_pixels.min(first + COLUMNS * n_panels)).step_by(COLUMNS);
                for (start, lines) in panels().zip(lines.chunks_exact_mut(depth)) {
                    self.unfold(&seen, group, start..n_pixels.min(start + COLUMNS), lines);
                }
                for (weights, row) in weights.chunks_exact(depth).zip((0..).step_by(ROWS)) {
                    let channel = group * per_group + row;
                    let n_rows = ROWS.min(per_group - row);
                    let bias = &self.bias[channel..channel + n_rows];
                    for (start, lines) in panels().zip(lines.chunks_exact(depth)) {
                        let mut tile: Tile = [[0.0; COLUMNS]; ROWS];
                        for (line, bias) in tile.iter_mut().zip(bias) {
                            *line = [*bias; COLUMNS];
                        }
                        let end = n_pixels.min(start + COLUMNS);
                        if let Some(added) = added {
                            for Piece { sample, first, at, n } in (Pieces { start, next: start, end, n_out }) {
                                let added = &added[(sample * n_channels + channel) * n_out + first..];
                                for (line, added) in tile[..n_rows].iter_mut().zip(added.chunks(n_out)) {
                                    add(&mut line[at..at + n], &added[..n]);
                                }
                            }
                        }
                        add_products(simd, (n_rows, end - start), (weights, lines), &self.finish, &mut tile);
                        for Piece { sample, first, at, n } in (Pieces { start, next: start, end, n_out }) {
                            let output = &mut output[(sample * n_channels + channel) * n_out + first..];
                            for (line, output) in tile[..n_rows].iter().zip(output.chunks_mut(n_out)) {
                                copy(&mut output[..n], &line[at..at + n]);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Pixels of one sample, among those of a tile.
struct Piece {
    sample: usize,
    /// The first of them in the sample.
    first: usize,
    /// The first of them in the tile.
    at: usize,
    n: usize,
}

/// Cuts a range of pixels, counted over all samples, where samples begin.
struct Pieces {
    start: usize,
    next: usize,
    end: usize,
    n_out: usize,
}

impl Iterator for Pieces {
    type Item = Piece;

    #[inline(always)]
    fn next(&mut self) -> Option<Piece> {
        if self.next == self.end {
            return None;
        }
        let (sample, first) = (self.next / self.n_out, self.next % self.n_out);
        let n = (self.n_out - first).min(self.end - self.next);
        let at = self.next - self.start;
        self.next += n;
        Some(Piece { sample, first, at, n })
    }
}
