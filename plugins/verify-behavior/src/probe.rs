//! The probe: changes rows, runs the model on them, and compares the answers.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use modelwatch_sdk::{
    Error, ErrorKind, FindingCode, Host, ModelRole, Need, Needs, Probe, RecordBatch, Report, Result, Role, RowNeeds,
    Verifier,
    arrow::{
        array::ArrayRef,
        schema::{Field, Schema},
    },
    rows::{self, Mention, Use},
    state,
};
use serde::{Deserialize, Serialize};

use crate::{
    answers::{self, Answers},
    cases, change,
    codes::CODES,
    config::Config,
    noise, report,
    settings::{EditKind, Settings, Test},
    tally::Tally,
};

const STATE_VERSION: u8 = 2;

/// The verifier `behavior`.
pub struct Behavior {
    settings: Settings,
    /// By test.
    seen: Vec<Tally>,
    /// The columns of the data that the model's inputs are made of, as far as rows were seen.
    inputs: BTreeSet<String>,
}

/// What is kept of a probe.
#[derive(Serialize, Deserialize)]
struct State {
    tests: BTreeMap<String, Tally>,
    inputs: BTreeSet<String>,
}

impl Verifier for Behavior {
    const NAME: &'static str = "behavior";
    type Config = Config;
    const CODES: &'static [FindingCode] = CODES;

    fn always_needs() -> Needs {
        // Cases bring their own rows.
        let rows = RowNeeds { optional: true, inputs: Need::Required, ..RowNeeds::default() };
        Needs { current: Some(rows), ..Needs::default() }
    }

    fn open(config: Config) -> Result<Self> {
        let settings = Settings::of(config)?;
        let seen = vec![Tally::default(); settings.tests.len()];
        Ok(Self { settings, seen, inputs: BTreeSet::new() })
    }
}

impl Probe for Behavior {
    fn needs(&self) -> Needs {
        let tests = &self.settings.tests;
        let columns: BTreeSet<_> = tests.iter().flat_map(|it| it.only.keys().cloned()).collect();
        let rows = RowNeeds {
            // Cases bring their own rows, but the data says what the model's inputs are made of.
            optional: tests.is_empty(),
            columns: columns.into_iter().collect(),
            id: if tests.is_empty() { Need::No } else { Need::Optional },
            predictions: if tests.is_empty() { Need::No } else { Need::Required },
            inputs: Need::Required,
            ..RowNeeds::default()
        };
        let mentions = Mention::output(self.settings.output.as_ref()).into_iter().collect();
        let metrics = report::known(&self.settings).collect();
        Needs { current: Some(rows), mentions, metrics, ..Needs::default() }
    }

