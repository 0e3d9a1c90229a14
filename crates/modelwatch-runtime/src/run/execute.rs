//! Carries a planned run out.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use modelwatch_config::{
    BaselineSource, CheckpointSource, CheckpointSpec, Document, Origin, Pipeline, Selector, When, code,
};
use modelwatch_sdk::{
    DType, Host, ModelRole, Need, Role, TensorView,
    store::{self, CheckpointId, CheckpointStore},
};
use modelwatch_tensors::{Tensor, TensorFile, find_weights, is_weights_alone};
use serde_json::Value;

use super::{
    Event, Options, Outcome, Problem, outcome, plan,
    plan::{Plan, UNREAD_HELP},
    resumption::{self, Resumption},
    rows::Checkpoints,
};
use crate::{
    arrival,
    blessing::SealedData,
    checkpoint::{self, CheckpointError, Laid},
    due,
    history::{self, History},
    model::{self, LoadedModel, ModelError, Refused, Wanted},
    models::{Models, Names, RunModel},
    pass::Slot,
    prune,
    record::{CheckpointRecord, Coverage, GapRecord},
    services::PlainHost,
    whole_file::is_first_in_its_folder,
};

/// A run on its way.
pub(super) struct Run<'a> {
    pub(super) document: &'a Document,
    pub(super) pipeline: &'a Pipeline,
    pub(super) options: &'a Options<'a>,
    pub(super) host: PlainHost,
    pub(super) start: Instant,
    /// When the probes were opened; until then, the start.
    pub(super) opened: Instant,
    pub(super) phases: BTreeMap<String, f64>,
    pub(super) coverage: Coverage,
    /// What went wrong with the run itself: what, and why.
    pub(super) failures: Vec<(&'static str, String)>,
    /// Whether the baseline is missing, and may be.
    pub(super) awaits_baseline: bool,
    pub(super) non_finite_inputs: u64,
    /// The judged checkpoint, also where its bytes turn out to be damaged.
    pub(super) judged: Option<CheckpointId>,
    /// Why what there was to import was not stored.
    pub(super) not_saved: Option<String>,
    /// What the data was when the run began; empty where there is neither a store nor a file to keep it in.
    pub(super) sealed: BTreeMap<Role, SealedData>,
    /// Where the run notes how far it has come, if it does.
    pub(super) resumption: Option<Resumption>,
    /// What the checkpoints were made of before their models were loaded; nothing where the run takes no note of itself.
    pub(super) made_of: Option<Result<Value, String>>,
    /// What the run is called.
    pub(super) run_id: String,
    /// Whether the store could be opened, if there is to be one.
    pub(super) has_store: bool,
}

/// Where a pipeline names its checkpoint.
const CHECKPOINT: [&str; 2] = ["/checkpoint/import", "/checkpoint/from"];
/// Where it names the baseline.
const BASELINE: [&str; 2] = ["/baseline/import", "/baseline/from"];

/// Where it names the checkpoint of a model.
fn of(role: ModelRole) -> &'static [&'static str] {
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

    fn names(&self) -> Names {
        Names { laid_out: self.path().to_owned(), source: self.record.source.clone() }
    }

    /// Returns the lineage and the id, if it is in the store.
    pub(super) fn stored_as(&self) -> Option<(&str, CheckpointId)> {
        let (lineage, id) = (self.record.lineage.as_deref()?, self.record.id.as_deref()?);
        Some((lineage, CheckpointId::parse(id).ok()?))
    }

    /// Returns whether nobody can expect a model of it.
    fn is_weights_alone(&self) -> bool {
        self.model.is_none() && is_weights_alone(self.path())
    }

    pub(super) fn path(&self) -> &Path {
        match &self.files {
            Files::Laid(it) => it.path(),
            Files::Path(it) => it,
        }
    }
}

