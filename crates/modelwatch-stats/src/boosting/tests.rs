//! What trees find on made-up rows, what does not show in them, and what they refuse.

use super::*;
use crate::hash::mix;

/// A column of numbers between 0 and 1.
fn uniform(n_rows: usize, seed: u64) -> Vec<f64> {
    (0..n_rows as u64).map(|row| (mix(seed << 32 | row) >> 11) as f64 / (1u64 << 53) as f64).collect()
}

fn fit(columns: &[&[f64]], target: &[f64], options: &BoostingOptions) -> BoostedTrees {
    BoostedTrees::fit(TrainingRows { columns, target, weights: None }, options).unwrap()
}

fn mean_squared(predictions: &[f64], target: &[f64]) -> f64 {
    predictions.iter().zip(target).map(|(it, target)| (it - target).powi(2)).sum::<f64>() / target.len() as f64
}

const LOGISTIC: BoostingOptions = BoostingOptions { loss: Loss::Logistic, ..BoostingOptions::SHALLOW };

#[test]
fn a_smooth_function_of_two_columns_is_found_on_rows_never_seen() {
    let function = |a: &[f64], b: &[f64]| -> Vec<f64> {
        a.iter().zip(b).map(|(a, b)| (6.0 * a).sin() + if *b > 0.3 { a * b } else { 0.0 }).collect()
    };
    let (a, b, noise) = (uniform(4000, 1), uniform(4000, 2), uniform(4000, 3));
    let trees = fit(&[&a, &noise, &b], &function(&a, &b), &BoostingOptions::SHALLOW);
    let (a, b, noise) = (uniform(1000, 4), uniform(1000, 5), uniform(1000, 6));
    let target = function(&a, &b);
    let mean = target.iter().sum::<f64>() / target.len() as f64;
    let error = mean_squared(&trees.predict(&[&a, &noise, &b]).unwrap(), &target);
    let error_of_mean = mean_squared(&vec![mean; target.len()], &target);
    assert!(error < 0.01 * error_of_mean, "{error} and {error_of_mean} of the mean");
}

#[test]
fn chances_are_found_and_add_up_to_what_occurred() {
    let (a, b, coin) = (uniform(8000, 1), uniform(8000, 2), uniform(8000, 3));
    let chances: Vec<f64> = a.iter().zip(&b).map(|(a, b)| 0.1 + 0.8 * f64::from(u8::from(a > b))).collect();
    let target: Vec<f64> = coin.iter().zip(&chances).map(|(coin, chance)| f64::from(u8::from(coin < chance))).collect();
    let found = fit(&[&a, &b], &target, &LOGISTIC).predict(&[&a, &b]).unwrap();
    let error = mean_squared(&found, &chances);
    // Steps along a diagonal, with noise of 0.4: hard for cuts along the axes.
    assert!(error < 0.02, "{error}, and 0.16 of a constant");
    let mean = |it: &[f64]| it.iter().sum::<f64>() / it.len() as f64;
    assert!((mean(&found) - mean(&target)).abs() < 1e-3);
}

#[test]
fn pure_noise_is_hardly_learned() {
    let (a, b) = (uniform(5000, 1), uniform(5000, 2));
    let target: Vec<f64> = uniform(5000, 3).iter().map(|it| f64::from(u8::from(*it < 0.5))).collect();
    let trees = fit(&[&a, &b], &target, &LOGISTIC);
    let found = trees.predict(&[&uniform(5000, 4), &uniform(5000, 5)]).unwrap();
    assert!(mean_squared(&found, &[0.5; 5000]) < 0.01);
}

#[test]
fn the_order_of_rows_does_not_show_in_a_single_bit() {
    let (a, b) = (uniform(3000, 1), uniform(3000, 2));
    let weights = uniform(3000, 3);
    let target: Vec<f64> = a.iter().zip(&b).map(|(a, b)| f64::from(u8::from(a * b > 0.2))).collect();
    let mut order: Vec<usize> = (0..3000).collect();
    order.sort_by_key(|it| mix(*it as u64));
    let shuffled = |it: &[f64]| order.iter().map(|row| it[*row]).collect::<Vec<f64>>();
    for options in [LOGISTIC, BoostingOptions::SHALLOW] {
        let rows = TrainingRows { columns: &[&a, &b], target: &target, weights: Some(&weights) };
        let trees = BoostedTrees::fit(rows, &options).unwrap();
        let (a, b, target, weights) = (shuffled(&a), shuffled(&b), shuffled(&target), shuffled(&weights));
        let rows = TrainingRows { columns: &[&a, &b], target: &target, weights: Some(&weights) };
        assert_eq!(trees, BoostedTrees::fit(rows, &options).unwrap());
    }
}

