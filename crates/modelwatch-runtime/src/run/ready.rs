//! How the checkpoints of a run come: imported, out of the store, or as they lie there.

use std::path::{Path, PathBuf};

use modelwatch_config::{BaselineSource, CheckpointSource, CheckpointSpec, Selector};
use modelwatch_sdk::{
    Host, ModelRole,
    store::{self, CheckpointId, CheckpointStore},
};
use modelwatch_tensors::is_weights_alone;

use super::{execute::Run, plan::Plan};
use crate::{
    arrival,
    checkpoint::{self, CheckpointError, Laid},
    due,
    models::Names,
    prune,
    record::CheckpointRecord,
};

/// Where a pipeline names its checkpoint.
const CHECKPOINT: [&str; 2] = ["/checkpoint/import", "/checkpoint/from"];
/// Where it names the baseline.
const BASELINE: [&str; 2] = ["/baseline/import", "/baseline/from"];

/// Where it names the checkpoint of a model.
pub(super) fn of(role: ModelRole) -> &'static [&'static str] {
    match role {
        ModelRole::Candidate => &CHECKPOINT,
        ModelRole::Baseline => &BASELINE,
    }
}

/// What became of what there was to import.
enum Import {
    Stored(CheckpointId),
    /// No rule says that it is to be stored; why.
    NotDue(String),
}

/// The host of an import, which a preemption does not end: it is the reason to import.
struct ImportHost<'r, 'a>(&'r Run<'a>);

impl Host for ImportHost<'_, '_> {
    fn is_cancelled(&self) -> bool {
        self.0.host.is_cancelled() && !self.0.is_preempted()
    }
}

/// A checkpoint that is there to be looked at.
pub(super) struct Ready {
    pub(super) record: CheckpointRecord,
    files: Files,
    /// Which of its files is the model, if the pipeline says so.
    pub(super) model: Option<String>,
}

enum Files {
    Laid(Laid),
    Path(PathBuf),
}

impl Ready {
    /// Names the checkpoint as its user does.
    pub(super) fn named(&self, message: &str) -> String {
        self.names().as_shown(message)
    }

    pub(super) fn names(&self) -> Names {
        Names { laid_out: self.path().to_owned(), source: self.record.source.clone() }
    }

    /// Returns the lineage and the id, if it is in the store.
    pub(super) fn stored_as(&self) -> Option<(&str, CheckpointId)> {
        let (lineage, id) = (self.record.lineage.as_deref()?, self.record.id.as_deref()?);
        Some((lineage, CheckpointId::parse(id).ok()?))
    }

    /// Returns whether nobody can expect a model of it.
    pub(super) fn is_weights_alone(&self) -> bool {
        self.model.is_none() && is_weights_alone(self.path())
    }

    pub(super) fn path(&self) -> &Path {
        match &self.files {
            Files::Laid(it) => it.path(),
            Files::Path(it) => it,
        }
    }
}