pub(super) fn execute(
    document: &Document,
    pipeline: &Pipeline,
    plan: Plan<'_>,
    options: &Options<'_>,
) -> Result<Outcome, Problem> {
    let mut run = Run {
        document,
        pipeline,
        options,
        host: PlainHost(Arc::clone(&options.cancelled)),
        start: Instant::now(),
        opened: Instant::now(),
        phases: BTreeMap::new(),
        coverage: Coverage::default(),
        failures: Vec::new(),
        awaits_baseline: false,
        non_finite_inputs: 0,
        judged: None,
        not_saved: None,
        sealed: BTreeMap::new(),
        resumption: None,
        made_of: None,
        run_id: outcome::run_id(options.now, &outcome::digest(document)),
        has_store: true,
    };
    let unread = options.catalog.unread_folders().map(|it| ("plugins", format!("{it}; {UNREAD_HELP}")));
    run.failures.extend(unread);
    let store = run.open_store(&plan);
    run.has_store = store.is_some() || pipeline.store.is_none();
    let is_vain = run.cannot_keep();
    let before = run.history(store.as_deref());
    let candidate = run.phase("checkpoint", |run| run.candidate(store.as_deref()));
    run.check_interrupted()?;
    if run.not_saved.is_some() {
        // There is nothing to judge: no data is read, and no probe has a say.
        let nothing = outcome::Checkpoints { store, ..outcome::Checkpoints::default() };
        return outcome::conclude(run, &plan, Vec::new(), nothing);
    }
    let lineage = pipeline.checkpoint.as_ref().map(CheckpointSource::lineage);
    if is_vain {
        // What came is stored all the same, since it may be the last of a training.
        for it in &pipeline.probes {
            run.gap(&it.id, "the whole probe", "the run cannot keep what it should, so that it was not begun");
        }
        let only = outcome::Checkpoints {
            store,
            before: before.as_ref(),
            lineage,
            candidate,
            ..outcome::Checkpoints::default()
        };
        return outcome::conclude(run, &plan, Vec::new(), only);
    }
    let baseline = run.phase("baseline", |run| run.baseline(store.as_deref()));
    run.check_interrupted()?;

    if pipeline.run.resume.is_some() {
        let made_of = |run: &mut Run<'_>| resumption::made_of([candidate.as_ref(), baseline.as_ref()], &run.host);
        run.made_of = Some(run.phase("digests", made_of));
    }
    let (candidate_model, baseline_model) =
        run.phase("models", |run| run.models(&plan, candidate.as_ref(), baseline.as_ref()));
    let found = [
        (ModelRole::Candidate, candidate.as_ref(), &candidate_model),
        (ModelRole::Baseline, baseline.as_ref(), &baseline_model),
    ];
    // One that no probe wants was not tried: nobody knows whether it can be run.
    let refused = found.into_iter().filter(|it| plan.wants(it.0)).filter_map(|(role, ready, loaded)| {
        let (ready, why) = (ready?, loaded.as_ref().err()?.clone());
        Some((role, Arc::new(Refused { checkpoint: ready.path().to_owned(), model: ready.model.clone(), why })))
    });
    let models = Models {
        candidate: candidate_model.as_ref().ok().map(|it| Arc::new(RunModel::new(it))),
        baseline: baseline_model.as_ref().ok().map(|it| Arc::new(RunModel::new(it))),
        refused: refused.collect(),
        names: [&candidate, &baseline].into_iter().flatten().map(Ready::names).collect(),
    };
    run.opened = Instant::now();
    let mut probes: Vec<_> = plan.probes.iter().map(|it| (it, run.open(it, &models, baseline.is_some()))).collect();
    let mut slots: Vec<&mut Slot<'_>> = probes.iter_mut().filter_map(|(_, it)| it.as_mut()?.as_mut().ok()).collect();
    run.require_models(&mut slots, found);
    if store.is_some() || pipeline.run.resume.is_some() {
        run.phase("digests", |run| run.seal(&plan));
    }
    let ready = Checkpoints { candidate: candidate.as_ref(), baseline: baseline.as_ref(), store: store.as_deref() };
    if let Some(file) = &pipeline.run.resume {
        run.phase("resume", |run| run.resume(file, &plan, ready, &models, &mut slots));
        run.check_interrupted()?;
    }
    for role in plan.data.keys().rev() {
        let phase = if *role == Role::Current { "current data" } else { "reference data" };
        run.phase(phase, |run| run.rows(*role, &plan, ready, &models, &mut slots));
        run.check_interrupted()?;
    }
    run.tell_unnoted();
    run.check_sealed();
    run.phase("tensors", |run| run.tensors(&mut slots, candidate.as_ref(), baseline.as_ref()));
    run.check_interrupted()?;

    let checkpoints = outcome::Checkpoints {
        store,
        before: before.as_ref(),
        lineage,
        candidate,
        baseline,
        models: [candidate_model, baseline_model].into_iter().filter_map(|it| Some(it.ok()?.record)).collect(),
        running: models,
    };
    outcome::conclude(run, &plan, probes, checkpoints)
}

