//! TensorFlow operators on images, against their formulas.
#![allow(clippy::unwrap_used)]

mod common;

use common::tensorflow::{FLOAT, SHORT, cast, check, floats, integer, integers, load, op, pick};
use tract_tensorflow::tfpb::tensorflow::NodeDef;

const NAN: f64 = f64::NAN;

/// Numbers that repeat only after many, small enough to be exact in sums of products.
fn made_up(n: usize) -> Vec<f64> {
    (0..n).map(|it| f64::from((it * 7 % 11) as i32 - 5)).collect()
}

/// The place of a number in an array that lies row by row.
fn at(dims: &[usize], places: &[usize]) -> usize {
    dims.iter().zip(places).fold(0, |acc, (dim, it)| acc * dim + it)
}

/// A convolution along each axis: sizes of image and kernel, how many numbers are put before it, and where outputs begin.
struct Window {
    image: Vec<usize>,
    kernel: Vec<usize>,
    stride: usize,
    dilation: usize,
    same: bool,
}

impl Window {
    fn reach(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) * self.dilation + 1
    }

    /// By TensorFlow's documentation of "SAME" and "VALID".
    fn output(&self) -> Vec<usize> {
        let len = |axis: usize| match self.same {
            true => self.image[axis].div_ceil(self.stride),
            false => (self.image[axis] - self.reach(axis)) / self.stride + 1,
        };
        (0..self.image.len()).map(len).collect()
    }

    /// The place in the image that a number of the kernel meets, if there is one.
    fn place(&self, axis: usize, output: usize, kernel: usize) -> Option<usize> {
        let len = self.output()[axis];
        let all = ((len - 1) * self.stride + self.reach(axis)).saturating_sub(self.image[axis]);
        let before = if self.same { all / 2 } else { 0 };
        (output * self.stride + kernel * self.dilation).checked_sub(before).filter(|it| *it < self.image[axis])
    }

    /// Gives each place of the output with that of the kernel and of the image that it meets.
    fn each(&self, mut f: impl FnMut(&[usize], &[usize], &[usize])) {
        let all = |dims: &[usize]| -> Vec<Vec<usize>> {
            let mut res = vec![vec![]];
            for dim in dims {
                res = res.iter().flat_map(|it| (0..*dim).map(move |next| [&it[..], &[next]].concat())).collect();
            }
            res
        };
        for output in all(&self.output()) {
            for kernel in all(&self.kernel) {
                let place = |axis: usize| self.place(axis, output[axis], kernel[axis]);
                if let Some(image) = (0..self.image.len()).map(place).collect::<Option<Vec<_>>>() {
                    f(&output, &kernel, &image);
                }
            }
        }
    }
}

fn windowed(node: NodeDef, window: &Window) -> NodeDef {
    let n = window.image.len();
    let along = |it: usize| -> Vec<i64> { [&[1][..], &vec![it as i64; n], &[1]].concat() };
    node.attr("T", FLOAT)
        .attr("padding", if window.same { "SAME" } else { "VALID" })
        .attr("strides", along(window.stride))
        .attr("dilations", along(window.dilation))
}

fn dims_of(places: &[usize], channels: usize) -> Vec<i64> {
    places.iter().chain([&channels]).map(|it| *it as i64).collect()
}

#[test]
fn convolutions_of_three_axes_add_products() {
    for (same, stride, dilation) in [(true, 1, 1), (true, 2, 1), (false, 1, 2), (false, 2, 1)] {
        let window = Window { image: vec![4, 5, 3], kernel: vec![2, 2, 2], stride, dilation, same };
        let (n_in, n_out) = (2, 3);
        let mut x = made_up(2 * 60 * n_in);
        x[7] = NAN;
        let weights = made_up(8 * n_in * n_out);
        let sizes = window.output();
        let n_image = window.image.iter().product::<usize>() * n_in;
        let n_output = sizes.iter().product::<usize>() * n_out;
        let mut wanted = vec![0.0; 2 * n_output];
        window.each(|output, kernel, image| {
            for (row, c, o) in (0..2).flat_map(|r| (0..n_in).flat_map(move |c| (0..n_out).map(move |o| (r, c, o)))) {
                let pixel = row * n_image + at(&window.image, image) * n_in + c;
                let weight = (at(&window.kernel, kernel) * n_in + c) * n_out + o;
                wanted[row * n_output + at(&sizes, output) * n_out + o] += x[pixel] * weights[weight];
            }
        });
        let kernel: Vec<f32> = weights.iter().map(|it| *it as f32).collect();
        let nodes = vec![
            floats("w", &[2, 2, 2, n_in as i64, n_out as i64], &kernel),
            windowed(op("y", "Conv3D", &["x", "w"]), &window),
        ];
        let what = format!("Conv3D same {same}, stride {stride}, dilation {dilation}");
        check(&what, &dims_of(&window.image, n_in), nodes, &x, &wanted);
    }
}

