//! Shows the data to the probes that need it.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use arrow_array::RecordBatch;
use modelwatch_config::Pipeline;
use modelwatch_profile::Predictor;
use modelwatch_sdk::{ModelRole, Need, Role, RowNeeds, rows::Use, store::CheckpointStore};

use super::{
    Event,
    execute::Run,
    plan::{self, Plan},
    ready::Ready,
    resumption::States,
    threads,
};
use crate::{
    blessing::SealedData,
    data::{BATCH_UNIT, Dataset},
    inputs::{self, InputMap},
    models::{Models, RunModel},
    pass::{self, Course, Layout, PassSettings, Slot},
    profile::{self, Source, StandIn, Stored, kept, kept::Kept},
};

/// The checkpoints, with one of which a profile may be kept.
#[derive(Clone, Copy)]
pub(super) struct Checkpoints<'r> {
    pub(super) candidate: Option<&'r Ready>,
    pub(super) baseline: Option<&'r Ready>,
    pub(super) store: Option<&'r dyn CheckpointStore>,
}

/// A profile that a checkpoint has.
pub(super) enum OfCheckpoint {
    /// A file of the checkpoint.
    Within(Stored, PathBuf),
    /// One of its own.
    Beside(Kept),
}

impl Checkpoints<'_> {
    /// Returns a profile that is a file of a checkpoint, or that the pipeline kept beside it.
    pub(super) fn profile(self, model: ModelRole, file: &Path, pipeline: &Pipeline) -> Result<OfCheckpoint, String> {
        let ready = match model {
            ModelRole::Candidate => self.candidate,
            ModelRole::Baseline => self.baseline,
        };
        let ready = ready.ok_or_else(|| format!("there is no {} checkpoint", model.as_str()))?;
        let path = ready.path().join(file);
        let in_store = self.store.zip(ready.stored_as()).filter(|_| file == Path::new(kept::NAME));
        let beside = in_store.map(|(store, (lineage, id))| kept::find(store, &(), (lineage, &id), pipeline));
        let (source, name) = (&ready.record.source, kept::NAME);
        match beside.transpose()?.flatten() {
            Some(_) if path.exists() => Err(format!(
                "{source} has a file `{name}`, and a profile is kept beside it; give the file another name, so that it is clear which one is meant"
            )),
            Some(it) => Ok(OfCheckpoint::Beside(it)),
            None if file != Path::new(name) || path.exists() => {
                let stored = profile::open(&path).map_err(|e| ready.named(&profile::with_cause(&e)))?;
                Ok(OfCheckpoint::Within(stored, path))
            }
            None => Err(format!(
                "no profile is kept beside {source}; a run keeps one in a store with `[on.pass] profile = \"reference\"`"
            )),
        }
    }
}

