//! Carries a planned run out.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use modelwatch_config::{CheckpointSource, Document, Origin, Pipeline, When, code};
use modelwatch_sdk::{DType, ModelRole, Need, Role, TensorView, store::CheckpointId};
use modelwatch_tensors::{Tensor, TensorFile, find_weights};
use serde_json::Value;

use super::{
    Event, Options, Outcome, Problem, outcome, plan,
    plan::{Plan, UNREAD_HELP},
    ready::{Ready, of},
    resumption::{self, Resumption},
    rows::Checkpoints,
};
use crate::{
    blessing::SealedData,
    history::{self, EarlierRuns, History},
    model::{self, LoadedModel, ModelError, Refused, Wanted},
    models::{Models, RunModel},
    pass::Slot,
    record::{Coverage, GapRecord, ModelRecord},
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
    /// How many rows of a role have no weight, and of how many, as far as some probe wants weights.
    pub(super) weightless: BTreeMap<Role, (u64, u64)>,
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
        weightless: BTreeMap::new(),
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
    let roles = [ModelRole::Candidate, ModelRole::Baseline].into_iter();
    let recorded: BTreeSet<_> = roles.filter(|it| model::is_recorded(pipeline, *it)).collect();
    for role in &recorded {
        run.gap("run", format!("the {} model", role.as_str()), "what it answered was recorded, and it was not run");
    }
    // One that no probe wants was not tried: nobody knows whether it can be run.
    let is_refused = |role| plan.wants(role) && !recorded.contains(&role);
    let refused = found.into_iter().filter(|it| is_refused(it.0)).filter_map(|(role, ready, loaded)| {
        let (ready, why) = (ready?, loaded.as_ref().err()?.clone());
        let signature = model::wanted_signature(pipeline, role).map(str::to_owned);
        let (checkpoint, model) = (ready.path().to_owned(), ready.model.clone());
        Some((role, Arc::new(Refused { checkpoint, model, signature, why })))
    });
    let models = Models {
        candidate: candidate_model.as_ref().ok().map(|it| run.run_model(it, ModelRole::Candidate)),
        baseline: baseline_model.as_ref().ok().map(|it| run.run_model(it, ModelRole::Baseline)),
        refused: refused.collect(),
        recorded,
        names: [&candidate, &baseline].into_iter().flatten().map(Ready::names).collect(),
    };
    run.opened = Instant::now();
    let has_baseline = baseline.is_some() || models.recorded.contains(&ModelRole::Baseline);
    let mut probes: Vec<_> = plan.probes.iter().map(|it| (it, run.open(it, &models, has_baseline))).collect();
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
        models: [(ModelRole::Candidate, candidate_model), (ModelRole::Baseline, baseline_model)]
            .into_iter()
            .filter_map(|(role, it)| it.ok().map(|it| it.record).or_else(|| ModelRecord::recorded(role, pipeline)))
            .collect(),
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
    pub(super) fn is_preempted(&self) -> bool {
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
            // What arguments have in common, nobody wrote.
            Origin::File if self.document.path().is_none() => why.to_owned(),
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

    /// Loads the models that some probe wants.
    fn models(
        &self,
        plan: &Plan<'_>,
        candidate: Option<&Ready>,
        baseline: Option<&Ready>,
    ) -> (Result<LoadedModel, String>, Result<LoadedModel, String>) {
        let load = |ready: Option<&Ready>, role| match ready {
            _ if model::is_recorded(self.pipeline, role) => Err("its outputs were recorded".to_owned()),
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

    /// Returns the model that probes run, and can have loaded again.
    fn run_model(&self, loaded: &LoadedModel, role: ModelRole) -> Arc<RunModel> {
        Arc::new(RunModel::new(loaded).loaded_by(self.options.runtimes.open(self.pipeline, role).ok()))
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
                let kept = plan::Kept { artifacts, earlier_runs: self.earlier_runs() };
                return Some(planned.open(models, self.options, kept));
            }
        };
        self.gap(&settings.id, "the whole probe", out);
        None
    }

    /// Returns the runs before, where this one goes into the same history.
    fn earlier_runs(&self) -> Option<EarlierRuns> {
        let path = history::path_of(self.pipeline);
        let is_kept = self.options.keep && self.may_write(&path);
        is_kept.then(|| EarlierRuns { path, pipeline: self.pipeline.name.clone(), now: self.options.now })
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
                            for (name, why) in asked.filter_map(|(name, it)| Some((name, it.as_ref().err()?))) {
                                slot.fail_with(format!(
                                    "the layer `{name}` of the {} model cannot be given: {why}",
                                    role.as_str()
                                ));
                            }
                            continue;
                        }
                    };
                    let is_recorded = model::is_recorded(self.pipeline, role);
                    match model::need(self.pipeline, &it, role) {
                        Need::Required => {
                            let why = self.named_in(of(role), why);
                            slot.fail_with(format!("the {} model cannot be run: {why}", role.as_str()));
                        }
                        Need::Optional if !is_recorded && ready.is_some_and(|it| !it.is_weights_alone()) => {
                            self.unusable(role, format!("the {} model cannot be run: {why}", role.as_str()));
                        }
                        Need::Optional if is_recorded || self.pipeline_has(role) => {
                            let of = if is_recorded { "" } else { "'s outputs" };
                            let what = format!("the {} model{of}", role.as_str());
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
        for e in before.into_iter().chain([current]).filter_map(|it| it.check().err()) {
            slots.iter_mut().for_each(|it| it.fail_with(e.to_string()));
        }
        for (role, n) in [ModelRole::Baseline, ModelRole::Candidate].into_iter().zip(counts) {
            if n > 0 {
                self.coverage.tensors.insert(role.as_str().to_owned(), n);
            }
        }
    }
}

fn view<'t>(tensor: &'t Tensor<'_>) -> Result<TensorView<'t>, modelwatch_sdk::Error> {
    let name = tensor.info.dtype.name();
    let dtype = DType::parse(name)
        .ok_or_else(|| modelwatch_sdk::Error::input(format!("tensor `{}` has type {name}", tensor.info.name)))?;
    Ok(TensorView { name: &tensor.info.name, dtype, shape: &tensor.info.shape, bytes: &tensor.bytes })
}
