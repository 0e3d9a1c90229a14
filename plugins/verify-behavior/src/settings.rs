//! The options, once they make sense.

use std::collections::{BTreeMap, BTreeSet};

use modelwatch_sdk::{Error, Result};

use crate::config::{Case, Change, Channels, Config, Direction, Flip, Known};

/// What is tested.
pub(crate) struct Settings {
    pub(crate) output: Option<String>,
    pub(crate) seed: u64,
    pub(crate) threshold: f64,
    pub(crate) tests: Vec<Test>,
    pub(crate) cases: Vec<Case>,
}

/// A test that is held against every row.
pub(crate) struct Test {
    pub(crate) name: String,
    /// Where it is among the options, as a JSON pointer.
    pub(crate) path: String,
    pub(crate) edit: Edit,
    pub(crate) columns: Option<Vec<String>>,
    pub(crate) only: BTreeMap<String, String>,
    pub(crate) expected: Expected,
    pub(crate) share: f64,
}

/// What is to be seen after a change.
pub(crate) enum Expected {
    Same { tolerance: Option<f64>, class: bool },
    Direction { expect: Direction, element: Option<usize>, slack: f64 },
}

/// What is done to the values of a column.
pub(crate) struct Edit {
    pub(crate) kind: EditKind,
    pub(crate) clip: Option<[f64; 2]>,
}

/// The kinds of change.
pub(crate) enum EditKind {
    Noise(f64),
    Shift { by: [i64; 2], fill: f64, image: ImageOptions },
    Flip { flip: Flip, image: ImageOptions },
    Scale(f64),
    Add(f64),
    Set(f64),
    SetText(String),
    Missing,
}

/// What the options say of an image.
#[derive(Clone)]
pub(crate) struct ImageOptions {
    pub(crate) shape: Option<Vec<usize>>,
    pub(crate) channels: Option<Channels>,
}

