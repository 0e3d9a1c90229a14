//! The pictures of the report.

use modelwatch_sdk::report::{Figure, FigureData, Series};

use crate::{
    course::{Course, Outcome, Watched},
    picture::Point,
    report_findings::short,
};

/// The most streams that are drawn.
const MAX_PICTURES: usize = 20;
/// The most changes that are marked in a picture, the newest.
const MAX_MARKS: usize = 40;
/// The most rows of the table.
const MAX_TABLE_ROWS: usize = 500;

/// Returns a table of all streams, and a picture of each of the first ones that changed.
pub(crate) fn figures(courses: &[Course]) -> Vec<Figure> {
    if courses.is_empty() {
        return Vec::new();
    }
    let changed = courses.iter().filter_map(|it| Some((it, it.watched().filter(|it| it.n_changes > 0)?)));
    let pictures = changed.take(MAX_PICTURES).map(|(course, watched)| picture(course, watched));
    std::iter::once(table(courses)).chain(pictures).collect()
}

fn table(courses: &[Course]) -> Figure {
    let row = |it: &Course| {
        let changes = match &it.outcome {
            Outcome::Watched(it) => it.n_changes.to_string(),
            Outcome::TooShort(_) => "too short".to_owned(),
            Outcome::Unfit(_) => "not watched".to_owned(),
        };
        let last = it.watched().and_then(|it| it.changes.last());
        vec![
            it.key.place(),
            it.n.to_string(),
            (it.n_missing + it.n_infinite).to_string(),
            changes,
            last.map(|it| it.mark.full()).unwrap_or_default(),
            last.map(|it| short(it.before.mean)).unwrap_or_default(),
            last.map(|it| short(it.after.mean)).unwrap_or_default(),
        ]
    };
    let heads = ["stream", "values", "passed over", "changes", "last found at", "mean before", "mean after"];
    let left_out = courses.len().saturating_sub(MAX_TABLE_ROWS);
    let more = if left_out == 0 { String::new() } else { format!(" {left_out} streams are left out.") };
    Figure {
        title: "Changes of all streams".to_owned(),
        caption: format!("Rows are counted from 0, in the order of the data.{more}"),
        data: FigureData::Table {
            columns: heads.map(str::to_owned).to_vec(),
            rows: courses.iter().take(MAX_TABLE_ROWS).map(row).collect(),
        },
    }
}

/// Draws the means of stretches, and a vertical line where a change was found: two points at one place.
fn picture(course: &Course, watched: &Watched) -> Figure {
    let (low, high) = watched
        .points
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), it| (low.min(it.mean), high.max(it.mean)));
    let first = watched.changes.len().saturating_sub(MAX_MARKS);
    let mut marks = watched.changes[first..].iter().map(|it| it.place as f64).peekable();
    let (mut x, mut means, mut found) = (Vec::new(), Vec::new(), Vec::new());
    let mut push = |place: f64, mean: f64, mark: f64| {
        x.push(place);
        means.push(mean);
        found.push(mark);
    };
    let mut near = watched.points.first().map_or(f64::NAN, |it| it.mean);
    for Point { place, mean } in &watched.points {
        while let Some(mark) = marks.next_if(|it| it < place) {
            // The third point parts the line from the next one.
            [low, high, f64::NAN].into_iter().for_each(|it| push(mark, near, it));
        }
        near = *mean;
        push(*place, near, f64::NAN);
    }
    for mark in marks {
        [low, high, f64::NAN].into_iter().for_each(|it| push(mark, near, it));
    }
    let marked = match watched.changes.len() - first {
        1 => "its newest change was found".to_owned(),
        n => format!("its {n} newest changes were found"),
    };
    Figure {
        title: format!("Changes of {}", course.key.place()),
        caption: format!("Means of {} stretches of the stream, and where {marked}.", watched.points.len()),
        data: FigureData::Lines {
            x_label: "value of the stream".to_owned(),
            y_label: "mean".to_owned(),
            x,
            series: vec![
                Series { name: "mean".to_owned(), values: means },
                Series { name: "change found".to_owned(), values: found },
            ],
        },
    }
}