#[test]
fn transposed_convolutions_add_kernels() {
    let two = |image: [usize; 2], kernel: [usize; 2], stride, dilation, same| Window {
        image: image.to_vec(),
        kernel: kernel.to_vec(),
        stride,
        dilation,
        same,
    };
    let cases = [
        two([4, 6], [3, 3], 2, 1, true),
        two([5, 7], [3, 2], 2, 1, true),
        two([5, 6], [1, 1], 2, 1, true),
        two([6, 8], [2, 2], 2, 1, true),
        two([9, 10], [3, 3], 2, 1, false),
        two([8, 9], [2, 3], 3, 1, false),
        two([6, 7], [2, 2], 1, 2, true),
        Window { image: vec![4, 3, 5], kernel: vec![2, 3, 2], stride: 2, dilation: 1, same: true },
    ];
    for window in &cases {
        let n_axes = window.image.len();
        let (n_in, n_out) = (3, 2);
        let sizes = window.output();
        let n_given = sizes.iter().product::<usize>() * n_in;
        let mut x = made_up(2 * n_given);
        x[1] = NAN;
        let weights = made_up(window.kernel.iter().product::<usize>() * n_out * n_in);
        let n_made = window.image.iter().product::<usize>() * n_out;
        let mut wanted = vec![0.0; 2 * n_made];
        // Each number gives to the image what the convolution takes from there.
        window.each(|output, kernel, image| {
            for (row, c, o) in (0..2).flat_map(|r| (0..n_in).flat_map(move |c| (0..n_out).map(move |o| (r, c, o)))) {
                let given = row * n_given + at(&sizes, output) * n_in + c;
                let weight = (at(&window.kernel, kernel) * n_out + o) * n_in + c;
                wanted[row * n_made + at(&window.image, image) * n_out + o] += x[given] * weights[weight];
            }
        });
        let kernel: Vec<f32> = weights.iter().map(|it| *it as f32).collect();
        let dims: Vec<i64> = window.kernel.iter().chain([&n_out, &n_in]).map(|it| *it as i64).collect();
        let image: Vec<i32> = window.image.iter().map(|it| *it as i32).collect();
        let name = if n_axes == 2 { "Conv2DBackpropInput" } else { "Conv3DBackpropInputV2" };
        let node = || windowed(op("y", name, &["size", "w", "x"]), window);
        let what = format!("{name} {:?} by {:?}, stride {}", window.image, window.kernel, window.stride);
        // The size as a constant, and with the number of rows as exporters take it from the shape.
        let nodes = vec![integers("size", &image), floats("w", &dims, &kernel), node()];
        check(&what, &dims_of(&sizes, n_in), nodes, &x, &wanted);
        let mut parts = vec!["rows".to_owned()];
        let mut nodes = vec![op("shape", "Shape", &["x"]).attr("T", FLOAT).attr("out_type", SHORT)];
        nodes.extend(pick("rows", "shape", 0));
        for (idx, it) in image.iter().chain([&(n_out as i32)]).enumerate() {
            parts.push(format!("part-{idx}"));
            nodes.push(integer(&parts[idx + 1], *it));
        }
        let parts: Vec<&str> = parts.iter().map(|it| &**it).collect();
        nodes.push(op("size", "Pack", &parts).attr("T", SHORT).attr("N", parts.len() as i64).attr("axis", 0_i64));
        nodes.extend([floats("w", &dims, &kernel), node()]);
        check(&format!("{what}, of any rows"), &dims_of(&sizes, n_in), nodes, &x, &wanted);
    }
    let window = two([5, 5], [3, 3], 2, 1, true);
    let nodes = vec![
        integers("size", &[9, 9]),
        floats("w", &[3, 3, 1, 1], &[1.0; 9]),
        windowed(op("y", "Conv2DBackpropInput", &["size", "w", "x"]), &window),
    ];
    let said = load(&[3, 3, 1], nodes).unwrap_err().to_string();
    assert!(said.contains("a convolution makes 5 of 9 along an axis, not 3"), "{said}");
}

