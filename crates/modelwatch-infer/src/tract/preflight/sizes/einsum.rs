//! The shape of what `Einsum` makes, and how many products it sums.

use std::collections::HashMap;

/// Returns the shape of the output, where the equation names its axes one by one.
pub(super) fn shape<'a>(
    equation: &str,
    input: impl Fn(usize) -> Option<&'a [Option<u64>]>,
) -> Option<Vec<Option<u64>>> {
    let equation: String = equation.split_whitespace().collect();
    let (inputs, output) = equation.split_once("->").filter(|_| !equation.contains('.'))?;
    let sizes = sizes(inputs, input).0;
    Some(output.chars().map(|it| sizes.get(&it).copied().filter(|it| *it > 0)).collect())
}

/// Returns how many products there are: one for each place along all axes.
pub(super) fn points<'a>(equation: &str, input: impl Fn(usize) -> Option<&'a [Option<u64>]>) -> u64 {
    let equation: String = equation.split_whitespace().collect();
    let inputs = equation.split_once("->").map_or(&*equation, |it| it.0);
    let (sizes, of_others) = sizes(inputs, input);
    sizes.into_values().fold(of_others, |acc, it| acc.saturating_mul(it.max(1)))
}

/// Returns the size of each axis that has a letter, 0 where it is not known, and the product of the others.
fn sizes<'a>(inputs: &str, input: impl Fn(usize) -> Option<&'a [Option<u64>]>) -> (HashMap<char, u64>, u64) {
    let mut sizes: HashMap<char, u64> = HashMap::new();
    let mut of_others = 1;
    for (idx, axes) in inputs.split(',').enumerate() {
        let Some(shape) = input(idx) else { continue };
        let (front, back) = axes.split_once("...").unwrap_or((axes, ""));
        let (n_front, n_back) = (front.chars().count(), back.chars().count());
        if axes.contains('.') && shape.len() >= n_front + n_back {
            let others = &shape[n_front..shape.len() - n_back];
            let others = others.iter().map(|it| it.unwrap_or(1).max(1));
            of_others = others.fold(1, u64::saturating_mul).max(of_others);
        }
        let ends = front.chars().zip(shape).chain(back.chars().rev().zip(shape.iter().rev()));
        for (axis, size) in ends {
            let most = sizes.entry(axis).or_default();
            *most = (*most).max(size.unwrap_or(0));
        }
    }
    (sizes, of_others)
}
