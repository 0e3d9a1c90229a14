//! Whole rows: alibi-detect's MMD and NannyML's reconstruction error.

use modelwatch_stats::multivariate::{
    Dealings, Pool, Rbf, Reconstruction, Rows, Strata, correlation_change, linear_mmd, mmd, mmd_squared,
    permutation_p_value,
};

use crate::fixtures::{Column, case_ids, json, table};
use crate::table::{
    Differs::{Are, By},
    Exception, Table, Tolerance,
};

/// The random dealings behind our p-values.
const N_RANDOM: usize = 999;

/// A table as rows of numbers.
struct Sample {
    values: Vec<f64>,
    width: usize,
}

impl Sample {
    fn read(path: &str) -> Self {
        let columns: Vec<Column> = table(path).into_values().collect();
        let n_rows = columns[0].numbers.len();
        let values = (0..n_rows).flat_map(|row| columns.iter().map(move |it| it.numbers[row].unwrap()));
        Self { values: values.collect(), width: columns.len() }
    }

    fn rows(&self) -> Rows<'_> {
        Rows::new(&self.values, self.width).unwrap()
    }
}

fn samples(id: &str) -> [Sample; 2] {
    ["reference", "current"].map(|it| Sample::read(&format!("multivariate/{id}.{it}.parquet")))
}

#[test]
fn alibi_mmd() {
    let expected = json("multivariate/expected.alibi.json");
    let mut table = Table::new("alibi");
    for id in case_ids("multivariate/cases.json", |_| true) {
        let case = &expected[&id];
        let theirs = &case["alibi"];
        let [left, right] = samples(&id);
        let (left, right) = (left.rows(), right.rows());
        // alibi-detect takes the width from the reference.
        let kernel = Rbf::median(left);
        table.add(&id, "sigma", Tolerance::Single, &theirs["sigma"], kernel.map(|it| it.sigma()));
        let distance = kernel.and_then(|it| mmd_squared(left, right, it));
        table.add(&id, "mmd2", Tolerance::Single, &theirs["mmd2"], distance);
        let given = Rbf::new(theirs["sigma"].as_f64().unwrap()).unwrap();
        table.add(&id, "mmd2 of NumPy", Tolerance::Statistic, &case["mmd2_numpy64"], mmd_squared(left, right, given));
        let pool = Pool::new(left, right, 1).unwrap();
        let dealings = Dealings::new(pool.is_current(), Strata::One, N_RANDOM, 1).unwrap();
        let p_value = permutation_p_value(&mmd(&pool, &dealings, Rbf::median(pool.rows()).unwrap()).unwrap());
        table.add(&id, "p_value", Tolerance::PValue, &theirs["p_value"], Ok(p_value));
        let theirs = theirs["p_value"].as_f64().unwrap();
        // Both are shares of about 1000 random dealings: four standard errors, and 0.01 for another width of the kernel.
        let error = (2.0 * theirs.max(0.001) * (1.0 - theirs) / 1000.0).sqrt();
        assert!((p_value - theirs).abs() <= 4.0 * error + 0.01, "{id}: {p_value}, theirs {theirs}");
        assert_eq!(p_value <= 0.05, theirs <= 0.05, "{id}");
    }
    const DEALT: &str = "random dealings; ours count the observed one and take the width from both samples";
    const SINGLE: &str = "the peer's sums are of f32, and cancel: the difference is below 1e-6 absolutely";
    table.check(&[
        Exception { case: "mv_shift", methods: &[("mmd2", By(3e-6))], reason: SINGLE },
        Exception { case: "mv_shift", methods: &[("p_value", By(3.6e-2))], reason: DEALT },
        Exception { case: "mv_same", methods: &[("mmd2", By(1.5e-6))], reason: SINGLE },
        Exception { case: "mv_same", methods: &[("p_value", By(5.5e-2))], reason: DEALT },
        Exception { case: "mv_correlation_only", methods: &[("p_value", Are(0.001, 0.0))], reason: DEALT },
        Exception { case: "mv_1d_tiny", methods: &[("p_value", By(0.48))], reason: DEALT },
        Exception { case: "mv_constant_col", methods: &[("mmd2", By(3.6e-6))], reason: SINGLE },
        Exception { case: "mv_constant_col", methods: &[("p_value", Are(0.001, 0.0))], reason: DEALT },
    ]);
}

