//! Convolutions of images `[sample][channel][y][x]`.
//!
//! For 32 pixels of the output at once, whatever samples they are of, what their windows see is laid out as the columns of a
//! matrix (Chellapilla, Puri and Simard, "High performance convolutional neural networks for document processing", 2006), of
//! which there is never more than the second cache holds. Of a deep matrix it is a part of the rows at a time, so that weights are
//! loaded once for many pixels; the sums are in the output meanwhile.

use std::{borrow::Cow, ops::Range};

use pulp::Simd;

use super::{
    copy::{add, copy, every_other},
    finish::{Finish, Rounding},
    matrix::{Begin, COLUMNS, Line, ROWS, Rows, Tile, add_products, add_products_in_place},
    op::Kernel,
    window::Window,
};

/// Numbers of the columns that are worked on at once.
const BLOCK: usize = 1 << 17;
/// Numbers of the columns that are worked on at once where weights are few: as many as the first cache holds.
const SMALL_BLOCK: usize = 1 << 13;
/// As many weights are few, which the second cache holds.
const FEW_WEIGHTS: usize = 1 << 17;
/// The most numbers of a column at once, so that the first cache holds eight rows of weights.
const DEPTH: usize = 1 << 10;

/// Neighboring pixels that are copied without a loop.
const FEW: usize = 8;

/// `weights[channel][k] · window[k] + bias[channel]`, and the same place of a second input where there is one.
#[derive(Debug)]
pub(super) struct Convolution {
    window: Window,
    groups: usize,
    /// By group, as many `k` as are worked on at once, eight channels of the output and `k`; the last channels of a group are filled
    /// up with zeros.
    weights: Vec<Rows>,
    /// By group and eight channels of the output.
    bias: Vec<Rows>,
    n_channels: usize,
    /// Where each number that a window sees of a group is, from its first.
    places: Vec<usize>,
    finish: Finish,
}

