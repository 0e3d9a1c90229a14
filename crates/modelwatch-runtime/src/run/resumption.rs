//! Goes on where a run that did not end has come to, and notes how far this one has.

use std::{
    collections::BTreeMap,
    fmt::Display,
    path::{Path, PathBuf},
    time::Instant,
};

use modelwatch_config::ModelRuntime;
use modelwatch_sdk::{Host, ModelRole, Role};
use modelwatch_tensors::find_model;
use serde_json::{Value, json};
use tracing::{debug, warn};

use super::{
    execute::Run,
    plan::{self, Plan, Planned},
    ready::Ready,
    rows::{Checkpoints, OfCheckpoint},
};
use crate::{
    blessing::{self, SealedData},
    history, model,
    models::Models,
    pass::{Seen, Slot},
    plugin::{Catalog, Lookup, this_program},
    profile::Source,
    record::ResumedRecord,
    resume::{self, File, Found, Progress, Reached},
    whole_file,
};

/// States by id of the probe.
pub(super) type States = BTreeMap<String, Vec<u8>>;

/// What a run notes of itself.
pub(super) struct Resumption {
    file: File,
    reached: BTreeMap<String, Reached>,
    /// How many probes have a say. With fewer of them nothing is noted: why a probe has none is not in its state.
    n_probes: usize,
    models: Models,
    /// What the models had to say when they were loaded. No state tells what they say of rows.
    warnings: Vec<String>,
    /// Since when the probes have been at work, as if they had been without a break.
    since: Instant,
    /// Why nothing is noted any more.
    stopped: Option<String>,
}

impl Resumption {
    /// Returns what the slots have the state of.
    pub(super) fn seen(&self, role: Role) -> Seen {
        let it = self.reached.get(role.as_str()).copied().unwrap_or_default();
        let Reached { partitions, rows, non_finite_inputs, weightless } = it;
        Seen { partitions, rows, non_finite_inputs, weightless, ..Seen::default() }
    }

    /// Takes note of what the slots have the state of.
    pub(super) fn reach(&mut self, role: Role, seen: &Seen) {
        let Seen { partitions, rows, non_finite_inputs, weightless, .. } = *seen;
        let reached = Reached { partitions, rows, non_finite_inputs, weightless };
        let before = self.reached.insert(role.as_str().to_owned(), reached);
        if before.is_none() {
            self.file.hasten();
        }
    }

    /// Notes how far the run has come, where it is time to or it is `forced`, and the data is still what its digest is of.
    ///
    /// The states of the probes that see nothing of the data that is being shown are in `idle`.
    pub(super) fn note(
        &mut self,
        slots: &mut [&mut Slot<'_>],
        idle: &States,
        sealed: &BTreeMap<Role, SealedData>,
        forced: bool,
    ) {
        let is_whole = idle.len() + slots.iter().filter(|it| is_told_by_state(it)).count() == self.n_probes;
        let is_due = forced || self.file.is_due();
        if self.stopped.is_some() || !is_due || !is_whole || sealed.values().any(|it| it.changed().is_some()) {
            return;
        }
        if let Some(it) = warnings(&self.models).into_iter().find(|it| !self.warnings.contains(it)) {
            return self.stop(it);
        }
        let start = Instant::now();
        let noted = states(slots.iter_mut().map(|it| &mut **it)).and_then(|it| {
            let all = idle.iter().chain(&it).map(|(id, state)| (id.clone(), &**state)).collect();
            let progress = Progress { reached: self.reached.clone(), used: self.since.elapsed(), states: all };
            self.file.save::<&[u8]>(start, &progress).map_err(|e| e.to_string())
        });
        match noted {
            Ok(()) => debug!(reached = ?self.reached, "How far the run has come was noted."),
            Err(e) => self.stop(e),
        }
    }

    /// Returns the states of probes that see nothing of the data that is to be shown.
    pub(super) fn states<'s, 'a: 's>(&mut self, slots: impl Iterator<Item = &'s mut Slot<'a>>) -> States {
        if self.stopped.is_some() {
            return States::new();
        }
        states(slots).unwrap_or_else(|e| {
            self.stop(e);
            States::new()
        })
    }

    /// Notes nothing any more. What was noted is still right.
    fn stop(&mut self, why: String) {
        warn!(%why, "How far the run has come is not noted any more.");
        self.stopped = Some(why);
    }

    /// Removes what was noted, since the run has come to its end.
    pub(super) fn end(&self) {
        if let Err(error) = self.file.remove() {
            warn!(%error, "What was noted of the run could not be removed.");
        }
    }
}

/// Returns what the models have to say.
fn warnings(models: &Models) -> Vec<String> {
    let models = [ModelRole::Candidate, ModelRole::Baseline].into_iter().filter_map(|it| models.get(it));
    models.flat_map(|it| it.warnings()).collect()
}

