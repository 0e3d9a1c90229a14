//! The probe: finds outputs and recorded columns in batches.

use std::collections::{BTreeMap, BTreeSet};

use modelwatch_sdk::{
    Error, FindingCode, Host, KnownMetric, ModelRole, Need, Needs, Probe, RecordBatch, Report, Result, Role, RowNeeds,
    Verifier,
    arrow::schema::Field,
    rows::{self, Mention, Named, Use},
    state,
};
use serde::{Deserialize, Serialize};

use crate::{
    codes::CODES,
    compare::{Compared, Kind, Limits},
    config::Config,
    output,
    pair::Pair,
};

const STATE_VERSION: u8 = 3;

/// The verifier `golden`.
pub struct Golden {
    config: Config,
    seen: Seen,
}

/// What was seen so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seen {
    pub(crate) rows: u64,
    pub(crate) outputs: BTreeMap<String, Compared>,
    /// Outputs that were produced and are not listed.
    pub(crate) extra: BTreeSet<String>,
}

impl Verifier for Golden {
    const NAME: &'static str = "golden";
    type Config = Config;
    const CODES: &'static [FindingCode] = CODES;

    fn always_needs() -> Needs {
        let rows = RowNeeds { predictions: Need::Required, ..RowNeeds::default() };
        Needs { current: Some(rows), ..Needs::default() }
    }

    fn open(config: Config) -> Result<Self> {
        Ok(Self { config: config.validated()?, seen: Seen::default() })
    }
}

impl Golden {
    /// Refuses to compare rows of another shape, whose numbers are in another order.
    fn check_shape(batch: &RecordBatch, output: &str, column: &str) -> Result<()> {
        let shape_of = |is_wanted: &dyn Fn(&Field) -> bool| {
            let field = batch.schema_ref().fields().iter().find(|it| is_wanted(it));
            field.map(|it| rows::row_shape(it)).unwrap_or_default()
        };
        let produced = shape_of(&|it| rows::output_name(it, ModelRole::Candidate) == Some(output));
        let recorded = shape_of(&|it| it.name() == column);
        // A plain list says nothing about shapes: not every format has them.
        if recorded.len() > 1 && produced != recorded {
            return Err(Error::input(format!(
                "cannot compare output `{output}`: its rows have the shape {produced:?}, those of column `{column}` {recorded:?}"
            )));
        }
        Ok(())
    }

    /// Refuses a `top_k` of which no output has as many values as it could tell apart, given their widths.
    fn check_top_k(&self, widths: &BTreeMap<&str, usize>) -> Result<()> {
        let Some(k) = self.config.top_k else { return Ok(()) };
        // Where outputs are missing, or of another width, that is what is wrong.
        let is_whole = widths.len() == self.config.outputs.len();
        let Some((name, &width)) = widths.iter().max_by_key(|it| it.1).filter(|it| is_whole && *it.1 <= k) else {
            return Ok(());
        };
        let message =
            format!("a row of output `{name}` has {width} numbers, so that its {k} highest are always the same");
        let help = if width > 1 {
            format!("set `top_k` to less than {width}, or leave it out")
        } else {
            "leave `top_k` out".to_owned()
        };
        Err(Error::config("/top_k", message).with_help(help))
    }
}

impl Probe for Golden {
    fn needs(&self) -> Needs {
        let columns: BTreeSet<_> = self.config.outputs.values().cloned().collect();
        let current = RowNeeds {
            columns: columns.into_iter().collect(),
            id: Need::Optional,
            predictions: Need::Required,
            ..RowNeeds::default()
        };
        let metrics = KnownMetric::all(output::METRICS, &["output"]).collect();
        let mentions = Mention::keys("outputs", &self.config.outputs).map(|it| it.of(Named::Output)).collect();
        Needs { current: Some(current), mentions, metrics, ..Needs::default() }
    }

    fn update(&mut self, _: &dyn Host, role: Role, batch: &RecordBatch) -> Result<()> {
        if role != Role::Current || batch.num_rows() == 0 {
            return Ok(());
        }
        self.seen.rows += batch.num_rows() as u64;
        let ids = rows::columns(batch, Use::Id).next().map(|it| rows::texts(it.1.as_ref())).transpose()?;
        let produced: BTreeMap<_, _> = rows::outputs(batch, ModelRole::Candidate).collect();
        let mut widths = BTreeMap::new();
        for name in produced.keys().filter(|it| !self.config.outputs.contains_key(**it)) {
            self.seen.extra.insert((*name).to_owned());
        }
        for (name, column) in &self.config.outputs {
            let recorded = batch.column_by_name(column).ok_or_else(|| {
                Error::input(format!("cannot compare output `{name}`: the data has no column `{column}`"))
            })?;
            let Some(output) = produced.get(name.as_str()) else { continue };
            let pair = Pair::of(output, recorded)
                .map_err(|e| Error::input(format!("cannot compare output `{name}` with column `{column}`: {e}")))?;
            let [new, old] = pair.widths();
            if new == old {
                Self::check_shape(batch, name, column)?;
                widths.insert(name.as_str(), if pair.kind() == Kind::Texts { 0 } else { old });
            }
            let (rtol, atol) = self.config.tolerance(name);
            let (top_k, max_ulp) = (self.config.top_k.unwrap_or(1), self.config.max_ulp);
            let Config { equal_nan, equal_infinity, .. } = self.config;
            let limits = Limits { rtol, atol, equal_nan, equal_infinity, top_k, max_ulp };
            let compared = self.seen.outputs.entry(name.clone()).or_default();
            compared.kind.get_or_insert(pair.kind());
            for row in 0..batch.num_rows() {
                let id = ids.as_ref().and_then(|it| it[row].as_deref());
                pair.compare(row, &limits, id, compared);
            }
        }
        self.check_top_k(&widths)
    }

    fn state(&mut self) -> Result<Vec<u8>> {
        state::encode(STATE_VERSION, &self.seen)
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<()> {
        let other: Seen = state::decode(STATE_VERSION, bytes)?;
        if other.outputs.values().any(|it| !it.is_consistent() || it.present > other.rows) {
            return Err(Error::input("cannot read the state: its counts contradict each other"));
        }
        if let Some(name) = other.outputs.keys().find(|it| !self.config.outputs.contains_key(*it)) {
            return Err(Error::input(format!("cannot merge the state: output `{name}` is not in `outputs`")));
        }
        self.seen.rows = self.seen.rows.saturating_add(other.rows);
        self.seen.extra.extend(other.extra);
        for (name, it) in other.outputs {
            self.seen.outputs.entry(name).or_default().merge(it);
        }
        Ok(())
    }

    fn evaluate(&mut self, _: &dyn Host) -> Result<Report> {
        Ok(output::report(&self.config, &self.seen))
    }
}