impl<'a> Run<'a> {
    pub(super) fn phase<T>(&mut self, name: &'static str, work: impl FnOnce(&mut Self) -> T) -> T {
        (self.options.on_event)(Event::Phase(name));
        let start = Instant::now();
        let res = work(self);
        *self.phases.entry(name.to_owned()).or_default() += start.elapsed().as_secs_f64();
        res
    }

    pub(super) fn check_interrupted(&self) -> Result<(), Problem> {
        let stored = || self.judged.clone().filter(|_| self.is_preempted());
        if self.options.cancelled.load(Ordering::Relaxed) {
            Err(Problem::Interrupted { stored: stored() })
        } else {
            Ok(())
        }
    }

    /// Returns whether the run was told to end and is to import before it does.
    fn is_preempted(&self) -> bool {
        let on_signal = self.pipeline.save.as_ref().is_some_and(|it| it.on_signal);
        on_signal && self.options.preempted.load(Ordering::Relaxed)
    }

    /// Says what the run is to keep and cannot, and returns whether there is such, so that no probe is to be begun.
    ///
    /// Before anything is done: a run that nobody can look up again must not move a ref.
    fn cannot_keep(&mut self) -> bool {
        let history = history::path_of(self.pipeline);
        let is_kept = self.options.keep && self.may_write(&history);
        let history = is_kept.then(|| History::open(&history).err()).flatten().map(|e| ("history", e.to_string()));
        let resume =
            self.pipeline.run.resume.as_ref().and_then(|it| self.resume_place(it).err()).map(|e| ("resume", e));
        let found = [history, resume];
        let is_vain = found.iter().any(Option::is_some);
        self.failures.extend(found.into_iter().flatten());
        is_vain
    }

    /// Says at which place of the pipeline something is named that cannot be used: the first of these that is there.
    pub(super) fn named_in(&self, pointers: &[impl AsRef<str>], why: &str) -> String {
        let is_there = |it: &&str| self.document.value().pointer(it).is_some();
        let Some(pointer) = pointers.iter().map(AsRef::as_ref).find(is_there) else { return why.to_owned() };
        let diagnostic = self.document.at(pointer, code::MISSING_FILE, "", None);
        let Some(place) = diagnostic.location(self.document) else { return why.to_owned() };
        match diagnostic.origin {
            // What arguments stand for has no places that anybody could look at.
            Origin::File if place.file == "command line" => why.to_owned(),
            Origin::File => format!("{why} ({}:{}:{})", place.file, place.line, place.column),
            origin => format!("{why} (`{}`)", self.document.source(origin).1),
        }
    }

    pub(super) fn gap(&mut self, probe: &str, what: impl Into<String>, why: impl Into<String>) {
        self.coverage.gaps.push(GapRecord { probe: probe.to_owned(), what: what.into(), why: why.into() });
    }

    /// Returns whether a file may be written, as [`Outcome::has_store`] says.
    pub(super) fn may_write(&self, path: &Path) -> bool {
        self.has_store || !is_first_in_its_folder(path)
    }