impl Run<'_> {
    pub(super) fn open_store(&mut self, plan: &Plan<'_>) -> Option<Box<dyn CheckpointStore>> {
        // What another folder has of that name may not be what is meant.
        if self.options.catalog.unread_folders().next().is_some() {
            return None;
        }
        let opened = match plan.store.as_ref()? {
            Ok(it) => it.component.open_store(&it.config).map_err(|e| CheckpointError::from(e).to_string()),
            Err(e) => Err(e.clone()),
        };
        opened.map_err(|e| self.failures.push(("store", e))).ok()
    }

    pub(super) fn history(&mut self, store: Option<&dyn CheckpointStore>) -> Option<store::History> {
        let lineage = self.pipeline.checkpoint.as_ref()?.lineage();
        store?.history(lineage).map_err(|e| self.failures.push(("store", CheckpointError::from(e).to_string()))).ok()
    }

    pub(super) fn candidate(&mut self, store: Option<&dyn CheckpointStore>) -> Option<Ready> {
        let source = self.pipeline.checkpoint.as_ref()?;
        let ready = match (source, store) {
            (CheckpointSource::Import { path, lineage, model, .. }, Some(store)) => {
                let imported = match self.import(store, lineage, path, model.as_deref()) {
                    Ok(Import::Stored(id)) => Ok(id),
                    Ok(Import::NotDue(why)) => {
                        self.not_saved = Some(why);
                        return None;
                    }
                    Err(e) => Err(e),
                };
                imported
                    .and_then(|id| {
                        self.judged = Some(id.clone());
                        self.lay_out(store, id, lineage, path.display().to_string(), model.clone())
                    })
                    .map_err(|e| e.to_string())
            }
            (CheckpointSource::Import { path, model, .. }, None) if self.pipeline.store.is_none() => {
                plain(path, model.clone())
            }
            (CheckpointSource::Stored { spec, model, .. }, Some(store)) => resolve(store, spec).and_then(|id| {
                self.judged = Some(id.clone());
                self.lay_out(store, id, &spec.lineage, spec.to_string(), model.clone()).map_err(|e| e.to_string())
            }),
            (_, None) => return None,
        };
        ready.map_err(|e| self.failures.push(("checkpoint", self.named_in(&CHECKPOINT, &e)))).ok()
    }

    fn import(
        &self,
        store: &dyn CheckpointStore,
        lineage: &str,
        path: &Path,
        model: Option<&str>,
    ) -> Result<Import, checkpoint::CheckpointError> {
        let host = ImportHost(self);
        let arrival = arrival::examine(path, &host)?.refuse_unknown(path)?;
        if let Some(rules) = &self.pipeline.save {
            let arriving = due::Arriving {
                path,
                facts: &prune::of_metadata(&arrival.metadata),
                preempted: self.is_preempted(),
                now: u64::try_from(self.options.now.as_second()).unwrap_or(0),
            };
            if let Some(why) = due::why_not(rules, store, &host, &store.history(lineage)?.whole()?, &arriving)? {
                return Ok(Import::NotDue(why));
            }
        }
        if self.pipeline.refuse_nonfinite {
            arrival::refuse_nonfinite(path, model)?;
        }
        checkpoint::import(store, &host, lineage, path, &arrival).map(Import::Stored)
    }

    pub(super) fn baseline(&mut self, store: Option<&dyn CheckpointStore>) -> Option<Ready> {
        let settings = self.pipeline.baseline.as_ref()?;
        let ready = match (&settings.from, store) {
            (BaselineSource::Path(path), _) => plain(path, settings.model.clone()),
            (BaselineSource::Stored(spec), Some(store)) => {
                let known = store.history(&spec.lineage).ok().filter(|_| settings.optional);
                let missing =
                    known.filter(|it| matches!(checkpoint::resolve(it, spec), Err(CheckpointError::NotFound { .. })));
                let is_missing = missing.is_some();
                if missing.is_some_and(|it| self.will_make(&it, spec)) {
                    self.gap("run", "comparison with the baseline", format!("`{spec}` does not exist yet"));
                    self.awaits_baseline = true;
                    return None;
                }
                let model = settings.model.clone();
                // Whoever misspelled it would wait for a first run that never ends.
                let not_excused = |e| format!("{e}; `optional` excuses none once a ref of its lineage was moved");
                resolve(store, spec).map_err(|e| if is_missing { not_excused(e) } else { e }).and_then(|id| {
                    self.lay_out(store, id, &spec.lineage, spec.to_string(), model).map_err(|e| e.to_string())
                })
            }
            (BaselineSource::Recorded, _) | (BaselineSource::Stored(_), None) => return None,
        };
        ready.map_err(|e| self.failures.push(("baseline", self.named_in(&BASELINE, &e)))).ok()
    }

    /// Returns whether a baseline that is missing comes of itself: the pipeline moves its ref to what passes, or none of the lineage was
    /// ever moved but to what does not.
    ///
    /// One of another lineage, of a digest, or of what does not pass, is refused with the pipeline's file where it is optional.
    fn will_make(&self, history: &store::History, spec: &CheckpointSpec) -> bool {
        let Selector::Ref(name) = &spec.selector else { return false };
        let on = &self.pipeline.on;
        let is_of_others = |name: &str| on.refs_of_others().any(|it| it == name);
        on.refs_of_passed().any(|it| it == name) || history.moves().iter().all(|it| is_of_others(&it.name))
    }

    fn lay_out(
        &self,
        store: &dyn CheckpointStore,
        id: CheckpointId,
        lineage: &str,
        source: String,
        model: Option<String>,
    ) -> Result<Ready, checkpoint::CheckpointError> {
        let reader = store.open(&self.host, &id)?;
        let laid = checkpoint::lay_out(reader.as_ref(), &self.host)?;
        let record = CheckpointRecord {
            id: Some(id.to_string()),
            lineage: Some(lineage.to_owned()),
            source,
            files: laid.files,
            bytes: laid.bytes,
            blessing: None,
        };
        Ok(Ready { record, files: Files::Laid(laid), model })
    }
}

fn resolve(store: &dyn CheckpointStore, spec: &CheckpointSpec) -> Result<CheckpointId, String> {
    let history = store.history(&spec.lineage).map_err(|e| e.message)?;
    checkpoint::resolve(&history, spec).map_err(|e| e.to_string())
}

fn plain(path: &Path, model: Option<String>) -> Result<Ready, String> {
    let files = checkpoint::files(path).map_err(|e| e.to_string())?;
    let bytes = files.iter().filter_map(|(_, it)| it.metadata().ok()).map(|it| it.len()).sum();
    let source = path.display().to_string();
    let record = CheckpointRecord { id: None, lineage: None, source, files: files.len() as u64, bytes, blessing: None };
    Ok(Ready { record, files: Files::Path(path.to_owned()), model })
}