impl Run<'_> {
    /// Takes note of what the data is that some probe looks at.
    pub(super) fn seal(&mut self, plan: &Plan<'_>) {
        for (role, source) in &plan.data {
            let is_read = plan.probes.iter().any(|it| plan::rows_of(it, *role).is_some());
            let files = source.as_ref().map_or(&[][..], Source::files);
            if files.is_empty() || !is_read {
                continue;
            }
            match SealedData::read(files) {
                Ok(it) => drop(self.sealed.insert(*role, it)),
                Err(e) => self.failures.push(("data", format!("the {} data cannot be read: {e}", role.as_str()))),
            }
        }
    }

    /// A verdict on data that was changed meanwhile is one on nobody knows what.
    pub(super) fn check_sealed(&mut self) {
        for (role, it) in &self.sealed {
            if let Some(path) = it.changed() {
                let why = format!("the {} data `{}` was changed during the run", role.as_str(), path.display());
                self.failures.push(("data", why));
            }
        }
    }

    /// Streams the data of a role past the probes that need it.
    pub(super) fn rows(
        &mut self,
        role: Role,
        plan: &Plan<'_>,
        checkpoints: Checkpoints<'_>,
        models: &Models,
        slots: &mut [&mut Slot<'_>],
    ) {
        let is_wanting = |it: &&mut Slot<'_>| it.failure().is_none() && row_needs(it, role).is_some();
        let (mut wanting, idle): (Vec<_>, Vec<_>) = slots.iter_mut().map(|it| &mut **it).partition(is_wanting);
        let Some(source) = plan.data.get(&role).filter(|_| !wanting.is_empty()) else { return };
        let seen = source.as_ref().map_err(Clone::clone).and_then(|it| {
            let it = match it {
                Source::Rows(it) => it,
                Source::Profile(it) => return self.profile(role, it, plan, models, &mut wanting),
                Source::Kept { model, file } => {
                    let it = match checkpoints.profile(*model, file, self.pipeline)? {
                        OfCheckpoint::Within(it, path) => StandIn::of(path, &it)?,
                        OfCheckpoint::Beside(it) => {
                            // No checkpoint's digest is of it.
                            self.sealed.insert(role, it.seal());
                            StandIn::of(it.place.as_str(), &it.stored)?
                        }
                    };
                    return self.profile(role, &it, plan, models, &mut wanting);
                }
            };
            let reference = match plan.data.get(&Role::Reference) {
                Some(Ok(Source::Rows(it))) if role == Role::Current => Some(it),
                _ => None,
            };
            let maps = self.input_maps(role, it, reference, models, &mut wanting);
            wanting.retain(|it| it.failure().is_none());
            self.pass(role, it, maps, models, &mut wanting, idle)
        });
        match seen {
            Ok(seen) => {
                self.coverage.rows.insert(role.as_str().to_owned(), seen.rows);
                *self.phases.entry("inference, over all threads".to_owned()).or_default() += seen.infer_seconds;
                *self.phases.entry("reading, over all threads".to_owned()).or_default() += seen.read_seconds;
                self.non_finite_inputs += seen.non_finite_inputs;
                self.weightless.insert(role, (seen.weightless, seen.rows));
            }
            Err(e) => {
                let why = self.named_in(&[format!("/data/{}/path", role.as_str())], &e);
                wanting.iter_mut().for_each(|it| it.fail_with(format!("the {} data: {why}", role.as_str())));
            }
        }
    }

    /// Shows the profile that stands in for the rows of a role to the probes that can do with it.
    fn profile(
        &mut self,
        role: Role,
        profile: &StandIn,
        plan: &Plan<'_>,
        models: &Models,
        slots: &mut Vec<&mut Slot<'_>>,
    ) -> Result<pass::Seen, String> {
        slots.retain(|slot| {
            let can = row_needs(slot, role).is_some_and(|it| it.profile);
            if !can {
                let what = format!("the {} data", role.as_str());
                self.gap(&slot.settings.id, what, "it needs rows, of which there is only a profile");
            }
            can
        });
        let outputs = self.kept_outputs(role, profile, plan, models, slots);
        slots.retain(|it| it.failure().is_none());
        let needs = slots.iter().filter_map(|it| row_needs(it, role).cloned()).collect();
        let schema = profile.states.schema_ref();
        let layout = Layout::new(schema, &self.pipeline.columns(), needs, Vec::new(), NonZeroUsize::MIN);
        let states = layout.annotate(&profile.states, outputs)?;
        let seen = pass::Seen { partitions: 1, rows: profile.rows, ..pass::Seen::default() };
        if self.resumption.as_ref().is_some_and(|it| it.seen(role).partitions > 0) {
            return Ok(seen);
        }
        for (at, slot) in slots.iter_mut().enumerate() {
            let states = states.project(&layout.projection(at, &states)).map_err(|e| e.to_string())?;
            slot.call(|probe, host| probe.update(host, role, &states));
        }
        if let Some(it) = &mut self.resumption {
            it.reach(role, &seen);
        }
        Ok(seen)
    }

    /// Returns the outputs that a profile has, if they are what the candidate would give for its rows.
    fn kept_outputs(
        &mut self,
        role: Role,
        profile: &StandIn,
        plan: &Plan<'_>,
        models: &Models,
        slots: &mut [&mut Slot<'_>],
    ) -> Vec<(Use, RecordBatch)> {
        let wanted = |it: &RowNeeds| it.outputs_of(ModelRole::Candidate);
        let is_wanted = slots.iter().any(|it| row_needs(it, role).map_or(Need::No, wanted) != Need::No);
        if !is_wanted {
            return Vec::new();
        }
        if models.recorded.contains(&ModelRole::Candidate) {
            let why = "those of the current data were recorded, and a profile has those of a model that was run; name the rows themselves";
            let need = |it: &Slot<'_>| row_needs(it, role).map_or(Need::No, wanted);
            self.without(ModelRole::Candidate, why, slots, need, |_| true);
            return Vec::new();
        }
        let Some(model) = models.get(ModelRole::Candidate) else { return Vec::new() };
        let kept = match &profile.outputs {
            None => Err("it has none".to_owned()),
            Some((predictor, outputs)) => {
                self.predictor(model, plan).and_then(|now| match predictor.difference(&now) {
                    None => Ok(outputs.clone()),
                    Some(it) => Err(format!("those that it has are {it}")),
                })
            }
        };
        match kept {
            Ok(it) => vec![(Use::Candidate, it)],
            Err(e) => {
                let why = format!(
                    "the {} model's outputs are not in the profile of the {} data: {e}; make it from the rows with `modelwatch profile DATA --model MODEL`",
                    ModelRole::Candidate.as_str(),
                    role.as_str()
                );
                let need = |it: &Slot<'_>| row_needs(it, role).map_or(Need::No, wanted);
                self.without(ModelRole::Candidate, &why, slots, need, |_| true);
                Vec::new()
            }
        }
    }

    /// Returns what the model's outputs for the current rows are outputs of.
    fn predictor(&self, model: &RunModel, plan: &Plan<'_>) -> Result<Predictor, String> {
        let Some(Ok(Source::Rows(current))) = plan.data.get(&Role::Current) else {
            return Err("there are no current rows to compare them with".to_owned());
        };
        let inputs = InputMap::plan(model.model.info(), &self.pipeline.columns(), current.schema())?;
        model.predictor(&inputs).map_err(|e| e.message)
    }

    /// Tells the probes that a model has no outputs for them: those that cannot do without have no say. Of the others it is a gap, or else
    /// a failure of the run.
    fn without(
        &mut self,
        model: ModelRole,
        why: &str,
        slots: &mut [&mut Slot<'_>],
        need: impl Fn(&Slot<'_>) -> Need,
        is_gap: impl Fn(&Slot<'_>) -> bool,
    ) {
        for slot in slots {
            match need(slot) {
                Need::Required => slot.fail_with(why.to_owned()),
                Need::Optional if is_gap(slot) => {
                    self.gap(&slot.settings.id, format!("the {} model's outputs", model.as_str()), why);
                }
                Need::Optional => self.unusable(model, why.to_owned()),
                Need::No => {}
            }
        }
    }

    /// Finds the inputs of every model that some probe wants, or its outputs where these were recorded. Where they are not in the data, probes that
    /// cannot do without the model have no say, and the run has failed where the others go on without it. The same holds where the reference has
    /// them in another order.
    fn input_maps(
        &mut self,
        role: Role,
        dataset: &Dataset,
        reference: Option<&Dataset>,
        models: &Models,
        slots: &mut [&mut Slot<'_>],
    ) -> Vec<(ModelRole, InputMap)> {
        let mut maps = Vec::new();
        for model_role in [ModelRole::Candidate, ModelRole::Baseline] {
            if models.recorded.contains(&model_role) {
                maps.extend(self.recorded(role, dataset, model_role, slots).map(|it| (model_role, it)));
                continue;
            }
            let need = |slot: &Slot<'_>| row_needs(slot, role).map_or(Need::No, |it| it.model(model_role));
            let Some(model) = models.get(model_role) else { continue };
            if slots.iter().all(|it| need(it) == Need::No) {
                continue;
            }
            let (columns, _) = inputs::columns_for(model_role, self.pipeline);
            let in_order = |it: InputMap| match reference.and_then(|of| it.disorder(&columns, dataset, of)) {
                Some((_, why)) => Err(why),
                None => Ok(it),
            };
            match InputMap::of(model.model.info(), &columns, dataset).and_then(in_order) {
                Ok(it) => {
                    model.set_inputs(it.clone());
                    maps.push((model_role, it));
                }
                Err(e) => {
                    let why =
                        format!("the {} model cannot be run on the {} data: {e}", model_role.as_str(), role.as_str());
                    // A probe that runs the model by itself, and can do without rows, says what does not fit.
                    let judges_it = |it: &RowNeeds| it.optional && it.inputs != Need::No && it.predictions == Need::No;
                    let is_gap = |it: &Slot<'_>| row_needs(it, role).is_some_and(judges_it);
                    self.without(model_role, &why, slots, need, is_gap);
                }
            }
        }
        maps
    }

    /// Finds the columns with the recorded outputs of a model, if some probe wants these. They may be missing in the reference where all
    /// can do without.
    fn recorded(
        &mut self,
        role: Role,
        dataset: &Dataset,
        model: ModelRole,
        slots: &mut [&mut Slot<'_>],
    ) -> Option<InputMap> {
        let need = |slot: &Slot<'_>| row_needs(slot, role).map_or(Need::No, |it| it.outputs_of(model));
        if slots.iter().all(|it| need(it) == Need::No) {
            return None;
        }
        let found = InputMap::recorded(model, &self.pipeline.columns(), dataset.schema());
        if let Err(e) = &found {
            let why = format!("the {} data lacks recorded outputs of the {} model: {e}", role.as_str(), model.as_str());
            self.without(model, &why, slots, need, |_| role == Role::Reference);
        }
        found.ok()
    }

    fn pass(
        &mut self,
        role: Role,
        dataset: &Dataset,
        maps: Vec<(ModelRole, InputMap)>,
        models: &Models,
        slots: &mut [&mut Slot<'_>],
        idle: Vec<&mut Slot<'_>>,
    ) -> Result<pass::Seen, String> {
        if slots.is_empty() {
            return Ok(pass::Seen::default());
        }
        let columns = self.pipeline.columns();
        let needs = slots.iter().filter_map(|it| row_needs(it, role));
        let needs: Vec<_> = needs.map(|it| with_tensors(it, models)).collect::<Result<_, _>>()?;
        let (threads, extent) = (threads(self.pipeline), dataset.extent());
        let workers = threads.get().min(extent.partitions).max(1);
        let infer_threads = NonZeroUsize::new(threads.get() / workers).unwrap_or(NonZeroUsize::MIN);
        let layout = Layout::new(dataset.schema(), &columns, needs, maps, infer_threads);
        let run = [ModelRole::Candidate, ModelRole::Baseline].into_iter().filter_map(|it| models.get(it));
        let layers = run.map(RunModel::layers_width).fold(0, usize::saturating_add);
        let batch_rows =
            self.pipeline.run.batch_rows.unwrap_or_else(|| layout.batch_rows(layers)).next_multiple_of(BATCH_UNIT);
        let settings = PassSettings {
            threads: NonZeroUsize::new(workers).unwrap_or(NonZeroUsize::MIN),
            batch_rows,
            cancelled: &self.options.cancelled,
            progress: &|done| (self.options.on_event)(Event::Rows { done, total: extent.rows }),
        };
        let Self { resumption, sealed, options, .. } = self;
        let idle = resumption.as_mut().map_or_else(States::new, |it| it.states(idle.into_iter()));
        let from = resumption.as_ref().map_or_else(pass::Seen::default, |it| it.seen(role));
        let mut reached = |seen: &pass::Seen, slots: &mut [&mut Slot<'_>], is_end: bool| {
            if let Some(it) = resumption {
                it.reach(role, seen);
                it.note(slots, &idle, sealed, is_end && options.cancelled.load(Ordering::Relaxed));
            }
        };
        pass::run(role, dataset, &layout, models, slots, &settings, Course { from, reached: &mut reached })
    }
}

/// Returns the needs with layers by the names of their tensors.
fn with_tensors(needs: &RowNeeds, models: &Models) -> Result<RowNeeds, String> {
    let tensors = |role: ModelRole| {
        let names = needs.layers_of(role).iter();
        let model = models.get(role);
        names
            .map(|it| {
                model.map_or_else(|| Err(format!("there is no {} model", role.as_str())), |model| model.layer(it))
            })
            .collect::<Result<Vec<_>, _>>()
    };
    let (layers, baseline_layers) = (tensors(ModelRole::Candidate)?, tensors(ModelRole::Baseline)?);
    Ok(RowNeeds { layers, baseline_layers, ..needs.clone() })
}

fn row_needs<'s>(slot: &'s Slot<'_>, role: Role) -> Option<&'s RowNeeds> {
    match role {
        Role::Current => slot.needs.current.as_ref(),
        Role::Reference => slot.needs.reference.as_ref(),
    }
}