    fn open_store(&mut self, plan: &Plan<'_>) -> Option<Box<dyn CheckpointStore>> {
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

    fn history(&mut self, store: Option<&dyn CheckpointStore>) -> Option<store::History> {
        let lineage = self.pipeline.checkpoint.as_ref()?.lineage();
        store?.history(lineage).map_err(|e| self.failures.push(("store", CheckpointError::from(e).to_string()))).ok()
    }

    fn candidate(&mut self, store: Option<&dyn CheckpointStore>) -> Option<Ready> {
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
        let metadata = arrival::examine(path, &host)?.refuse_unknown(path)?.metadata;
        if let Some(rules) = &self.pipeline.save {
            let arriving = due::Arriving {
                path,
                facts: &prune::of_metadata(&metadata),
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
        checkpoint::import(store, &host, lineage, path, &metadata).map(Import::Stored)
    }

    fn baseline(&mut self, store: Option<&dyn CheckpointStore>) -> Option<Ready> {
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
            (BaselineSource::Stored(_), None) => return None,
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

    /// Loads the models that some probe wants.
    fn models(
        &self,
        plan: &Plan<'_>,
        candidate: Option<&Ready>,
        baseline: Option<&Ready>,
    ) -> (Result<LoadedModel, String>, Result<LoadedModel, String>) {
        let load = |ready: Option<&Ready>, role| match ready {
            None => Err(format!("there is no {} checkpoint", ModelRole::as_str(role))),
            Some(_) if !plan.wants(role) => Err("no probe wants it".to_owned()),
            Some(it) => {
                let layers = plan.row_needs().flat_map(|it| it.layers_of(role)).cloned().collect();
                let wanted = Wanted { path: it.path(), model: it.model.as_deref(), role, layers };
                let runtime = self.options.runtimes.open(self.pipeline, role).map_err(ModelError::from);
                runtime.and_then(|runtime| model::load(&*runtime, &wanted)).map_err(|e| it.named(&e.to_string()))
            }
        };
        (load(candidate, ModelRole::Candidate), load(baseline, ModelRole::Baseline))
    }

    /// Opens a probe, unless its `when` keeps it out.
    fn open(
        &mut self,
        planned: &plan::Planned<'a>,
        models: &Models,
        has_baseline: bool,
    ) -> Option<Result<Slot<'a>, String>> {
        let settings = planned.settings;
        let out = match settings.when {
            When::Baseline if !has_baseline => "it runs only where there is a baseline",
            When::Reference if self.pipeline.data.as_ref().is_none_or(|it| it.reference.is_none()) => {
                "it runs only where there is reference data"
            }
            _ => {
                let artifacts = self.pipeline.report.artifacts.as_ref().map(|it| it.join(&self.run_id));
                let artifacts = artifacts.filter(|it| self.may_write(it));
                return Some(planned.open(models, self.options, artifacts.as_deref()));
            }
        };
        self.gap(&settings.id, "the whole probe", out);
        None
    }

    /// Probes that cannot do without a model that is not there have no say, and the others go on without it. One that is there
    /// and cannot be loaded is a failure of the run, even if all could do without: nobody knows what it would have shown.
    fn require_models(
        &mut self,
        slots: &mut [&mut Slot<'_>],
        found: [(ModelRole, Option<&Ready>, &Result<LoadedModel, String>); 2],
    ) {
        for slot in slots {
            let rows: Vec<_> = [&slot.needs.current, &slot.needs.reference].into_iter().flatten().cloned().collect();
            for it in rows {
                for (role, ready, model) in found {
                    let why = match model {
                        Err(it) => it,
                        Ok(loaded) => {
                            let layered = loaded.layered.iter().flat_map(|it| &it.tensors);
                            let asked = layered.filter(|(name, _)| it.layers_of(role).contains(name));
                            for why in asked.filter_map(|(_, it)| it.as_ref().err()) {
                                slot.fail_with(format!(
                                    "a layer of the {} model cannot be given: {why}",
                                    role.as_str()
                                ));
                            }
                            continue;
                        }
                    };
                    match it.model(role) {
                        Need::Required => {
                            let why = self.named_in(of(role), why);
                            slot.fail_with(format!("the {} model cannot be run: {why}", role.as_str()));
                        }
                        Need::Optional if ready.is_some_and(|it| !it.is_weights_alone()) => {
                            self.unusable(role, format!("the {} model cannot be run: {why}", role.as_str()));
                        }
                        Need::Optional if self.pipeline_has(role) => {
                            let what = format!("the {} model's outputs", role.as_str());
                            let gap = GapRecord { probe: slot.settings.id.clone(), what, why: why.clone() };
                            if !self.coverage.gaps.contains(&gap) {
                                self.coverage.gaps.push(gap);
                            }
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    /// Takes note that a checkpoint that the pipeline names is there and cannot be used, once.
    pub(super) fn unusable(&mut self, role: ModelRole, why: String) {
        let what = match role {
            ModelRole::Candidate => "checkpoint",
            ModelRole::Baseline => "baseline",
        };
        let failure = (what, self.named_in(of(role), &why));
        if !self.failures.contains(&failure) {
            self.failures.push(failure);
        }
    }

    fn pipeline_has(&self, role: ModelRole) -> bool {
        match role {
            ModelRole::Candidate => self.pipeline.checkpoint.is_some(),
            ModelRole::Baseline => self.pipeline.baseline.is_some(),
        }
    }

    /// Shows the checkpoints' tensors to the probes that need them, sorted by name.
    fn tensors(&mut self, slots: &mut [&mut Slot<'_>], candidate: Option<&Ready>, baseline: Option<&Ready>) {
        let mut wanting: Vec<_> = slots.iter_mut().filter(|it| it.needs.tensors.candidate != Need::No).collect();
        if wanting.is_empty() {
            return;
        }
        let open = |ready: Option<&Ready>, role: ModelRole| {
            let ready = ready.ok_or_else(|| format!("there is no {} checkpoint", role.as_str()))?;
            find_weights(ready.path()).and_then(|it| TensorFile::open(&it)).map_err(|e| ready.named(&e.to_string()))
        };
        let current = match open(candidate, ModelRole::Candidate) {
            Ok(it) => it,
            Err(e) => {
                for slot in wanting {
                    let why = format!("the checkpoint's tensors cannot be read: {e}");
                    match slot.needs.tensors.candidate {
                        Need::Required => slot.fail_with(why),
                        _ if candidate.is_some() => self.unusable(ModelRole::Candidate, why),
                        _ => self.gap(&slot.settings.id, "the checkpoint's tensors", e.clone()),
                    }
                }
                return;
            }
        };
        let before = open(baseline, ModelRole::Baseline);
        for slot in &mut wanting {
            match (&before, slot.needs.tensors.baseline) {
                (Err(e), Need::Required) => slot.fail_with(format!("the baseline's tensors cannot be read: {e}")),
                (Err(e), Need::Optional) if baseline.is_some() => {
                    self.unusable(ModelRole::Baseline, format!("the baseline's tensors cannot be read: {e}"));
                }
                _ => {}
            }
        }
        for it in current.skipped() {
            self.gap("run", format!("tensor `{}`", it.name), it.reason.clone());
        }
        self.show(&mut wanting, &current, before.as_ref().ok());
    }

    fn show(&mut self, slots: &mut [&mut &mut Slot<'_>], current: &TensorFile, before: Option<&TensorFile>) {
        let mut names: Vec<&str> = current.infos().iter().map(|it| it.name.as_str()).collect();
        names.extend(before.iter().flat_map(|it| it.infos()).map(|it| it.name.as_str()));
        names.sort_unstable();
        names.dedup();
        let mut counts = [0_u64; 2];
        for name in names {
            let files = [(ModelRole::Baseline, before), (ModelRole::Candidate, Some(current))];
            for (at, (role, file)) in files.into_iter().enumerate() {
                let Some(tensor) = file.and_then(|it| it.get(name)) else { continue };
                counts[at] += 1;
                for slot in slots.iter_mut() {
                    if role == ModelRole::Baseline && slot.needs.tensors.baseline == Need::No {
                        continue;
                    }
                    match &tensor {
                        Ok(it) => slot.call(|probe, host| probe.update_tensor(host, role, &view(it)?)),
                        Err(e) => slot.fail_with(e.to_string()),
                    }
                }
            }
        }
        for (role, n) in [ModelRole::Baseline, ModelRole::Candidate].into_iter().zip(counts) {
            if n > 0 {
                self.coverage.tensors.insert(role.as_str().to_owned(), n);
            }
        }
    }
}

fn resolve(store: &dyn CheckpointStore, spec: &modelwatch_config::CheckpointSpec) -> Result<CheckpointId, String> {
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

fn view<'t>(tensor: &'t Tensor<'_>) -> Result<TensorView<'t>, modelwatch_sdk::Error> {
    let name = tensor.info.dtype.name();
    let dtype = DType::parse(name)
        .ok_or_else(|| modelwatch_sdk::Error::input(format!("tensor `{}` has type {name}", tensor.info.name)))?;
    Ok(TensorView { name: &tensor.info.name, dtype, shape: &tensor.info.shape, bytes: &tensor.bytes })
}
