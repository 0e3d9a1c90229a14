//! The profile that is kept beside a checkpoint that passed.

use modelwatch_sdk::{ModelRole, Role, store::CheckpointId};
use serde_json::Map;

use super::{Event, execute::Run, outcome::Checkpoints, plan::Plan, rows::OfCheckpoint, threads};
use crate::{
    blessing::SealedData,
    data::Dataset,
    models::RunModel,
    profile::{self, Outputs, Request, Settings, Source, Stored, kept},
    record::{ActionKind, ActionRecord, ActionStatus},
};

/// A profile that a run kept beside its checkpoint.
pub(super) struct KeptProfile {
    pub(super) id: CheckpointId,
    role: Role,
    rows: u64,
    has_outputs: bool,
}

impl KeptProfile {
    pub(super) fn record(&self, lineage: &str) -> ActionRecord {
        let outputs = if self.has_outputs { " and of the model's outputs" } else { "" };
        ActionRecord {
            kind: ActionKind::Profile,
            target: kept::lineage_of(lineage),
            from: None,
            to: Some(self.id.to_string()),
            status: ActionStatus::Done,
            message: format!("of {} rows of the {} data{outputs}", self.rows, self.role.as_str()),
        }
    }
}

impl Run<'_> {
    /// Makes the profile of the data of a role, or carries on the one that stands for it, and stores it.
    pub(super) fn keep_profile(
        &self,
        role: Role,
        plan: &Plan<'_>,
        checkpoints: &Checkpoints<'_>,
    ) -> Result<KeptProfile, String> {
        let (Some(store), Some(lineage), Some(judged)) =
            (checkpoints.store.as_deref(), checkpoints.lineage, &self.judged)
        else {
            return Err("there is no judged checkpoint in a store".to_owned());
        };
        let model = checkpoints.running.get(ModelRole::Candidate);
        let kept = |id, profile: &Stored| {
            let has_outputs = profile.predictor.is_some();
            KeptProfile { id, role, rows: profile.profile.rows(), has_outputs }
        };
        let mut origin = Map::new();
        let made = match plan.data.get(&role) {
            Some(Ok(Source::Rows(it))) => self.profile_of_rows(it, model)?,
            // There are no rows to run the model on: what was kept of them goes on.
            Some(Ok(Source::Profile(it))) => {
                carried(profile::open(&it.file).map_err(|e| profile::with_cause(&e))?, model)?
            }
            Some(Ok(Source::Kept { model: of, file })) => {
                match checkpoints.ready().profile(*of, file, self.pipeline)? {
                    OfCheckpoint::Within(it, _) => carried(it, model)?,
                    OfCheckpoint::Beside(it) if it.of == *judged => return Ok(kept(it.id, &it.stored)),
                    OfCheckpoint::Beside(it) => {
                        origin = it.origin;
                        origin.insert("carried_from".to_owned(), it.id.as_str().into());
                        carried(it.stored, model)?
                    }
                }
            }
            Some(Err(e)) => return Err(e.clone()),
            None => return Err(format!("there is no {} data", role.as_str())),
        };
        let sealed = self.sealed.get(&role);
        if let Some(path) = sealed.and_then(SealedData::changed) {
            return Err(format!("the {} data `{}` was changed during the run", role.as_str(), path.display()));
        }
        origin.insert("pipeline".to_owned(), self.pipeline.name.as_str().into());
        origin.entry("role").or_insert_with(|| role.as_str().into());
        if let Some(it) = sealed {
            origin.entry("data").or_insert_with(|| it.seal.digest.as_str().into());
        }
        let id = kept::keep(store, &self.host, (lineage, judged), origin, &made).map_err(|e| e.to_string())?;
        Ok(kept(id, &made))
    }

    fn profile_of_rows(&self, dataset: &Dataset, model: Option<&RunModel>) -> Result<Stored, String> {
        let columns = self.pipeline.columns();
        let outputs = model.map(|it| Outputs::new(it, &columns, dataset.schema())).transpose();
        let outputs = outputs.map_err(|e| e.to_string())?;
        let request = Request {
            settings: Settings::STORED,
            categorical: &columns.categorical,
            outputs: outputs.as_ref(),
            threads: threads(self.pipeline),
            cancelled: &self.options.cancelled,
            progress: &|done, total| (self.options.on_event)(Event::Rows { done, total }),
        };
        profile::make(dataset, &request).map_err(|e| e.to_string())
    }
}

/// Returns what of a profile holds beside a checkpoint with another model: not the outputs, unless they are of this model and signature.
fn carried(mut profile: Stored, model: Option<&RunModel>) -> Result<Stored, String> {
    let digest = model.map(RunModel::digest).transpose().map_err(|e| e.message)?;
    let model = digest.as_deref().zip(model.map(RunModel::signature));
    if profile.predictor.as_ref().map(|it| (it.model.as_str(), it.signature.as_deref())) != model {
        profile.drop_outputs();
    }
    Ok(profile)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use modelwatch_infer::TractRuntime;
    use modelwatch_profile::{Predictor, Profile};

    use super::*;
    use crate::model::{self, Wanted};

    #[test]
    fn outputs_of_another_signature_do_not_go_with_a_model() {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/tensorflow/signatures.tflite"));
        let runtime = TractRuntime::default().of_signature(Some("squashed".to_owned()));
        let wanted = Wanted { path, model: None, role: ModelRole::Candidate, layers: BTreeSet::new() };
        let model = RunModel::new(&model::load(&runtime, &wanted).unwrap());
        for (signature, goes) in [(Some("squashed"), true), (Some("bounded"), false), (None, false)] {
            let predictor = Predictor {
                model: model.digest().unwrap(),
                signature: signature.map(str::to_owned),
                runtime: model.runtime().to_owned(),
                inputs: Vec::new(),
            };
            let kept = Stored { settings: Settings::STORED, predictor: Some(predictor), profile: Profile::default() };
            assert_eq!(carried(kept, Some(&model)).unwrap().predictor.is_some(), goes, "{signature:?}");
        }
    }
}