    fn update(&mut self, host: &dyn Host, role: Role, batch: &RecordBatch) -> Result<()> {
        if role != Role::Current || batch.num_rows() == 0 {
            return Ok(());
        }
        let inputs = rows::only_inputs(batch, &[ModelRole::Candidate])?;
        self.inputs.extend(inputs.schema_ref().fields().iter().map(|it| it.name().clone()));
        if self.settings.tests.is_empty() {
            return Ok(());
        }
        let outputs: Vec<_> = rows::outputs(batch, ModelRole::Candidate).collect();
        let (name, output) = answers::choose(&outputs, self.settings.output.as_deref())?;
        let before = Answers::of(output, self.settings.threshold)?;
        let ids = rows::columns(batch, Use::Id).next().map(|it| rows::texts(it.1.as_ref())).transpose()?;
        let inputs = Inputs::of(inputs)?;
        for (test, tally) in self.settings.tests.iter().zip(&mut self.seen) {
            if host.is_cancelled() {
                return Err(host.cancelled());
            }
            let matching = matching(test, batch)?;
            tally.rows += matching.iter().filter(|&&it| it).count() as u64;
            let Some((changed, differs)) = inputs.changed(test, self.settings.seed, &matching)? else { continue };
            let answered = host.infer(ModelRole::Candidate, &changed).map_err(|e| match test.edit.kind {
                EditKind::Missing if e.kind == ErrorKind::Input => {
                    let message = format!("the model takes no missing values in test `{}`: {}", test.name, e.message);
                    Error::config(format!("{}/change", test.path), message)
                        .with_help("use `set` with the value that stands for a missing one")
                }
                _ => e,
            })?;
            let after = answered.column_by_name(name).filter(|it| it.len() == batch.num_rows());
            let after = after.ok_or_else(|| {
                Error::input(format!("the model gives no output `{name}` for the rows of test `{}`", test.name))
            })?;
            let after = Answers::of(after, self.settings.threshold)?;
            for row in (0..batch.num_rows()).filter(|&it| matching[it] && differs[it]) {
                let id = ids.as_ref().and_then(|it| it[row].as_deref());
                tally
                    .add(test, &before, &after, row, id)
                    .map_err(|e| Error::config(&test.path, format!("cannot judge test `{}`: {e}", test.name)))?;
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<u8>> {
        let names = self.settings.tests.iter().map(|it| it.name.clone());
        let tests = names.zip(self.seen.iter().cloned()).collect();
        state::encode(STATE_VERSION, &State { tests, inputs: self.inputs.clone() })
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<()> {
        let State { tests: mut other, inputs } = state::decode(STATE_VERSION, bytes)?;
        if other.values().any(|it| !it.is_consistent()) {
            return Err(Error::input("cannot read the state: its counts contradict each other"));
        }
        if other.len() != self.seen.len() || self.settings.tests.iter().any(|it| !other.contains_key(&it.name)) {
            return Err(Error::input("cannot merge the state: it is of other tests"));
        }
        for (test, tally) in self.settings.tests.iter().zip(&mut self.seen) {
            tally.merge(other.remove(&test.name).unwrap_or_default());
        }
        self.inputs.extend(inputs);
        Ok(())
    }

    fn evaluate(&mut self, host: &dyn Host) -> Result<Report> {
        cases::check_inputs(&self.settings, &self.inputs, host)?;
        let cases = cases::run(&self.settings, &self.inputs, host);
        let mut res = Report::default();
        for (test, tally) in self.settings.tests.iter().zip(&self.seen) {
            report::test(&mut res, test, tally, host.confidence(report::PASS_RATE));
        }
        report::cases(&mut res, &cases, host.confidence(report::CASE_PASS_RATE));
        Ok(res)
    }
}

/// The columns that the model's inputs are made of.
struct Inputs {
    rows: RecordBatch,
    /// What noise depends on: the values of the row.
    keys: Vec<u64>,
}

impl Inputs {
    fn of(rows: RecordBatch) -> Result<Self> {
        let mut keys = vec![0xcbf2_9ce4_8422_2325; rows.num_rows()];
        for array in rows.columns() {
            if rows::is_numeric(array.data_type()) {
                let numbers = rows::numbers(array.as_ref())?;
                for (row, key) in keys.iter_mut().enumerate() {
                    *key = numbers.row(row).iter().fold(*key, |key, it| noise::hash(key, &it.to_bits().to_le_bytes()));
                }
            } else {
                let texts = rows::texts(array.as_ref())?;
                for (key, text) in keys.iter_mut().zip(texts) {
                    *key = noise::hash(*key, text.as_ref().map_or(b"", |it: &Cow<'_, str>| it.as_bytes()));
                }
            }
        }
        Ok(Self { rows, keys })
    }

    /// Returns the changed rows and which are not what they were; none where no row that matches is changed.
    fn changed(&self, test: &Test, seed: u64, matching: &[bool]) -> Result<Option<(RecordBatch, Vec<bool>)>> {
        let path = format!("{}/change", test.path);
        let start = noise::hash(seed ^ 0x9e37_79b9_7f4a_7c15, test.name.as_bytes());
        let keys: Vec<u64> = self.keys.iter().map(|it| noise::hash(start, &it.to_le_bytes())).collect();
        let mut differs = vec![false; keys.len()];
        let schema = self.rows.schema();
        let mut columns = self.rows.columns().to_vec();
        for at in self.places(test)? {
            let field: &Field = &schema.fields()[at];
            columns[at] = change::changed(&test.edit, (field, &columns[at]), &keys, &mut differs, &path)?;
        }
        if !differs.iter().zip(matching).any(|(a, b)| *a && *b) {
            return Ok(None);
        }
        // A column of whole numbers has another type where they are missing.
        let of = |(field, column): (&Arc<Field>, &ArrayRef)| {
            field.as_ref().clone().with_data_type(column.data_type().clone())
        };
        let fields: Vec<Field> = schema.fields().iter().zip(&columns).map(of).collect();
        let schema = Schema::new_with_metadata(fields, schema.metadata().clone());
        let rows = RecordBatch::try_new(Arc::new(schema), columns).map_err(Error::input)?;
        Ok(Some((rows, differs)))
    }

    /// Returns the positions of the columns that the test changes.
    fn places(&self, test: &Test) -> Result<Vec<usize>> {
        let schema = self.rows.schema();
        let names: Vec<_> = schema.fields().iter().map(|it| it.name().as_str()).collect();
        let Some(wanted) = &test.columns else {
            let numeric = schema.fields().iter().enumerate().filter(|(_, it)| rows::is_numeric(it.data_type()));
            return Ok(numeric.map(|it| it.0).collect());
        };
        let place = |(at, wanted): (usize, &String)| {
            names.iter().position(|it| it == wanted).ok_or_else(|| {
                let message =
                    format!("column `{wanted}` is no part of the model's input, so changing it tests nothing");
                Error::config(format!("{}/columns/{at}", test.path), message)
                    .with_help(format!("choose among {}", names.join(", ")))
            })
        };
        wanted.iter().enumerate().map(place).collect()
    }
}

/// Returns which rows the test is about.
fn matching(test: &Test, batch: &RecordBatch) -> Result<Vec<bool>> {
    let mut res = vec![true; batch.num_rows()];
    for (name, wanted) in &test.only {
        let column = batch
            .column_by_name(name)
            .ok_or_else(|| Error::config(format!("{}/where", test.path), format!("the data has no column `{name}`")))?;
        for (matches, text) in res.iter_mut().zip(rows::texts(column.as_ref())?) {
            *matches &= text.as_deref() == Some(wanted);
        }
    }
    Ok(res)
}
