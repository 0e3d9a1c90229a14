//! The windows of an image that convolutions and pools look at.

use super::copy::copy;

/// Images of `channels` × `height` × `width`, and how a window of `size` moves over them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Window {
    pub channels: usize,
    /// The height and width of an image.
    pub image: [usize; 2],
    pub size: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    /// The rows above and the columns left of an image that are not there.
    pub before: [usize; 2],
    /// How many windows there are below and beside each other.
    pub out: [usize; 2],
}

impl Window {
    /// Returns whether what is laid out of an image is of about its size: no more than four times the pixels and windows together,
    /// or a few thousand. Pads, strides and dilations alone may ask for any amount of memory.
    pub(super) fn is_moderate(&self) -> bool {
        const FEW: usize = 1 << 12;
        let laid_out = |it: usize| {
            let moved = (self.out[it].max(1) - 1).checked_mul(self.stride[it])?;
            let seen =
                self.size[it].checked_sub(1)?.checked_mul(self.dilation[it])?.checked_add(1)?.checked_add(moved)?;
            // In whole strides, as images of every so many rows and columns are.
            seen.max(self.before[it].checked_add(self.image[it])?).checked_next_multiple_of(self.stride[it])
        };
        let area = |[height, width]: [usize; 2]| height.checked_mul(width);
        let n_laid_out = (|| area([laid_out(0)?, laid_out(1)?]))();
        let most = (|| area(self.image)?.checked_add(area(self.out)?)?.checked_mul(4))();
        let is_even = self.stride.iter().chain(&self.dilation).all(|it| *it > 0);
        is_even && n_laid_out.zip(most).is_some_and(|(n, most)| n <= most.max(FEW))
    }

    /// Returns the height and width of an image with all that windows look at.
    pub(super) fn padded(&self) -> [usize; 2] {
        [0, 1].map(|it| {
            let seen = (self.out[it].max(1) - 1) * self.stride[it] + (self.size[it] - 1) * self.dilation[it] + 1;
            seen.max(self.before[it] + self.image[it])
        })
    }

    /// Returns the number of windows.
    pub(super) fn n_out(&self) -> usize {
        self.out[0] * self.out[1]
    }

    /// Returns the number of pixels of an image.
    pub(super) fn n_pixels(&self) -> usize {
        self.image[0] * self.image[1]
    }

    /// Returns whether windows see nothing but the image.
    pub(super) fn is_inside(&self) -> bool {
        self.padded() == self.image
    }

    /// Copies images into their padded places; what is around stays.
    #[inline(always)]
    pub(super) fn pad(&self, images: &[f32], padded: &mut [f32]) {
        let [height, width] = self.padded();
        let [top, left] = self.before;
        let images = images.chunks_exact(self.n_pixels().max(1));
        for (padded, image) in padded.chunks_exact_mut(height * width).zip(images) {
            let rows = padded.chunks_exact_mut(width).skip(top);
            for (padded, row) in rows.zip(image.chunks_exact(self.image[1])) {
                copy(&mut padded[left..left + row.len()], row);
            }
        }
    }
}
