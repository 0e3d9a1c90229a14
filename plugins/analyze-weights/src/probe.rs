//! The probe: takes tensors in, keeps summaries, merges them by name.

use std::collections::{BTreeMap, btree_map};

use modelwatch_sdk::{
    Analyzer, DType, Error, FindingCode, Host, ModelRole, Need, Needs, Probe, Report, Result, TensorNeeds, TensorView,
    state,
};
use serde::{Deserialize, Serialize};

use crate::{change::Change, codes::CODES, config::Config, model::Model, output, rules, summary::Summary};

const STATE_VERSION: u8 = 1;

/// The analyzer `weights`.
pub struct Weights {
    config: Config,
    tensors: Tensors,
    held: Option<Held>,
}

/// What is known of the tensors, by name.
pub(crate) type Tensors = BTreeMap<String, Entry>;

/// What is known of the tensors of one name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) baseline: Option<Summary>,
    pub(crate) candidate: Option<Summary>,
    pub(crate) change: Option<Change>,
}

/// The one tensor of the baseline that waits for its counterpart.
struct Held {
    name: String,
    dtype: DType,
    shape: Vec<u64>,
    bytes: Vec<u8>,
}

impl Analyzer for Weights {
    const NAME: &'static str = "weights";
    type Config = Config;
    const CODES: &'static [FindingCode] = CODES;

    fn always_needs() -> Needs {
        let tensors = TensorNeeds { candidate: Need::Required, baseline: Need::Optional };
        Needs { tensors, ..Needs::default() }
    }

    fn open(config: Config) -> Result<Self> {
        Ok(Self { config: config.validated()?, tensors: Tensors::new(), held: None })
    }
}

impl Probe for Weights {
    fn needs(&self) -> Needs {
        Needs { metrics: output::known().collect(), ..Self::always_needs() }
    }

    fn update_tensor(&mut self, host: &dyn Host, role: ModelRole, tensor: &TensorView<'_>) -> Result<()> {
        if self.config.is_ignored(tensor.name) {
            return Ok(());
        }
        let mut summary = Summary::of(host, tensor, self.config.near_zero)?;
        let held = self.held.take();
        let entry = self.tensors.entry(tensor.name.to_owned()).or_default();
        match role {
            ModelRole::Baseline => {
                // Only the candidate's units are looked at.
                summary.units.clear();
                set(&mut entry.baseline, summary, tensor.name)?;
                self.held = Some(Held::new(tensor));
            }
            ModelRole::Candidate => {
                set(&mut entry.candidate, summary, tensor.name)?;
                let held = held.as_ref().filter(|it| it.name == tensor.name && it.is_comparable(tensor));
                if let Some(held) = held {
                    entry.change = Some(Change::between(host, &held.view(), tensor)?);
                }
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<u8>> {
        state::encode(STATE_VERSION, &self.tensors)
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<()> {
        for (name, other) in state::decode::<Tensors>(STATE_VERSION, bytes)? {
            if [&other.baseline, &other.candidate].into_iter().flatten().any(|it| !it.is_consistent()) {
                return Err(Error::input(format!(
                    "cannot read the state: the counts of tensor `{name}` contradict each other"
                )));
            }
            match self.tensors.entry(name) {
                btree_map::Entry::Vacant(slot) => {
                    slot.insert(other);
                }
                btree_map::Entry::Occupied(mut slot) => {
                    let name = slot.key().clone();
                    let entry = slot.get_mut();
                    if let Some(it) = other.baseline {
                        set(&mut entry.baseline, it, &name)?;
                    }
                    if let Some(it) = other.candidate {
                        set(&mut entry.candidate, it, &name)?;
                    }
                    entry.change = entry.change.take().or(other.change);
                }
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, _: &dyn Host) -> Result<Report> {
        let model = Model::new(&self.config, &self.tensors);
        let mut report = output::report(&self.config, &model);
        report.findings = rules::findings(&self.config, &model);
        Ok(report)
    }
}

fn set(slot: &mut Option<Summary>, summary: Summary, name: &str) -> Result<()> {
    match slot.replace(summary) {
        None => Ok(()),
        Some(_) => Err(Error::input(format!("cannot take in tensor `{name}`: it came twice"))
            .with_help("give tensors of one checkpoint names of their own")),
    }
}

impl Held {
    fn new(tensor: &TensorView<'_>) -> Self {
        Self {
            name: tensor.name.to_owned(),
            dtype: tensor.dtype,
            shape: tensor.shape.to_vec(),
            bytes: tensor.bytes.to_vec(),
        }
    }

    fn view(&self) -> TensorView<'_> {
        TensorView { name: &self.name, dtype: self.dtype, shape: &self.shape, bytes: &self.bytes }
    }

    /// Types may differ as long as both are floats, or neither.
    fn is_comparable(&self, other: &TensorView<'_>) -> bool {
        self.shape == other.shape && (self.dtype == other.dtype || (self.dtype.is_float() && other.dtype.is_float()))
    }
}