/// Returns whether a probe has a say and all that it has done is in its state.
fn is_told_by_state(slot: &Slot<'_>) -> bool {
    slot.failure().is_none() && !slot.has_files()
}

/// Returns the states of the probes that are told by them.
fn states<'s, 'a: 's>(slots: impl Iterator<Item = &'s mut Slot<'a>>) -> Result<States, String> {
    let slots = slots.filter(|it| is_told_by_state(it));
    slots.map(|it| Ok((it.settings.id.clone(), it.state().map_err(|e| e.message)?))).collect()
}

fn unusable(path: &Path, why: &dyn Display) -> String {
    format!("cannot use `{}`: {why}", path.display())
}

impl Run<'_> {
    /// Gives the probes the states of a run that did not end, if there are any in the file and they are of such a run.
    pub(super) fn resume(
        &mut self,
        path: &Path,
        plan: &Plan<'_>,
        checkpoints: Checkpoints<'_>,
        models: &Models,
        slots: &mut [&mut Slot<'_>],
    ) {
        // What is wrong with the run may be what its data or checkpoints are.
        if !self.failures.is_empty() {
            return;
        }
        let place = match self.resume_place(path) {
            Ok(it) => it,
            Err(e) => return self.failures.push(("resume", e)),
        };
        let key = match self.resume_key(plan, checkpoints, models) {
            Ok(it) => it,
            Err(why) => return self.begin_anew(why),
        };
        let found = match resume::find(&place, &key) {
            Ok(it) => it,
            Err(e) => return self.failures.push(("resume", unusable(path, &e))),
        };
        let mut slots: Vec<_> = slots.iter_mut().map(|it| &mut **it).filter(|it| it.failure().is_none()).collect();
        let mut resumption = Resumption {
            file: File::new(place, key),
            reached: BTreeMap::new(),
            n_probes: slots.len(),
            models: models.clone(),
            warnings: warnings(models),
            since: self.opened,
            stopped: None,
        };
        let taken = match found {
            Found::Nothing => None,
            Found::Useless(why) => Some(Err(why)),
            Found::Progress(it) => Some(take_over(&mut slots, &it.states).map(|()| it)),
        };
        match taken {
            None => {}
            Some(Err(why)) => self.begin_anew(format!("`{}` is of no use: {why}", path.display())),
            Some(Ok(Progress { reached, used, .. })) => {
                slots.iter_mut().for_each(|it| it.count(used));
                let rows = reached.iter().map(|(role, it)| (role.clone(), it.rows)).collect();
                self.coverage.resumed = Some(ResumedRecord { rows, discarded: None });
                resumption.since = self.opened.checked_sub(used).unwrap_or(self.opened);
                resumption.reached = reached;
            }
        }
        self.resumption = Some(resumption);
    }

    /// Returns where the run may note how far it has come.
    ///
    /// # Errors
    /// When something else is there, or is to be.
    pub(super) fn resume_place(&self, path: &Path) -> Result<PathBuf, String> {
        let place = resume::place(path).map_err(|e| unusable(path, &e))?;
        if self.writes(&place) {
            return Err(unusable(path, &"the run writes something else there; name another file"));
        }
        Ok(place)
    }

    fn begin_anew(&mut self, why: String) {
        warn!(%why, "The run begins anew.");
        self.coverage.resumed = Some(ResumedRecord { discarded: Some(why), ..ResumedRecord::default() });
    }

    /// Returns whether the run writes something else to a file.
    fn writes(&self, place: &Path) -> bool {
        let history = history::path_of(self.pipeline);
        let reports = self.pipeline.report.files().map(|it| it.1);
        let told = plan::notified(self.pipeline);
        let place = whole_file::canonical(place);
        reports.chain(told).chain([history.as_path()]).any(|it| whole_file::canonical(it) == place)
    }

    /// Says so where the run has come to note nothing of itself.
    pub(super) fn tell_unnoted(&mut self) {
        if let Some(why) = self.resumption.as_mut().and_then(|it| it.stopped.take()) {
            self.gap("run", "how far it has come, in the file for a run that is killed", why);
        }
    }

    /// Returns the digest of all that the states of the probes depend on.
    fn resume_key(&self, plan: &Plan<'_>, checkpoints: Checkpoints<'_>, models: &Models) -> Result<String, String> {
        let program = this_program().and_then(|it| Catalog::digest(&it));
        let program = program.map_err(|e| format!("cannot tell which program this is: {e}"))?;
        let probes = plan.probes.iter().map(|Planned { settings, .. }| {
            let component = &settings.component;
            let digest = match self.options.catalog.find(plan::kind_of(settings.kind), &component.uses) {
                Lookup::Found(it) => it.plugin().digest().map(str::to_owned),
                _ => None,
            };
            json!([settings.id, component.uses, component.with, digest])
        });
        let made_of = made_of([checkpoints.candidate, checkpoints.baseline], &self.host)?;
        if self.made_of.clone().transpose()?.as_ref() != Some(&made_of) {
            return Err("a checkpoint was changed while its model was loaded".to_owned());
        }
        let model = |role| models.get(role).map(|it| (it.name_in_checkpoint(), it.runtime(), it.signature()));
        let mut data: BTreeMap<_, _> =
            self.sealed.iter().map(|(role, it)| (role.as_str(), it.seal.digest.clone())).collect();
        for (role, source) in &plan.data {
            if let Ok(Source::Kept { model, file }) = source
                && let OfCheckpoint::Beside(it) = checkpoints.profile(*model, file, self.pipeline)?
            {
                data.insert(role.as_str(), it.seal().seal.digest);
            }
        }
        let key = json!({
            "program": program,
            "processor": modelwatch_infer::processor(),
            "onnxruntime": self.library_digest(models)?,
            "config": blessing::config_digest(self.document),
            "probes": probes.collect::<Vec<_>>(),
            "checkpoints": made_of,
            "models": [model(ModelRole::Candidate), model(ModelRole::Baseline)],
            "data": data,
        });
        Ok(blake3::hash(key.to_string().as_bytes()).to_hex().to_string())
    }

    /// Returns the digest of the library of ONNX Runtime, if a model is run with it.
    fn library_digest(&self, models: &Models) -> Result<Option<String>, String> {
        let is_used = [ModelRole::Candidate, ModelRole::Baseline]
            .iter()
            .any(|&it| models.get(it).is_some() && model::wanted(self.pipeline, it) == ModelRuntime::OnnxRuntime);
        let library = self.options.runtimes.library(self.pipeline).filter(|_| is_used);
        let digest = |it: &Path| Catalog::digest(it).map_err(|e| format!("cannot read `{}`: {e}", it.display()));
        library.map(digest).transpose()
    }
}

