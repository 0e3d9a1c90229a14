//! A model's outputs, kept beside the columns of the data that it was run on.

use std::{collections::BTreeSet, num::NonZeroUsize};

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use modelwatch_config::{CheckpointSource, Columns, Pipeline};
use modelwatch_infer::Model;
use modelwatch_profile::Predictor;
use modelwatch_sdk::ModelRole;
use modelwatch_tensors::find_model;

use super::ProfileError;
use crate::{
    data::Dataset,
    inputs::InputMap,
    model::{self, ModelError, Runtimes, Wanted},
    models::RunModel,
};

/// A model that is run on the rows of a profile.
pub struct Outputs {
    model: Model,
    inputs: InputMap,
    pub(super) predictor: Predictor,
}

impl Outputs {
    /// Loads the model that the pipeline imports, to run it on the columns that the pipeline names.
    ///
    /// # Errors
    /// When there is none, it cannot be run, or the data lacks one of its inputs.
    pub fn load(pipeline: &Pipeline, dataset: &Dataset, runtimes: &Runtimes) -> Result<Self, ProfileError> {
        let Some(CheckpointSource::Import { path, model, .. }) = &pipeline.checkpoint else {
            return Err(ProfileError::Model("the pipeline imports none".to_owned()));
        };
        let wanted = Wanted { path, model: model.as_deref(), role: ModelRole::Candidate, layers: BTreeSet::new() };
        let load = || {
            let before = modelwatch_infer::digest(&find_model(path, model.as_deref())?)?;
            let runtime = runtimes.open(pipeline, wanted.role)?;
            Ok::<_, ModelError>((before, model::load(&*runtime, &wanted)?))
        };
        let (before, loaded) = load().map_err(|e| ProfileError::Model(e.to_string()))?;
        let columns = pipeline.columns();
        let res = Self::new(&RunModel::new(&loaded), &columns, dataset.schema())?;
        if res.predictor.model == before {
            Ok(res)
        } else {
            Err(ProfileError::Model("it was changed while it was loaded; do it again once nobody writes it".to_owned()))
        }
    }

    /// Returns the outputs of a model of a run.
    pub(crate) fn new(model: &RunModel, columns: &Columns, schema: &Schema) -> Result<Self, ProfileError> {
        let inputs = InputMap::plan(model.model.info(), columns, schema).map_err(ProfileError::Inputs)?;
        let predictor = model.predictor(&inputs).map_err(|e| ProfileError::Model(e.message))?;
        Ok(Self { model: model.model.clone(), inputs, predictor })
    }

    pub(super) fn of(&self, rows: &RecordBatch, threads: NonZeroUsize) -> Result<RecordBatch, ProfileError> {
        let inputs = self.inputs.assemble(rows).map_err(ProfileError::Model)?;
        self.model.run(&inputs, threads).map_err(|e| ProfileError::Model(self.inputs.explain(&e, None)))
    }
}