#[test]
fn kernels_of_fewer_inputs_are_of_groups_of_channels() {
    let x = [1.0, 10.0, 100.0, 1000.0];
    // The first output sees the first two channels, the second one the others.
    let convolution = |name: &str, n_axes: usize| {
        let dims = [&vec![1_i64; n_axes][..], &[2, 2]].concat();
        let node = op("y", name, &["x", "w"]).attr("T", FLOAT).attr("padding", "VALID");
        vec![floats("w", &dims, &[1.0, 2.0, 3.0, 4.0]), node.attr("strides", vec![1_i64; n_axes + 2])]
    };
    check("Conv2D", &[1, 1, 4], convolution("Conv2D", 2), &x, &[31.0, 4200.0]);
    check("Conv3D", &[1, 1, 1, 4], convolution("Conv3D", 3), &x, &[31.0, 4200.0]);
}

#[test]
fn each_channel_has_kernels_of_its_own() {
    for (same, stride, dilation) in [(true, 1, 1), (true, 2, 1), (true, 1, 2), (false, 1, 2)] {
        let window = Window { image: vec![5, 6], kernel: vec![3, 2], stride, dilation, same };
        let (n_in, times) = (3, 2);
        let mut x = made_up(30 * n_in);
        x[4] = NAN;
        let weights = made_up(6 * n_in * times);
        let sizes = window.output();
        let mut wanted = vec![0.0; sizes.iter().product::<usize>() * n_in * times];
        window.each(|output, kernel, image| {
            for (c, m) in (0..n_in).flat_map(|c| (0..times).map(move |m| (c, m))) {
                let weight = (at(&window.kernel, kernel) * n_in + c) * times + m;
                wanted[(at(&sizes, output) * n_in + c) * times + m] +=
                    x[at(&window.image, image) * n_in + c] * weights[weight];
            }
        });
        let kernel: Vec<f32> = weights.iter().map(|it| *it as f32).collect();
        let nodes = vec![
            floats("w", &[3, 2, n_in as i64, times as i64], &kernel),
            windowed(op("y", "DepthwiseConv2dNative", &["x", "w"]), &window),
        ];
        let what = format!("DepthwiseConv2dNative same {same}, stride {stride}, dilation {dilation}");
        check(&what, &dims_of(&window.image, n_in), nodes, &x, &wanted);
    }
}

#[test]
fn pools_of_three_axes_leave_the_padding_out() {
    for (same, stride) in [(true, 2), (true, 1), (false, 2)] {
        let window = Window { image: vec![3, 4, 5], kernel: vec![2, 2, 2], stride, dilation: 1, same };
        let mut x = made_up(60 * 2);
        (x[3], x[50]) = (NAN, f64::NEG_INFINITY);
        let sizes = window.output();
        let n = sizes.iter().product::<usize>() * 2;
        let (mut largest, mut sums, mut counts) = (vec![f64::NEG_INFINITY; n], vec![0.0; n], vec![0.0; n]);
        window.each(|output, _, image| {
            for c in 0..2 {
                let (to, it) = (at(&sizes, output) * 2 + c, x[at(&window.image, image) * 2 + c]);
                largest[to] = if largest[to].is_nan() || it.is_nan() { NAN } else { largest[to].max(it) };
                sums[to] += it;
                counts[to] += 1.0;
            }
        });
        let means: Vec<f64> = sums.iter().zip(&counts).map(|(sum, count)| sum / count).collect();
        let node = |name: &str| vec![windowed(op("y", name, &["x"]).attr("ksize", vec![1_i64, 2, 2, 2, 1]), &window)];
        let dims = dims_of(&window.image, 2);
        check(&format!("MaxPool3D same {same}, stride {stride}"), &dims, node("MaxPool3D"), &x, &largest);
        check(&format!("AvgPool3D same {same}, stride {stride}"), &dims, node("AvgPool3D"), &x, &means);
    }
}