/// Gives probes their states: all of them, or none.
fn take_over(slots: &mut [&mut Slot<'_>], states: &States) -> Result<(), String> {
    let are_same = slots.len() == states.len() && slots.iter().all(|it| states.contains_key(&it.settings.id));
    if !are_same {
        return Err("its probes are not those that have a say now".to_owned());
    }
    let merged = slots.iter_mut().try_for_each(|slot| {
        let state = &states[&slot.settings.id];
        slot.merge(state).map_err(|e| format!("`{}` cannot take its state back: {}", slot.settings.id, e.message))
    });
    if merged.is_err() {
        for slot in slots {
            if let Err(e) = slot.reopen() {
                slot.fail(&e);
            }
        }
    }
    merged
}

/// Returns what tells checkpoints apart: the id of one in a store, else the digests of its files and of its model, which may be made of more
/// than the checkpoint is: of data beside its file, or of the folder that it is in.
pub(super) fn made_of(checkpoints: [Option<&Ready>; 2], host: &dyn Host) -> Result<Value, String> {
    let one = |it: &Ready| match it.stored_as() {
        Some((_, id)) => Ok(json!(id.to_string())),
        None => digests(it.path(), it.model.as_deref(), host).map_err(|e| it.named(&e)),
    };
    let all: Result<Vec<_>, _> = checkpoints.iter().map(|it| it.map(one).transpose()).collect();
    Ok(json!(all?))
}

fn digests(checkpoint: &Path, model: Option<&str>, host: &dyn Host) -> Result<Value, String> {
    let files = blessing::digest_of_path(checkpoint, &|| host.is_cancelled()).map_err(|e| e.to_string())?;
    // A checkpoint without a model has its files alone.
    let model = find_model(checkpoint, model).ok().map(|it| modelwatch_infer::digest(&it)).transpose();
    Ok(json!([files, model.map_err(|e| e.to_string())?]))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_checkpoint_is_known_by_all_that_its_model_is_made_of() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/digits/cnn/saved_model");
        let dir = tempfile::tempdir().unwrap();
        let copy = |name: &str| fs::copy(fixture.join(name), dir.path().join(name)).unwrap();
        copy("saved_model.pb");
        fs::create_dir(dir.path().join("variables")).unwrap();
        let (index, values) = ("variables/variables.index", "variables/variables.data-00000-of-00001");
        let _ = (copy(index), copy(values));
        let digests = || digests(&dir.path().join("saved_model.pb"), None, &()).unwrap();
        let before = digests();
        assert_eq!(digests(), before);
        let mut bytes = fs::read(dir.path().join(values)).unwrap();
        bytes[100] ^= 1;
        fs::write(dir.path().join(values), bytes).unwrap();
        assert_ne!(digests(), before);
    }
}