impl Convolution {
    /// Takes weights by channel of the output, channel of the input in the group, y and x.
    pub(super) fn new(window: Window, groups: usize, weights: &[f32], bias: &[f32], finish: Finish) -> Self {
        let window = if window.size == [1, 1] && window.stride == [1, 1] && window.is_inside() {
            let n = window.n_pixels();
            Window { image: [1, n], out: [1, n], ..window }
        } else {
            window
        };
        let depth = window.channels / groups * window.size[0] * window.size[1];
        let n_channels = bias.len();
        let mut packed = Vec::with_capacity(groups * depth * (n_channels / groups).div_ceil(ROWS));
        for group in weights.chunks(weights.len() / groups) {
            for from in (0..depth).step_by(DEPTH) {
                for rows in group.chunks(ROWS * depth) {
                    let number = |row: usize, k: usize| rows.get(row * depth + k).copied().unwrap_or(0.0);
                    packed.extend((from..depth.min(from + DEPTH)).map(|k| std::array::from_fn(|row| number(row, k))));
                }
            }
        }
        let [height, width] = window.padded();
        let place = |k: usize| {
            let (x, y, channel) =
                (k % window.size[1], k / window.size[1] % window.size[0], k / window.size[1] / window.size[0]);
            (channel * height + y * window.dilation[0]) * width + x * window.dilation[1]
        };
        let places = (0..depth).map(place).collect();
        let rows = |rows: &[f32]| std::array::from_fn(|row| rows.get(row).copied().unwrap_or(0.0));
        let bias = bias.chunks(n_channels / groups).flat_map(|group| group.chunks(ROWS).map(rows)).collect();
        Self { window, groups, weights: packed, bias, n_channels, places, finish }
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

    /// Returns where the window at an output pixel, counted over all samples, begins in a group.
    #[inline(always)]
    fn first(&self, group: usize, pixel: usize) -> usize {
        let Window { channels, stride, out, .. } = self.window;
        let ([height, width], n_out) = (self.window.padded(), self.window.n_out());
        let (sample, within) = (pixel / n_out, pixel % n_out);
        let channel = sample * channels + group * (channels / self.groups);
        (channel * height + within / out[1] * stride[0]) * width + within % out[1] * stride[1]
    }

    /// Lays out what the windows at these output pixels, counted over all samples, see of a group at these places.
    #[inline(always)]
    fn unfold(&self, seen: &[f32], group: usize, pixels: Range<usize>, places: &[usize], lines: &mut [Line]) {
        let Window { stride, out, .. } = self.window;
        if stride[1] == 1 && out[1].is_multiple_of(FEW) && pixels.len() == COLUMNS {
            let mut starts = [0; COLUMNS / FEW];
            for (start, pixel) in starts.iter_mut().zip(pixels.step_by(FEW)) {
                *start = self.first(group, pixel);
            }
            for (place, line) in places.iter().zip(lines) {
                let seen = &seen[*place..];
                for (to, start) in line.as_chunks_mut::<FEW>().0.iter_mut().zip(starts) {
                    if let Some(from) = seen[start..].first_chunk() {
                        *to = *from;
                    }
                }
            }
            return;
        }
        let mut at = 0;
        let mut pixel = pixels.start;
        while pixel < pixels.end {
            let n = (out[1] - pixel % out[1]).min(pixels.end - pixel);
            let seen = &seen[self.first(group, pixel)..];
            for (place, line) in places.iter().zip(&mut *lines) {
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
        let added = inputs.get(1).copied();
        let n_channels = self.n_channels;
        let per_group = n_channels / self.groups;
        let depth = self.places.len();
        if depth == 0 || output.is_empty() {
            return;
        }
        let n_pixels = output.len() / n_channels;
        let most = depth.min(DEPTH);
        let n_row_groups = per_group.div_ceil(ROWS);
        // Of columns, four times as much is read as of weights: they are nearer, unless weights would come from afar.
        let block = if n_row_groups * ROWS * most <= FEW_WEIGHTS { SMALL_BLOCK } else { BLOCK };
        let n_panels = (block / (most * COLUMNS)).clamp(1, n_pixels.div_ceil(COLUMNS));
        let mut lines = vec![[0.0; COLUMNS]; most * n_panels];
        let weights = self.weights.chunks_exact(n_row_groups * depth).zip(self.bias.chunks_exact(n_row_groups));
        for (group, (weights, bias)) in weights.enumerate() {
            for first in (0..n_pixels).step_by(COLUMNS * n_panels) {
                let panels = || (first..n_pixels.min(first + COLUMNS * n_panels)).step_by(COLUMNS);
                for (places, from) in self.places.chunks(DEPTH).zip((0..).step_by(DEPTH)) {
                    let until = from + places.len();
                    let finish = if until == depth { &self.finish } else { &Finish::NOTHING };
                    for (start, lines) in panels().zip(lines.chunks_exact_mut(most)) {
                        self.unfold(&seen, group, start..n_pixels.min(start + COLUMNS), places, lines);
                    }
                    let weights = weights[from * n_row_groups..until * n_row_groups].chunks_exact(places.len());
                    for ((weights, bias), row) in weights.zip(bias).zip((0..per_group).step_by(ROWS)) {
                        let channels = group * per_group + row..group * per_group + per_group.min(row + ROWS);
                        let begin = if from == 0 { Begin::With(bias, added) } else { Begin::Sums };
                        for (start, lines) in panels().zip(lines.chunks_exact(most)) {
                            let pixels = start..n_pixels.min(start + COLUMNS);
                            let sums = Sums { channels: channels.clone(), pixels, begin, finish };
                            self.sum(simd, sums, (weights, lines), output);
                        }
                    }
                }
            }
        }
    }
}

/// Sums of some channels at some pixels, counted over all samples.
struct Sums<'a> {
    channels: Range<usize>,
    pixels: Range<usize>,
    /// The numbers that are added are those of all samples.
    begin: Begin<'a>,
    finish: &'a Finish,
}

impl Convolution {
    #[inline(always)]
    fn sum<S: Simd>(&self, simd: S, sums: Sums<'_>, factors: (&[Rows], &[Line]), output: &mut [f32]) {
        let Sums { channels, pixels: Range { start, end }, begin, finish } = sums;
        let (n_channels, n_out) = (self.n_channels, self.window.n_out());
        let (n_rows, size) = (channels.len(), (channels.len(), end - start));
        let place = |Piece { sample, first, .. }| (sample * n_channels + channels.start) * n_out + first;
        let pieces = || Pieces { start, next: start, end, n_out };
        if let Some(piece) = pieces().next()
            && piece.n == COLUMNS
        {
            let at = place(piece);
            let begin = match begin {
                Begin::With(bias, Some(added)) => Begin::With(bias, Some(&added[at..])),
                other => other,
            };
            return add_products_in_place(simd, n_rows, factors, begin, finish, (&mut output[at..], n_out));
        }
        let mut tile: Tile = [[0.0; COLUMNS]; ROWS];
        let begun = match begin {
            Begin::With(bias, added) => {
                for (line, bias) in tile.iter_mut().zip(bias) {
                    *line = [*bias; COLUMNS];
                }
                added
            }
            Begin::Sums => Some(&*output),
        };
        if let Some(begun) = begun {
            for piece in pieces() {
                let (at, n) = (piece.at, piece.n);
                let begun = &begun[place(piece)..];
                for (line, begun) in tile[..n_rows].iter_mut().zip(begun.chunks(n_out)) {
                    add(&mut line[at..at + n], &begun[..n]);
                }
            }
        }
        add_products(simd, size, factors, finish, &mut tile);
        for piece in pieces() {
            let (at, n) = (piece.at, piece.n);
            let output = &mut output[place(piece)..];
            for (line, output) in tile[..n_rows].iter().zip(output.chunks_mut(n_out)) {
                copy(&mut output[..n], &line[at..at + n]);
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
