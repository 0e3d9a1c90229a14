//! How the rows are cut into slices: by the values of a column, by bins of its numbers, by crosses of columns.

use std::collections::BTreeMap;

use modelwatch_sdk::{
    Error, RecordBatch, Result,
    arrow::array::ArrayRef,
    rows::{self, Use},
    slices::{Cut, by_value},
};

use crate::{
    config::{Settings, quoted},
    slices::{MISSING, OTHERS, name_of_missing},
};

/// Returns the cuts of a batch: its slice columns, then the crosses.
///
/// # Errors
/// When an option names a column that is none of the slice columns, or bins are asked of a column that has no numbers.
pub(crate) fn cuts(batch: &RecordBatch, settings: &Settings) -> Result<Vec<Cut>> {
    let columns: Vec<(&str, &ArrayRef)> = rows::columns(batch, Use::Slice).collect();
    let unknown = |path: String, name: &str| {
        let help = if columns.is_empty() {
            "the data has no slice columns; list some in `data.columns.slices`".to_owned()
        } else {
            format!("the slice columns are {}", quoted(columns.iter().map(|it| it.0)))
        };
        Error::config(path, format!("`{name}` is not a slice column of the data")).with_help(help)
    };
    if let Some(name) = settings.slice_bins.keys().find(|it| columns.iter().all(|column| column.0 != **it)) {
        return Err(unknown(format!("/slice_bins/{name}"), name));
    }
    let mut res = Vec::with_capacity(columns.len() + settings.cross_slices.len());
    for (name, array) in &columns {
        res.push(named(match settings.slice_bins.get(*name) {
            Some(edges) => bins(name, array, edges)?,
            None => by_value(name, array.as_ref())?,
        }));
    }
    for (nth, crossed) in settings.cross_slices.iter().enumerate() {
        let mut parts = Vec::with_capacity(crossed.len());
        for (idx, column) in crossed.iter().enumerate() {
            let found = columns.iter().position(|it| it.0 == column).map(|it| &res[it]);
            parts.push(found.ok_or_else(|| unknown(format!("/cross_slices/{nth}/{idx}"), column))?);
        }
        let crossed = cross(&parts, batch.num_rows());
        res.push(crossed);
    }
    Ok(res)
}

/// Returns a cut in which rows without a value are in the slice `(missing)`, and no two slices of any cuts have one name: a backslash
/// stands before each comma and backslash of a column or value, before the `=` of a column, and before a value that reads as a slice of none.
fn named(cut: Cut) -> Cut {
    let escape = |text: &str, special: &[char]| -> String {
        let escaped = |it: char| special.contains(&it).then_some('\\').into_iter().chain([it]);
        text.chars().flat_map(escaped).collect()
    };
    let column = escape(&cut.group, &['\\', ',', '=']);
    let name = |it: &String| match &it[cut.group.len() + 1..] {
        it @ (MISSING | OTHERS) => format!("{column}=\\{it}"),
        it => format!("{column}={}", escape(it, &['\\', ','])),
    };
    let mut names: Vec<String> = cut.names.iter().map(name).collect();
    let missing = names.len();
    if cut.rows.iter().any(Option::is_none) {
        names.push(name_of_missing(&column));
    }
    let rows = cut.rows.into_iter().map(|it| it.or(Some(missing))).collect();
    Cut { group: column, names, rows }
}

fn bins(column: &str, array: &ArrayRef, edges: &[f64]) -> Result<Cut> {
    let numbers = rows::numbers(array.as_ref()).map_err(|e| {
        let message = format!("`{column}` of `slice_bins` has no numbers: {}", e.message);
        Error::config(format!("/slice_bins/{column}"), message)
            .with_help("without edges its values are slices of their own: leave it out of `slice_bins`")
    })?;
    if numbers.width != 1 {
        let message = format!("`{column}` has {} numbers per row, expected one", numbers.width);
        return Err(Error::config(format!("/slice_bins/{column}"), message));
    }
    let name = |bin: usize| {
        let edge = |it: Option<&f64>| it.map_or_else(String::new, f64::to_string);
        let low = bin.checked_sub(1).and_then(|it| edges.get(it));
        format!("{column}={}..{}", edge(low), edge(edges.get(bin)))
    };
    let bin = |it: &f64| (!it.is_nan()).then(|| edges.partition_point(|edge| edge <= it));
    let found: Vec<Option<usize>> = numbers.values.iter().map(bin).collect();
    let mut place = vec![None; edges.len() + 1];
    let mut names = Vec::new();
    let rows = found.into_iter().map(|bin| {
        bin.map(|bin| {
            *place[bin].get_or_insert_with(|| {
                names.push(name(bin));
                names.len() - 1
            })
        })
    });
    let rows = rows.collect();
    Ok(Cut { group: column.to_owned(), names, rows })
}

fn cross(parts: &[&Cut], n_rows: usize) -> Cut {
    let mut seen: BTreeMap<Vec<usize>, usize> = BTreeMap::new();
    let mut names = Vec::new();
    let mut rows = Vec::with_capacity(n_rows);
    for row in 0..n_rows {
        let places: Option<Vec<usize>> = parts.iter().map(|it| it.rows[row]).collect();
        rows.push(places.map(|places| {
            let next = seen.len();
            *seen.entry(places).or_insert_with_key(|places| {
                let part = |(part, place): (&&Cut, &usize)| part.names[*place].clone();
                names.push(parts.iter().zip(places).map(part).collect::<Vec<_>>().join(","));
                next
            })
        }));
    }
    let groups: Vec<&str> = parts.iter().map(|it| it.group.as_str()).collect();
    Cut { group: groups.join(","), names, rows }
}