impl Settings {
    pub(crate) fn of(config: Config) -> Result<Self> {
        if config.invariance.is_empty() && config.directional.is_empty() && config.cases.is_empty() {
            return Err(Error::config("", "there is nothing to test")
                .with_help("add at least one of `invariance`, `directional` and `cases`"));
        }
        finite("/threshold", "threshold", config.threshold)?;
        let mut names = BTreeSet::new();
        let mut tests = Vec::new();
        for (at, it) in config.invariance.into_iter().enumerate() {
            let path = format!("/invariance/{at}");
            unique(&mut names, &path, &it.name)?;
            if it.tolerance.is_none() && !it.same_class {
                return Err(Error::config(path, format!("`{}` does not say what must not change", it.name))
                    .with_help("set `tolerance`, or `same_class = true`"));
            }
            if let Some(tolerance) = it.tolerance {
                not_negative(&format!("{path}/tolerance"), "tolerance", tolerance)?;
            }
            share(&path, it.share)?;
            columns(&path, it.columns.as_deref())?;
            let edit = Edit::of(&format!("{path}/change"), it.change)?;
            let expected = Expected::Same { tolerance: it.tolerance, class: it.same_class };
            let (columns, share) = (it.columns, it.share);
            tests.push(Test { name: it.name, path, edit, columns, only: it.r#where, expected, share });
        }
        for (at, it) in config.directional.into_iter().enumerate() {
            let path = format!("/directional/{at}");
            unique(&mut names, &path, &it.name)?;
            not_negative(&format!("{path}/slack"), "slack", it.slack)?;
            share(&path, it.share)?;
            columns(&path, Some(&it.columns))?;
            let edit = Edit::of(&format!("{path}/change"), it.change)?;
            let expected = Expected::Direction { expect: it.expect, element: it.element, slack: it.slack };
            let (columns, share) = (Some(it.columns), it.share);
            tests.push(Test { name: it.name, path, edit, columns, only: it.r#where, expected, share });
        }
        for (at, it) in config.cases.iter().enumerate() {
            let path = format!("/cases/{at}");
            unique(&mut names, &path, &it.name)?;
            not_negative(&format!("{path}/tolerance"), "tolerance", it.tolerance)?;
            if it.class.is_none() == it.output.is_none() {
                return Err(Error::config(path, format!("the case `{}` needs one answer", it.name))
                    .with_help("set `class` or `output`, not both"));
            }
            if it.inputs.is_empty() {
                return Err(Error::config(format!("{path}/inputs"), format!("the case `{}` has no inputs", it.name))
                    .with_help("give a value for every column that the model's input is made of"));
            }
            if matches!(it.class, Some(Known::Numbers(_))) || matches!(it.output, Some(Known::Text(_))) {
                return Err(Error::config(path, format!("the case `{}` has an answer of the wrong kind", it.name))
                    .with_help("`class` is a number or a text, `output` a number or a list of numbers"));
            }
        }
        let Config { output, seed, threshold, cases, .. } = config;
        Ok(Self { output, seed, threshold, tests, cases })
    }
}

impl Edit {
    fn of(path: &str, it: Change) -> Result<Self> {
        let Change { noise, shift, flip, scale, add, set, missing, clip, fill, shape, channels } = it;
        let image = ImageOptions { shape, channels };
        let is_image = shift.is_some() || flip.is_some();
        if !is_image && (image.shape.is_some() || image.channels.is_some()) {
            return Err(Error::config(path, "`shape` and `channels` are for `shift` and `flip` alone"));
        }
        if fill != 0.0 && shift.is_none() {
            return Err(Error::config(format!("{path}/fill"), "`fill` is for `shift` alone"));
        }
        finite(&format!("{path}/fill"), "fill", fill)?;
        let mut kinds = Vec::new();
        if let Some(it) = noise {
            if it.is_nan() || it <= 0.0 || it.is_infinite() {
                return Err(Error::config(format!("{path}/noise"), "`noise` must be a standard deviation above 0"));
            }
            kinds.push(EditKind::Noise(it));
        }
        if let Some(by) = shift {
            if by == [0, 0] {
                return Err(Error::config(format!("{path}/shift"), "a `shift` by nothing tests nothing"));
            }
            kinds.push(EditKind::Shift { by, fill, image: image.clone() });
        }
        kinds.extend(flip.map(|flip| EditKind::Flip { flip, image }));
        for (name, value, kind) in
            [("scale", scale, EditKind::Scale as fn(f64) -> EditKind), ("add", add, EditKind::Add)]
        {
            if let Some(it) = value {
                finite(&format!("{path}/{name}"), name, it)?;
                kinds.push(kind(it));
            }
        }
        match set {
            None => {}
            Some(Known::Number(it)) => {
                finite(&format!("{path}/set"), "set", it)?;
                kinds.push(EditKind::Set(it));
            }
            Some(Known::Text(it)) => kinds.push(EditKind::SetText(it)),
            Some(Known::Numbers(_)) => {
                return Err(Error::config(format!("{path}/set"), "`set` takes one number or one text"));
            }
        }
        if missing == Some(true) {
            kinds.push(EditKind::Missing);
        }
        if let Some([low, high]) = clip
            && (low.is_nan() || high.is_nan() || low >= high)
        {
            return Err(Error::config(format!("{path}/clip"), "`clip` must be a lower and a higher number"));
        }
        match (kinds.pop(), kinds.is_empty()) {
            (Some(kind), true) => Ok(Self { kind, clip }),
            _ => Err(Error::config(path, "a change must be exactly one thing")
                .with_help("give one of `noise`, `shift`, `flip`, `scale`, `add`, `set` and `missing = true`")),
        }
    }
}

fn unique(names: &mut BTreeSet<String>, path: &str, name: &str) -> Result<()> {
    let path = format!("{path}/name");
    if name.is_empty() {
        return Err(Error::config(path, "a test needs a name").with_help("say in a few words what it expects"));
    }
    if !names.insert(name.to_owned()) {
        return Err(Error::config(path, format!("two tests are named `{name}`")).with_help("give each its own name"));
    }
    Ok(())
}

fn columns(path: &str, columns: Option<&[String]>) -> Result<()> {
    if columns.is_some_and(<[String]>::is_empty) {
        return Err(Error::config(format!("{path}/columns"), "`columns` must name at least one column"));
    }
    Ok(())
}

fn share(path: &str, share: f64) -> Result<()> {
    if share > 0.0 && share <= 1.0 {
        return Ok(());
    }
    Err(Error::config(format!("{path}/share"), format!("`share` is {share}, expected above 0 and at most 1")))
}

fn finite(path: &str, name: &str, value: f64) -> Result<()> {
    if value.is_finite() { Ok(()) } else { Err(Error::config(path, format!("`{name}` must be finite"))) }
}

fn not_negative(path: &str, name: &str, value: f64) -> Result<()> {
    if value >= 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(Error::config(path, format!("`{name}` is {value}, expected a finite number that is not negative")))
}