#[test]
fn edges_are_mirrored() {
    let mut x = made_up(12);
    x[2] = NAN;
    for (mode, first) in [("REFLECT", 1_i64), ("SYMMETRIC", 0)] {
        let pads = [[0, 0], [1, 2], [2, 1]];
        let lens = [1, 3, 4];
        // Where a number comes from: the way goes back and forth between the edges.
        let from = |axis: usize, place: i64| {
            let (len, place) = (lens[axis], place - i64::from(pads[axis][0]));
            if place < 0 {
                first - place - 1
            } else if place >= len {
                2 * len - first - place - 1
            } else {
                place
            }
        };
        let mut wanted = Vec::new();
        for (i, j) in (0..6).flat_map(|i| (0..7).map(move |j| (i, j))) {
            // Without the edge the first is the one next to it.
            let [i, j] = [from(1, i), from(2, j)];
            wanted.push(x[usize::try_from(i * 4 + j).unwrap()]);
        }
        let flat: Vec<i32> = pads.concat();
        let amounts = vec![
            integers("flat", &flat),
            integers("dims", &[3, 2]),
            op("pads", "Reshape", &["flat", "dims"]).attr("T", SHORT),
        ];
        let pad = op("y", "MirrorPad", &["x", "pads"]).attr("T", FLOAT).attr("mode", mode);
        check(&format!("MirrorPad {mode}"), &[3, 4], [amounts, vec![pad]].concat(), &x, &wanted);
    }
}

#[test]
fn channels_are_blocks_of_pixels() {
    let x: Vec<f64> = made_up(2 * 3 * 8);
    let mut wanted = vec![0.0; x.len()];
    // Two rows and three columns of blocks of two by two pixels with two channels.
    for (idx, it) in x.iter().enumerate() {
        let (pixel, channel) = (idx / 8, idx % 8);
        let (row, column) = (2 * (pixel / 3) + channel / 4, 2 * (pixel % 3) + channel / 2 % 2);
        wanted[(row * 6 + column) * 2 + channel % 2] = *it;
    }
    let node = |name: &str| vec![op("y", name, &["x"]).attr("T", FLOAT).attr("block_size", 2_i64)];
    check("DepthToSpace", &[2, 3, 8], node("DepthToSpace"), &x, &wanted);
    check("SpaceToDepth", &[4, 6, 2], node("SpaceToDepth"), &wanted, &x);
    let said = load(&[3, 3, 1], node("SpaceToDepth")).unwrap_err().to_string();
    assert!(said.contains("[1, 3, 3, 1] does not come out even in blocks of 2"), "{said}");
}

#[test]
fn largest_numbers_come_with_their_places() {
    let x = [1.0, NAN, 3.0, 1.0, 2.0, 2.0, -1.0, 2.0, f64::NEG_INFINITY, 0.0, -1.0, f64::INFINITY];
    let top = || vec![integer("k", 2), op("top", "TopKV2", &["x", "k"]).attr("T", FLOAT).attr("sorted", true)];
    // A NaN comes first; of equal numbers, the first.
    let values = [top(), vec![op("y", "Identity", &["top"]).attr("T", FLOAT)]].concat();
    check("TopKV2", &[4], values, &x, &[NAN, 3.0, 2.0, 2.0, f64::INFINITY, 0.0]);
    let places = [top(), vec![cast("y", "top:1", SHORT, FLOAT)]].concat();
    check("the places of TopKV2", &[4], places, &x, &[1.0, 2.0, 0.0, 1.0, 3.0, 1.0]);
}

#[test]
fn sums_run_along_an_axis() {
    let x = [1.0, 2.0, 3.0, 1.0, NAN, 2.0];
    for (exclusive, reverse, wanted) in [
        (false, false, [1.0, 3.0, 6.0, 1.0, NAN, NAN]),
        (true, false, [0.0, 1.0, 3.0, 0.0, 1.0, NAN]),
        (false, true, [6.0, 5.0, 3.0, NAN, NAN, 2.0]),
        (true, true, [5.0, 3.0, 0.0, NAN, 2.0, 0.0]),
    ] {
        let sum =
            op("y", "Cumsum", &["x", "axis"]).attr("T", FLOAT).attr("exclusive", exclusive).attr("reverse", reverse);
        let what = format!("Cumsum exclusive {exclusive}, reverse {reverse}");
        check(&what, &[3], vec![integer("axis", -1), sum], &x, &wanted);
    }
    let reverse = vec![integers("axes", &[-1]), op("y", "ReverseV2", &["x", "axes"]).attr("T", FLOAT)];
    check("ReverseV2", &[3], reverse, &x, &[3.0, 2.0, 1.0, 2.0, NAN, 1.0]);
}

