//! The shape of what `Einsum` makes.

use std::collections::HashMap;

/// Returns the shape of the output, where the equation names its axes one by one.
pub(super) fn shape<'a>(
    equation: &str,
    input: impl Fn(usize) -> Option<&'a Vec<Option<u64>>>,
) -> Option<Vec<Option<u64>>> {
    let equation: String = equation.split_whitespace().collect();
    let (inputs, output) = equation.split_once("->").filter(|_| !equation.contains('.'))?;
    let mut sizes: HashMap<char, u64> = HashMap::new();
    for (idx, axes) in inputs.split(',').enumerate() {
        let Some(shape) = input(idx) else { continue };
        for (axis, size) in axes.chars().zip(shape) {
            let most = sizes.entry(axis).or_default();
            *most = (*most).max(size.unwrap_or(0));
        }
    }
    Some(output.chars().map(|it| sizes.get(&it).copied().filter(|it| *it > 0)).collect())
}
