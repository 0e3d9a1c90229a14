//! All tensors together: layers, and which of them is the first.

use std::collections::BTreeMap;

use crate::{
    change::Change,
    config::Config,
    layer::{self, Part},
    probe::{Entry, Tensors},
    summary::Summary,
    units::Axis,
};

/// The tensors of a run, with what their names say.
pub(crate) struct Model<'a> {
    pub(crate) tensors: Vec<Tensor<'a>>,
    pub(crate) layers: BTreeMap<&'a str, Layer<'a>>,
    /// The first layer, and whether the options name it.
    pub(crate) first_layer: Option<(&'a str, bool)>,
    /// The baseline's tensors that the candidate does not have.
    pub(crate) missing: Vec<(&'a str, &'a Summary)>,
    /// Whether there is a baseline at all.
    pub(crate) has_baseline: bool,
}

/// One tensor of the candidate.
pub(crate) struct Tensor<'a> {
    pub(crate) name: &'a str,
    pub(crate) layer: &'a str,
    pub(crate) part: Part,
    pub(crate) now: &'a Summary,
    pub(crate) before: Option<&'a Summary>,
    pub(crate) change: Option<&'a Change>,
    /// Which axis counts its output units, where that is known.
    pub(crate) output: Option<Axis>,
}

/// The bias of each layer, by name.
type Biases<'a> = BTreeMap<&'a str, (&'a str, &'a Entry)>;

/// A weight with two or more axes, and its bias.
pub(crate) struct Layer<'a> {
    pub(crate) weight: &'a Summary,
    pub(crate) bias: Option<(&'a str, &'a Entry)>,
    pub(crate) output: Option<Axis>,
}

impl<'a> Model<'a> {
    pub(crate) fn new(config: &Config, entries: &'a Tensors) -> Self {
        let biases = biases(entries);
        let layers = layers(entries, &biases);
        let tensor = |(name, entry): (&'a String, &'a Entry)| {
            let (layer, part) = match layer::split(name) {
                (layer, Part::Squeezed) if biases.get(layer).is_some_and(|it| it.0 == name) => (layer, Part::Bias),
                it => it,
            };
            let now = entry.candidate.as_ref()?;
            let output = match layers.get(layer) {
                Some(it) if std::ptr::eq(it.weight, now) => it.output,
                _ => layer::output_axis(name, now, None),
            };
            let (before, change) = (entry.baseline.as_ref(), entry.change.as_ref());
            Some(Tensor { name, layer, part, now, before, change, output })
        };
        let first_layer = match &config.first_layer {
            Some(name) => layers.get_key_value(name.as_str()).map(|it| (*it.0, true)),
            None => first_layer(&layers).map(|it| (it, false)),
        };
        let tensors = entries.iter().filter_map(tensor).collect();
        let missing = entries.iter().filter(|(_, it)| it.candidate.is_none());
        let missing = missing.filter_map(|(name, it)| Some((name.as_str(), it.baseline.as_ref()?))).collect();
        let has_baseline = entries.values().any(|it| it.baseline.is_some());
        Self { tensors, layers, first_layer, missing, has_baseline }
    }

    /// Returns the floating-point tensors.
    pub(crate) fn floats(&self) -> impl Iterator<Item = &Tensor<'a>> {
        self.tensors.iter().filter(|it| it.now.is_float)
    }
}

impl Tensor<'_> {
    /// Returns ‖Δ‖ / ‖w‖ against the baseline, where there was something to compare with.
    pub(crate) fn relative_change(&self) -> Option<f64> {
        self.change.map(Change::relative)
    }

    /// Returns whether an infinity or a huge number in it is what it is for.
    pub(crate) fn is_mask(&self) -> bool {
        self.now.is_mask && self.now.zeros < self.now.n
    }
}

fn biases(entries: &Tensors) -> Biases<'_> {
    let of = |wanted: Part| {
        entries.iter().filter_map(move |(name, entry)| {
            let (layer, part) = layer::split(name);
            (part == wanted).then_some((layer, (name.as_str(), entry)))
        })
    };
    let has_one_axis = |it: &Entry| it.candidate.as_ref().is_some_and(|it| it.shape.len() == 1);
    of(Part::Squeezed).filter(|it| has_one_axis(it.1.1)).chain(of(Part::Bias)).collect()
}

fn layers<'a>(entries: &'a Tensors, biases: &Biases<'a>) -> BTreeMap<&'a str, Layer<'a>> {
    let mut res = BTreeMap::new();
    for (name, entry) in entries {
        let (layer, part) = layer::split(name);
        let Some(weight) = entry.candidate.as_ref().filter(|it| it.is_float && it.shape.len() >= 2) else {
            continue;
        };
        if part != Part::Weight {
            continue;
        }
        let bias = biases.get(layer).copied();
        let bias_len = bias.and_then(|it| it.1.candidate.as_ref()).map(|it| it.n);
        let output = layer::output_axis(name, weight, bias_len);
        res.insert(layer, Layer { weight, bias, output });
    }
    res
}

/// Returns the one layer whose input width is no other layer's output width, nor a multiple of a
/// convolution's (as after flattening), if there is exactly one.
fn first_layer<'a>(layers: &BTreeMap<&'a str, Layer<'a>>) -> Option<&'a str> {
    let widths = layers.iter().map(|(name, it)| {
        let output = it.output?;
        let shape = &it.weight.shape;
        let is_convolution = shape.len() > 2;
        Some((*name, layer::input_width(it.weight, output), output.len(shape), is_convolution))
    });
    let widths = widths.collect::<Option<Vec<_>>>()?;
    let is_first = |name: &str, input: u64| {
        let mut others = widths.iter().filter(|it| it.0 != name);
        others.all(|&(_, _, output, is_convolution)| {
            input != output && !(is_convolution && output > 1 && input.is_multiple_of(output))
        })
    };
    let mut firsts = widths.iter().filter(|it| is_first(it.0, it.1)).map(|it| it.0);
    // A single layer has outputs of the model, which nothing rectifies.
    firsts.next().filter(|_| firsts.next().is_none() && layers.len() > 1)
}