#[test]
fn an_ellipsis_stands_for_the_axes_that_are_left() {
    let x = made_up(12);
    let w: Vec<f32> = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    // Two rows of two by three, times three by two.
    let mut wanted = Vec::new();
    for line in x.chunks(3) {
        for column in 0..2 {
            wanted.push((0..3).map(|it| line[it] * f64::from(w[it * 2 + column])).sum());
        }
    }
    for equation in ["...x,xy->...y", "a...x,xy->a...y", "abx,xy->aby"] {
        let product = op("y", "Einsum", &["x", "w"]).attr("T", FLOAT).attr("N", 2_i64).attr("equation", equation);
        check(equation, &[2, 3], vec![floats("w", &[3, 2], &w), product], &x, &wanted);
    }
    let product =
        op("y", "Einsum", &["x", "x"]).attr("T", FLOAT).attr("N", 2_i64).attr("equation", "a...x,a...x->a...");
    let wanted: Vec<f64> = x.chunks(3).map(|it| it.iter().map(|it| it * it).sum()).collect();
    check("a...x,a...x->a...", &[2, 3], vec![product], &x, &wanted);
    let twice = op("y", "Einsum", &["x"]).attr("T", FLOAT).attr("N", 1_i64).attr("equation", "abb->ab");
    let said = load(&[3, 3], vec![twice]).unwrap_err().to_string();
    assert!(said.contains("Einsum with equation = \"abb->ab\""), "{said}");
}

#[test]
fn functions_of_single_numbers_are_those_of_mathematics() {
    let x = [0.0, 0.5, -0.75, 2.5, NAN, -3.5];
    type Function = fn(f64) -> f64;
    let functions: [(&str, Function); 12] = [
        ("Acos", f64::acos),
        ("Asin", f64::asin),
        ("Asinh", f64::asinh),
        ("Atan", f64::atan),
        ("Atanh", f64::atanh),
        ("Cos", f64::cos),
        ("Cosh", f64::cosh),
        ("Rint", f64::round_ties_even),
        ("Sin", f64::sin),
        ("Sinh", f64::sinh),
        ("Softsign", |it| it / (1.0 + it.abs())),
        ("Tan", f64::tan),
    ];
    for (name, function) in functions {
        check(name, &[6], vec![op("y", name, &["x"]).attr("T", FLOAT)], &x, &x.map(function));
    }
    let far = [1.0, 1.5, 3e38, NAN];
    check("Acosh", &[4], vec![op("y", "Acosh", &["x"]).attr("T", FLOAT)], &far, &far.map(f64::acosh));
    let clip = vec![
        floats("least", &[], &[-1.0]),
        floats("most", &[], &[2.0]),
        op("y", "ClipByValue", &["x", "least", "most"]).attr("T", FLOAT),
    ];
    check("ClipByValue", &[6], clip, &x, &[0.0, 0.5, -0.75, 2.0, NAN, -1.0]);
}

#[test]
fn what_tensorflow_runs_alone_is_refused_by_name() {
    let other = |name: &str| op("y", name, &["x"]).attr("T", FLOAT);
    for (node, wanted) in [
        (other("DepthToSpace").attr("block_size", 2_i64).attr("data_format", "NCHW"), "DepthToSpace with data_format"),
        (other("MaxPool3D").attr("padding", "EXPLICIT"), "MaxPool3D with padding = \"EXPLICIT\""),
        (other("Where"), "Where (node `y`)"),
    ] {
        let said = load(&[2, 2, 4], vec![node]).unwrap_err().to_string();
        assert!(said.contains(wanted), "{said}");
    }
    let amounts = vec![
        integers("flat", &[0, 0, 2, 0]),
        integers("dims", &[2, 2]),
        op("pads", "Reshape", &["flat", "dims"]).attr("T", SHORT),
    ];
    let pad = op("y", "MirrorPad", &["x", "pads"]).attr("T", FLOAT).attr("mode", "REFLECT");
    let said = load(&[2], [amounts, vec![pad]].concat()).unwrap_err().to_string();
    assert!(said.contains("2 and 0 numbers are mirrored around 2"), "{said}");
}
