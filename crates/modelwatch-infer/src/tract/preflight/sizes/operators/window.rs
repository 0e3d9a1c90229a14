//! The shape of what windows that go over an image make.

use super::{Known, Operator};
use crate::tract::attributes::{int, ints, text};

impl Operator<'_> {
    /// Convolutions and pooling, as far as pads, strides and the kernel say how large an image is.
    pub(super) fn window(&self) -> Option<Known> {
        let image = self.shape(0)?;
        let n = image.len().checked_sub(2)?;
        let weights = if self.node.op_type == "QLinearConv" { 3 } else { 1 };
        let is_convolution = self.node.op_type.contains("Conv");
        let is_transposed = self.node.op_type == "ConvTranspose";
        let group = u64::try_from(int(self.node, "group").unwrap_or(1)).ok()?;
        let channels = match self.shape(weights) {
            Some(it) if is_transposed => it.get(1)?.map(|it| it.saturating_mul(group)),
            Some(it) if is_convolution => *it.first()?,
            _ => image[1],
        };
        let auto_pad = text(self.node, "auto_pad").unwrap_or("NOTSET");
        let is_padded_alike = auto_pad.starts_with("SAME");
        let is_given = int(self.node, "ceil_mode").unwrap_or(0) == 0;
        let of = |name: &str, idx: usize, default: i64| ints(self.node, name).get(idx).copied().unwrap_or(default);
        let size = |idx: usize| -> Option<u64> {
            let size = i64::try_from(image[2 + idx]?).ok()?;
            let declared = ints(self.node, "kernel_shape").get(idx).copied();
            let kernel = match declared {
                Some(it) => it,
                None => i64::try_from((*self.shape(weights)?.get(2 + idx)?)?).ok()?,
            };
            let reach = kernel.checked_sub(1)?.checked_mul(of("dilations", idx, 1))?.checked_add(1)?;
            let pads = match auto_pad {
                "NOTSET" => of("pads", idx, 0).checked_add(of("pads", n + idx, 0))?,
                _ => 0,
            };
            let stride = of("strides", idx, 1);
            let res = if is_padded_alike && !is_transposed {
                size.checked_add(stride)?.checked_sub(1)?.checked_div(stride)?
            } else if is_padded_alike && ints(self.node, "output_shape").is_empty() {
                size.checked_mul(stride)?
            } else if is_transposed {
                let room = size.checked_sub(1)?.checked_mul(stride)?.checked_add(reach)?;
                match ints(self.node, "output_shape").get(idx) {
                    Some(it) => *it,
                    None => room.checked_add(of("output_padding", idx, 0))?.checked_sub(pads)?,
                }
            } else {
                size.checked_add(pads)?.checked_sub(reach)?.checked_div(stride)?.checked_add(1)?
            };
            u64::try_from(res).ok()
        };
        let sizes = (0..n).map(|idx| if is_given { size(idx) } else { None });
        Some(self.of_shape([image[0], channels].into_iter().chain(sizes).collect()))
    }
}