#[test]
fn tests_of_single_columns_are_blind_where_only_the_correlation_changes() {
    let [left, right] = samples("mv_correlation_only");
    let pool = Pool::new(left.rows(), right.rows(), 1).unwrap();
    let dealings = Dealings::new(pool.is_current(), Strata::One, N_RANDOM, 1).unwrap();
    let p_value = permutation_p_value(&correlation_change(&pool, &dealings).unwrap());
    let linear = linear_mmd(left.rows(), right.rows(), Rbf::median(left.rows()).unwrap()).unwrap();
    println!("mv_correlation_only: correlation p {p_value}, linear MMD p {}", linear.p_value);
    assert_eq!(p_value, 0.001);
}

/// Returns columns encoded as NannyML does: names by their share in the reference.
fn encoded(columns: &[&Column], reference: &[&Column]) -> Vec<f64> {
    let of = |column: &Column, reference: &Column, row: usize| match column.numbers[row] {
        Some(it) if !it.is_nan() => it,
        _ => {
            let name = &column.texts[row];
            reference.texts.iter().filter(|it| *it == name).count() as f64 / reference.texts.len() as f64
        }
    };
    let n_rows = columns[0].texts.len();
    (0..n_rows)
        .flat_map(|row| columns.iter().zip(reference).map(move |(it, reference)| of(it, reference, row)))
        .collect()
}

#[test]
fn nannyml_reconstruction() {
    let expected = json("multivariate/expected.nannyml.json");
    let names = expected["_meta"]["columns"].as_array().unwrap().iter();
    let names: Vec<&str> = names.map(|it| it.as_str().unwrap()).collect();
    let tables = ["reference", "current"].map(|it| table(&format!("multivariate/car_loan.{it}.parquet")));
    let [reference, current] =
        tables.each_ref().map(|it| names.iter().map(|name| &it[*name]).collect::<Vec<&Column>>());
    let [left, right] = [&reference, &current].map(|it| encoded(it, &reference));
    let theirs = |of: &str, chunk: usize| expected["reconstruction_error"][of][chunk].as_f64().unwrap();
    // The least number of components that restore 65 % is 3 in this sample of the reference, by a little. In all of it it is 4.
    let fit = |share| Reconstruction::fit(Rows::new(&left, names.len()).unwrap(), share).unwrap();
    assert_eq!((fit(0.65).n_components(), fit(0.7).n_components()), (3, 4));
    let components = fit(0.7);
    println!("{:<8} {:>12} {:>12} {:>12} {:>12} nannyml", "chunk", "ours", "theirs", "our error", "theirs");
    for chunk in 0..10 {
        // Every 25th row of a chunk of 5000.
        let rows = &right[chunk * 200 * names.len()..(chunk + 1) * 200 * names.len()];
        let errors = components.errors(Rows::new(rows, names.len()).unwrap()).unwrap();
        let mean = errors.iter().sum::<f64>() / 200.0;
        let error = (errors.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / 199.0 / 200.0).sqrt();
        // Theirs is of 25 times as many rows.
        let (expected, expected_error) = (theirs("value", chunk), 5.0 * theirs("sampling_error", chunk));
        println!("{chunk:<8} {mean:>12.5} {expected:>12.5} {error:>12.5} {expected_error:>12.5} differ as samples do");
        assert!((mean - expected).abs() <= 4.0 * error, "{chunk}: {mean}, theirs {expected}");
        assert!((error / expected_error - 1.0).abs() < 0.2, "{chunk}: {error}, theirs {expected_error}");
    }
}