#[test]
fn a_weight_of_two_is_the_row_twice_and_of_zero_is_none() {
    let options = BoostingOptions { min_leaf_rows: 1, ..BoostingOptions::SHALLOW };
    let (a, target) = ([1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 4.0, 2.0, 8.0, 99.0]);
    let rows = TrainingRows { columns: &[&a], target: &target, weights: Some(&[1.0, 2.0, 1.0, 2.0, 0.0]) };
    let weighted = BoostedTrees::fit(rows, &options).unwrap().predict(&[&a]).unwrap();
    let repeated = fit(&[&[1.0, 2.0, 2.0, 3.0, 4.0, 4.0]], &[1.0, 4.0, 4.0, 2.0, 8.0, 8.0], &options);
    for (left, right) in weighted.iter().zip(repeated.predict(&[&a]).unwrap()) {
        assert!((left - right).abs() < 1e-9, "{left} and {right}");
    }
}

#[test]
fn that_a_value_is_missing_can_be_what_matters() {
    let column: Vec<f64> = (0..200).map(|it| if it % 4 == 0 { f64::NAN } else { 7.0 }).collect();
    let target: Vec<f64> = column.iter().map(|it| if it.is_nan() { 5.0 } else { 1.0 }).collect();
    let trees = fit(&[&column], &target, &BoostingOptions::SHALLOW);
    let found = trees.predict(&[&[f64::NAN, 7.0, -3.0]]).unwrap();
    assert!((found[0] - 5.0).abs() < 0.01 && (found[1] - 1.0).abs() < 0.01 && found[1] == found[2]);
    // Where nothing was missing, what is goes with the larger side.
    let column: Vec<f64> = (0..200).map(f64::from).collect();
    let target: Vec<f64> = column.iter().map(|it| if *it < 150.0 { 1.0 } else { 5.0 }).collect();
    let found = fit(&[&column], &target, &BoostingOptions::SHALLOW).predict(&[&[f64::NAN]]).unwrap();
    assert!((found[0] - 1.0).abs() < 0.01, "{found:?}");
}

#[test]
fn what_does_not_vary_is_predicted_as_it_is() {
    let x = uniform(100, 1);
    assert_eq!(fit(&[&x], &[0.1; 100], &BoostingOptions::SHALLOW).predict(&[&[0.5]]), Ok(vec![0.1]));
    assert_eq!(fit(&[&x], &[1.0; 100], &LOGISTIC).predict(&[&[0.5]]), Ok(vec![1.0]));
    assert_eq!(fit(&[&x], &[0.0; 100], &LOGISTIC).predict(&[&[0.5]]), Ok(vec![0.0]));
    let constant = fit(&[&[2.0; 100]], &x, &BoostingOptions::SHALLOW).predict(&[&[2.0]]).unwrap();
    assert!((constant[0] - x.iter().sum::<f64>() / 100.0).abs() < 1e-12);
}

#[test]
fn what_cannot_be_learned_from_is_refused() {
    let refused =
        |rows: TrainingRows<'_>, options: &BoostingOptions| BoostedTrees::fit(rows, options).unwrap_err().reason;
    let rows = TrainingRows { columns: &[&[1.0, 2.0]], target: &[0.0, 1.0], weights: None };
    let options = BoostingOptions::SHALLOW;
    assert_eq!(refused(TrainingRows { columns: &[&[]], target: &[], ..rows }, &options), Reason::Empty);
    assert_eq!(refused(TrainingRows { weights: Some(&[0.0, 0.0]), ..rows }, &options), Reason::Empty);
    assert_eq!(refused(TrainingRows { target: &[0.0], ..rows }, &options), Reason::LengthMismatch);
    assert_eq!(refused(TrainingRows { target: &[0.0, f64::NAN], ..rows }, &options), Reason::NotANumber);
    assert_eq!(refused(TrainingRows { target: &[0.0, f64::INFINITY], ..rows }, &options), Reason::Infinite);
    assert_eq!(refused(TrainingRows { weights: Some(&[1.0, -1.0]), ..rows }, &options), Reason::OutOfRange);
    assert_eq!(refused(TrainingRows { target: &[0.0, 2.0], ..rows }, &LOGISTIC), Reason::OutOfRange);
    assert_eq!(refused(rows, &BoostingOptions { learning_rate: f64::NAN, ..options }), Reason::OutOfRange);
    let trees = fit(rows.columns, rows.target, &options);
    assert_eq!(trees.predict(&[]).unwrap_err().reason, Reason::LengthMismatch);
}

#[test]
fn infinities_and_huge_numbers_in_columns_are_values() {
    let column = [f64::NEG_INFINITY, -1e308, 1e308, f64::INFINITY];
    let options = BoostingOptions { min_leaf_rows: 1, l2: 0.0, learning_rate: 1.0, ..BoostingOptions::SHALLOW };
    let found = fit(&[&column], &[1.0, 2.0, 3.0, 4.0], &options).predict(&[&column]).unwrap();
    assert!(found.iter().zip([1.0, 2.0, 3.0, 4.0]).all(|(it, target)| (it - target).abs() < 1e-9), "{found:?}");
}
