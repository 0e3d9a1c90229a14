//! From what the probes say to the record: decide, act, keep.

mod label;
mod row_weights;

use std::collections::BTreeMap;

use jiff::Timestamp;
use modelwatch_config::{Action, Document, FailOn, Pipeline, ProbeKind, ProbeSeverity, ProfiledData, When};
use modelwatch_sdk::{
    FindingCode, Kind, ModelRole, Report, Role,
    report::{Check, Finding, Labels, Metric, MetricRole, Severity, Status},
    store::{Blessing, CheckpointId, CheckpointStore, History, PluginSeal, VerdictRecord},
};

use row_weights::{ROW_WEIGHTS, unheeded_weight, unless_undecided, weightless};

use super::{
    Event, Outcome, Problem,
    execute::Run,
    kept_profile::KeptProfile,
    plan::{self, Plan, Planned, some},
    ready::Ready,
    rows,
};
use crate::{
    act::{self, Judged},
    blessing, codes, decide,
    history::{self, HistoryError},
    models::{Models, RunModel},
    pass::Slot,
    plugin::Lookup,
    record::{
        ActionRecord, BlessingRecord, GapRecord, ModelRecord, Of, PipelineRecord, ProbeCoverage, RunRecord, Timings,
        Verdict,
    },
};

/// The probe id of what the run itself has to say.
const RUN: &str = "run";

/// What was judged and where it is kept.
#[derive(Default)]
pub(super) struct Checkpoints<'a> {
    pub(super) store: Option<Box<dyn CheckpointStore>>,
    pub(super) before: Option<&'a History>,
    pub(super) lineage: Option<&'a str>,
    pub(super) candidate: Option<Ready>,
    pub(super) baseline: Option<Ready>,
    pub(super) models: Vec<ModelRecord>,
    /// The models that were run.
    pub(super) running: Models,
}

impl Checkpoints<'_> {
    pub(super) fn ready(&self) -> rows::Checkpoints<'_> {
        rows::Checkpoints {
            candidate: self.candidate.as_ref(),
            baseline: self.baseline.as_ref(),
            store: self.store.as_deref(),
        }
    }
}

type Probes<'p, 'a> = Vec<(&'p Planned<'a>, Option<Result<Slot<'a>, String>>)>;

pub(super) fn conclude(
    mut run: Run<'_>,
    plan: &Plan<'_>,
    mut probes: Probes<'_, '_>,
    mut checkpoints: Checkpoints<'_>,
) -> Result<Outcome, Problem> {
    let mut judgement = Judgement::new(&run);
    run.phase("verdict", |run| {
        for (planned, slot) in &mut probes {
            judgement.probe(run, planned, slot.as_mut());
        }
        judgement.first_run();
        judgement.models(run, &checkpoints.running);
    });
    let profile = judgement.profile(&mut run, plan, &checkpoints);
    // From here on the run is carried to its end: refs and their log must agree.
    run.check_interrupted()?;
    let mut record = record(&run, judgement, &checkpoints);
    let config = blessing::config_digest(run.document);
    let others = run.phase("actions", |run| act_on(run, &mut record, &mut checkpoints, &config, profile));
    let is_any_told = others.iter().any(|it| matches!(it, Action::Notify { .. } | Action::Run { .. }));
    // Commands may take long, and whoever ends the run meanwhile finds what was done to refs.
    let mut history_error = None;
    if is_any_told {
        history_error = keep(&run, &record, history::keep);
        run.phase("telling", |run| tell(run, &mut record, others));
    }
    record.timings.phases = std::mem::take(&mut run.phases);
    record.timings.total = run.start.elapsed().as_secs_f64();
    if history_error.is_none() {
        history_error = keep(&run, &record, if is_any_told { history::replace } else { history::keep });
    }
    if history_error.is_none()
        && let Some(it) = &run.resumption
    {
        it.end();
    }
    (run.options.on_event)(Event::Phase("done"));
    Ok(Outcome { record, history_error, has_store: run.has_store })
}

/// Puts the record into the history, if it is to be there.
fn keep(
    run: &Run<'_>,
    record: &RunRecord,
    put: fn(&Pipeline, &RunRecord) -> Result<(), HistoryError>,
) -> Option<HistoryError> {
    let path = run.options.keep.then(|| history::path_of(run.pipeline))?;
    if run.may_write(&path) { put(run.pipeline, record).err() } else { Some(HistoryError::Withheld { path }) }
}

/// Everything that was said, under the probes' ids.
struct Judgement {
    /// The worst status among the checks that count.
    worst: Option<Status>,
    /// Whether anything that counts was required and could be judged without a baseline that is missing.
    is_asked: bool,
    /// What would count and waits for the baseline.
    waiting: Vec<String>,
    checks: Vec<Of<Check>>,
    findings: Vec<Of<Finding>>,
    reports: Vec<(String, Report)>,
    coverage: Vec<ProbeCoverage>,
    seconds: BTreeMap<String, f64>,
}

impl Judgement {
    fn new(run: &Run<'_>) -> Self {
        let mut res = Self {
            worst: None,
            is_asked: false,
            waiting: Vec::new(),
            checks: Vec::new(),
            findings: Vec::new(),
            reports: Vec::new(),
            coverage: Vec::new(),
            seconds: BTreeMap::new(),
        };
        for (what, why) in &run.failures {
            res.check(RUN, true, failed(what, "is there and can be read", why));
        }
        if let Some(why) = &run.not_saved {
            let check = failed("checkpoint", "is to be stored", why);
            res.check(RUN, true, Check { status: Status::NotChecked, ..check });
        }
        if run.non_finite_inputs > 0 {
            let n = run.non_finite_inputs;
            let finding = Finding::new(
                codes::NON_FINITE_INPUTS.code,
                codes::NON_FINITE_INPUTS.severity,
                "model inputs",
                format!(
                    "{n} {} model inputs that are missing or not finite",
                    if n == 1 { "row has" } else { "rows have" }
                ),
            )
            .advice("clean the data, or check that the model is made for missing values; operators may swallow NaN")
            .evidence("rows", n);
            res.warn(run.pipeline.fail_on, finding, failed("model inputs", "all finite", "some are not"));
        }
        res
    }

    /// Passes on what the runtime noticed about the models by the time that all probes are done with them.
    fn models(&mut self, run: &Run<'_>, models: &Models) {
        for role in [ModelRole::Candidate, ModelRole::Baseline] {
            for warning in models.get(role).map(RunModel::warnings).unwrap_or_default() {
                self.model_warning(run.pipeline.fail_on, role, &warning);
            }
            if models.get(role).is_some_and(RunModel::rows_are_mixed) {
                self.mixed_rows(run.pipeline.fail_on, role);
            }
        }
    }

    fn model_warning(&mut self, fail_on: FailOn, role: ModelRole, warning: &str) {
        let FindingCode { code, severity, .. } = codes::SLOW_FORM;
        let finding = Finding::new(code, severity, format!("{} model", role.as_str()), warning).advice(
            "its outputs are right, and slower; export it again with another version or operator set to run it fast",
        );
        self.warn(fail_on, finding, failed("model", "runs in its fast form", warning));
    }

    fn mixed_rows(&mut self, fail_on: FailOn, role: ModelRole) {
        const SAID: &str = "its rows influence each other: they are run one by one";
        let FindingCode { code, severity, .. } = codes::MIXED_ROWS;
        let finding = Finding::new(code, severity, format!("{} model", role.as_str()), SAID).advice(
            "it answers otherwise where it is asked larger batches; export it with no operator across the batch, which is the first axis",
        );
        self.warn(fail_on, finding, failed("model", "rows do not know of each other", SAID));
    }

    /// Keeps the profile beside the checkpoint that the pipeline asks for, where the checkpoint passes: with a failure to do so it does not,
    /// since whoever relies on the profile would find none.
    fn profile(
        &mut self,
        run: &mut Run<'_>,
        plan: &Plan<'_>,
        checkpoints: &Checkpoints<'_>,
    ) -> Option<Result<KeptProfile, String>> {
        let of = run.pipeline.on.pass.iter().find_map(|it| match it {
            Action::Profile { of, .. } => Some(*of),
            _ => None,
        })?;
        if self.worst != Some(Status::Pass) {
            return None;
        }
        let role = match of {
            ProfiledData::Current => Role::Current,
            ProfiledData::Reference => Role::Reference,
        };
        let kept = run.phase("profile", |run| run.keep_profile(role, plan, checkpoints));
        if let Err(e) = &kept {
            self.check(RUN, true, failed("profile", "is kept beside the checkpoint", e));
        }
        Some(kept)
    }

    /// Adds a finding of the run itself, and a check that fails where warnings are to fail.
    fn warn(&mut self, fail_on: FailOn, finding: Finding, check: Check) {
        self.findings.push(Of { probe: RUN.to_owned(), it: finding });
        if fail_on == FailOn::Warning {
            self.check(RUN, true, Check { status: Status::Fail, ..check });
        }
    }

    fn check(&mut self, probe: &str, counts: bool, check: Check) {
        if counts {
            self.worst = self.worst.max(Some(check.status));
        }
        self.checks.push(Of { probe: probe.to_owned(), it: check });
    }

    /// Lets no checkpoint pass of which everything that is required waits for a baseline: it would become the baseline unjudged.
    fn first_run(&mut self) {
        if self.is_asked || self.waiting.is_empty() {
            return;
        }
        let why = format!(
            "{}: there is no baseline yet, and nothing else is required; add what has to hold without one, as `accuracy = \">= 0.9\"`, or \
             move the ref of the baseline by hand",
            some(&self.waiting)
        );
        self.check(RUN, true, Check::not_checked("requirements", "one holds without the baseline", why));
    }

    fn probe(&mut self, run: &mut Run<'_>, planned: &Planned<'_>, slot: Option<&mut Result<Slot<'_>, String>>) {
        let settings = planned.settings;
        let counts = settings.severity == ProbeSeverity::Error;
        let Some(slot) = slot else {
            // An analyzer that nothing is asked of makes no run a judged one, whether it waits or not.
            let is_asked = settings.kind == ProbeKind::Verifier || !settings.requirements.is_empty();
            if counts && is_asked && run.awaits_baseline && settings.when == When::Baseline {
                self.waiting.push(format!("`{}`", settings.id));
            }
            return;
        };
        let before = self.checks.len();
        // Why no check of it may pass, where it is so.
        let mut undecided = None;
        let said = match slot {
            Ok(slot) => {
                let mut said = slot.evaluate();
                let mut of_none = Report::default();
                for it in slot.file_gaps(said.as_mut().unwrap_or(&mut of_none)) {
                    run.gap(&settings.id, it.what, it.why);
                }
                self.seconds.insert(settings.id.clone(), slot.seconds);
                if let Some(it) = label::left_out(run.pipeline.data.as_ref(), settings.kind, &slot.needs) {
                    run.gap(&settings.id, it.what, it.why);
                }
                if let Some(it) = unheeded_weight(run.pipeline.data.as_ref(), settings.kind, &slot.needs) {
                    run.gap(&settings.id, it.what, it.why);
                }
                let says_itself = |it: &Report| it.gaps.iter().any(|it| it.what == ROW_WEIGHTS);
                if let Some(it) = weightless(run.pipeline.data.as_ref(), &run.weightless, &slot.needs)
                    && !said.as_ref().is_ok_and(says_itself)
                {
                    // What it measures is of the other rows, which may be unlike these.
                    for metric in said.iter_mut().flat_map(|report| &mut report.metrics) {
                        metric.unfit.get_or_insert_with(|| it.why.clone());
                    }
                    undecided = Some(it.why.clone());
                    run.gap(&settings.id, it.what, it.why);
                }
                said
            }
            Err(e) => Err(e.clone()),
        };
        let mut coverage = ProbeCoverage {
            id: settings.id.clone(),
            kind: plan::kind_of(settings.kind).to_string(),
            uses: settings.component.uses.clone(),
            status: Status::Pass,
            severity: if counts { Severity::Error } else { Severity::Warning },
            checks: 0,
            measured: BTreeMap::new(),
            unmeasured: Vec::new(),
            message: String::new(),
        };
        match said {
            Ok(report) => {
                coverage.measured = ProbeCoverage::measured_by(&report);
                for it in &settings.requirements {
                    if it.is_relative() && run.awaits_baseline {
                        self.check(&settings.id, false, decide::not_yet(it));
                        run.gap(&settings.id, format!("`{it}`"), decide::NO_BASELINE_YET);
                        self.waiting.extend(counts.then(|| format!("`{it}`")));
                        continue;
                    }
                    self.is_asked |= counts;
                    for it in decide::requirement(it, &report) {
                        self.check(&settings.id, counts, it);
                    }
                }
                let unasked = decide::unasked(settings, &report);
                for it in decide::findings(&report, run.pipeline.fail_on).into_iter().chain(unasked) {
                    self.check(&settings.id, counts, unless_undecided(it, undecided.as_deref()));
                }
                self.is_asked |= counts && !report.checks.is_empty();
                for it in &report.checks {
                    // What could not be carried out counts at any severity, as where the whole probe could not.
                    let check = unless_undecided(it.clone(), undecided.as_deref());
                    self.check(&settings.id, counts || it.status == Status::Error, check);
                }
                for it in &report.gaps {
                    run.gap(&settings.id, it.what.clone(), it.why.clone());
                }
                self.reports.push((settings.id.clone(), report));
            }
            Err(reason) => {
                self.check(&settings.id, true, failed(&settings.component.uses, "runs to its end", &reason));
                run.gap(&settings.id, "the whole probe", reason.clone());
                let unchecked = |it| Check { message: reason.clone(), ..decide::not_yet(it) };
                let asked: Vec<Check> = settings.requirements.iter().map(unchecked).collect();
                coverage.unmeasured = ProbeCoverage::unmeasured_by(&Report::default(), asked.iter());
                coverage.status = Status::Error;
                coverage.message = reason;
            }
        }
        let checks = &self.checks[before..];
        coverage.checks = checks.len() as u64;
        if let Some((_, report)) = self.reports.last().filter(|it| it.0 == settings.id) {
            coverage.unmeasured = ProbeCoverage::unmeasured_by(report, checks.iter().map(|it| &it.it));
        }
        self.coverage.push(coverage);
    }
}

fn failed(what: &str, requirement: &str, why: &str) -> Check {
    Check {
        metric: what.to_owned(),
        labels: Labels::new(),
        requirement: requirement.to_owned(),
        observed: None,
        interval: None,
        n: 0,
        status: Status::Error,
        message: why.to_owned(),
    }
}

fn record(run: &Run<'_>, judgement: Judgement, checkpoints: &Checkpoints<'_>) -> RunRecord {
    let verdict = judgement.worst.map_or(Verdict::NotChecked, Verdict::from);
    let mut res = RunRecord {
        run_id: run.run_id.clone(),
        pipeline: PipelineRecord {
            name: run.pipeline.name.clone(),
            file: run.document.path().map(|it| it.display().to_string()),
            digest: run.document.path().map(|_| digest(run.document)),
        },
        verdict,
        exit_code: verdict.exit_code(),
        checkpoint: checkpoints.candidate.as_ref().map(|it| it.record.clone()),
        baseline: checkpoints.baseline.as_ref().map(|it| it.record.clone()),
        models: checkpoints.models.clone(),
        checks: judgement.checks,
        metrics: Vec::new(),
        findings: judgement.findings,
        figures: Vec::new(),
        actions: Vec::new(),
        coverage: run.coverage.clone(),
        timings: Timings { started: run.options.now.to_string(), probes: judgement.seconds, ..Timings::default() },
    };
    for (probe, report) in judgement.reports {
        fn of<T>(probe: &str, items: Vec<T>) -> impl Iterator<Item = Of<T>> {
            items.into_iter().map(move |it| Of { probe: probe.to_owned(), it })
        }
        // What the decision needed beyond the number has been used.
        let decided = |it: Metric| it.better(None).unfit(None).bounds(None).degrees_of_freedom(None);
        let metrics = report.metrics.into_iter().map(decided).collect();
        res.metrics.extend(of(&probe, metrics));
        res.findings.extend(of(&probe, report.findings));
        res.figures.extend(of(&probe, report.figures));
    }
    res.findings.sort_by_key(|it| std::cmp::Reverse(it.it.severity));
    res.coverage.probes = judgement.coverage;
    // Those of whole folders are failures of the run.
    let refusals = run.options.catalog.refusals().iter().filter(|it| !it.of_folder);
    res.coverage.gaps.extend(refusals.map(|it| GapRecord {
        probe: RUN.to_owned(),
        what: format!("plugin `{}`", it.path.display()),
        why: it.message.clone(),
    }));
    res
}

/// Returns the digest of a pipeline as written.
pub(super) fn digest(document: &Document) -> String {
    blake3::hash(document.text().as_bytes()).to_hex().to_string()
}

/// The time, for people, and enough of a digest that two runs of one second differ.
pub(super) fn run_id(now: Timestamp, digest: &str) -> String {
    let time = now.strftime("%Y%m%dT%H%M%SZ");
    let unique = format!("{digest} {} {}", now.as_nanosecond(), std::process::id());
    format!("{time}-{}", &blake3::hash(unique.as_bytes()).to_hex()[..8])
}

/// Returns what was measured of the candidate over all rows, by which a store can tell the best checkpoints.
/// What is not finite is no measure of anything, and a name that two probes give counts for neither.
fn overall(record: &RunRecord) -> BTreeMap<String, f64> {
    let mut res: BTreeMap<String, Option<f64>> = BTreeMap::new();
    for Of { it, .. } in &record.metrics {
        if it.labels.is_empty() && it.role == MetricRole::Candidate && it.value.is_finite() {
            res.entry(it.name.clone()).and_modify(|before| *before = None).or_insert(Some(it.value));
        }
    }
    res.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// Returns what the verdict on a checkpoint is about.
fn bless(
    run: &Run<'_>,
    record: &RunRecord,
    checkpoints: &Checkpoints<'_>,
    id: &CheckpointId,
    config: &str,
    profile: Option<&KeptProfile>,
) -> Blessing {
    let model = || {
        let name = checkpoints.running.get(ModelRole::Candidate)?.name_in_checkpoint();
        let reader = checkpoints.store.as_ref()?.open(&(), id).ok()?;
        Some(blessing::model_files(&reader.manifest().files, &name))
    };
    let baseline = checkpoints.baseline.as_ref().and_then(|it| match &it.record.id {
        Some(id) => Some(id.clone()),
        // What a verdict was held against is said also in a run that is to end.
        None => blessing::digest_of_path(it.path(), &|| false).ok(),
    });
    let probes = run.pipeline.probes.iter().map(|it| (plan::kind_of(it.kind), it.component.uses.as_str()));
    let store = run.pipeline.store.iter().map(|it| (Kind::Store, it.uses.as_str()));
    let plugin = |(kind, uses): (Kind, &str)| {
        let Lookup::Found(component) = run.options.catalog.find(kind, uses) else { return None };
        let plugin = component.plugin();
        let (name, version) = (&plugin.manifest.name, &plugin.manifest.version);
        let seal = PluginSeal { plugin: format!("{name} {version}"), digest: plugin.digest().map(str::to_owned) };
        Some((format!("{kind}/{uses}"), seal))
    };
    let plain = Blessing {
        digest: String::new(),
        program: concat!("modelwatch ", env!("CARGO_PKG_VERSION")).to_owned(),
        checkpoint: id.clone(),
        model: model().unwrap_or_default(),
        baseline,
        data: run.sealed.iter().map(|(role, it)| (role.as_str().to_owned(), it.seal.clone())).collect(),
        profile: profile.map(|it| it.id.clone()),
        plugins: probes.chain(store).filter_map(plugin).collect(),
        config: config.to_owned(),
        checks: Vec::new(),
        n_checks: 0,
    };
    blessing::sealed(plain, record)
}

/// Acts on refs and on the store, and returns the actions of which others are to be told.
fn act_on<'a>(
    run: &mut Run<'a>,
    record: &mut RunRecord,
    checkpoints: &mut Checkpoints<'_>,
    config: &str,
    profile: Option<Result<KeptProfile, String>>,
) -> &'a [Action] {
    let profile = profile.transpose();
    // A failure of the run, and none of the checkpoint: it moves no ref, neither forth nor back.
    let is_profile_lost = profile.is_err();
    let profile = profile.ok().flatten();
    let judged = || {
        let id = run.judged.as_ref()?;
        Some(Judged {
            store: checkpoints.store.as_deref()?,
            lineage: checkpoints.lineage?,
            id,
            before: checkpoints.before?,
            pipeline: run.pipeline,
            config,
            now: u64::try_from(run.options.now.as_second()).unwrap_or(0),
        })
    };
    let mut judged = judged();
    if let Some(it) = &judged {
        let blessing = bless(run, record, checkpoints, it.id, config, profile.as_ref());
        let signed_off = BlessingRecord::of(&blessing);
        let verdict = VerdictRecord {
            verdict: record.verdict.as_str().to_owned(),
            pipeline: run.pipeline.name.clone(),
            run_id: record.run_id.clone(),
            metrics: overall(record),
            blessing: Some(Box::new(blessing)),
        };
        let kept = it.store.record_verdict(it.lineage, it.id, &verdict);
        if let (Ok(()), Some(checkpoint)) = (&kept, &mut record.checkpoint) {
            checkpoint.blessing = Some(signed_off);
            record.actions.extend(profile.map(|kept| kept.record(it.lineage)));
        }
        if let Err(e) = kept {
            // A verdict that the store does not know must not move a ref.
            let check = failed("store", "takes the verdict", &e.message);
            record.checks.push(Of { probe: RUN.to_owned(), it: check });
            record.verdict = Verdict::Error;
            record.exit_code = Verdict::Error.exit_code();
            judged = None;
        }
    }
    let on = &run.pipeline.on;
    let actions: &'a [Action] = match record.verdict {
        Verdict::Pass => &on.pass,
        Verdict::Fail => &on.fail,
        Verdict::Inconclusive => &on.inconclusive,
        Verdict::NotChecked => &on.not_checked,
        Verdict::Error => &on.error,
    };
    let reason = format!("{} by run {} of {}", record.verdict.as_str(), record.run_id, run.pipeline.name);
    // Where nothing was stored there is nothing to move a ref to or away from.
    let on_refs = if run.not_saved.is_some() || is_profile_lost { &[][..] } else { actions };
    for action in on_refs {
        // Not the run's host: what has begun is not interrupted.
        record.actions.extend(act::on_refs(action, judged.as_ref(), &(), &reason));
    }
    // Nothing is removed on the strength of a run that could not be carried out.
    if let (Some(policy), Some(judged)) = (&run.pipeline.keep, &judged)
        && policy.prune
        && record.verdict != Verdict::Error
    {
        record.actions.push(act::prune(judged, policy, &reason));
    }
    if let (Some(store), Some(component)) = (&mut checkpoints.store, &run.pipeline.store) {
        record.actions.extend(act::close(store.as_mut(), &component.uses));
    }
    exit_code(record, run.options.allow_empty);
    actions
}

/// Tells others. What is told later says what became of what was told before.
fn tell(run: &Run<'_>, record: &mut RunRecord, actions: &[Action]) {
    for action in actions {
        if let Some(it) = act::tell(action, record, &run.pipeline.root) {
            record.actions.push(it);
            exit_code(record, run.options.allow_empty);
        }
    }
}

/// A pass whose actions failed is not done; nothing to look at is well where it is allowed.
fn exit_code(record: &mut RunRecord, allow_empty: bool) {
    let is_done = !record.actions.iter().any(ActionRecord::is_undone);
    record.exit_code = match record.verdict {
        Verdict::Pass if !is_done => Verdict::Error.exit_code(),
        Verdict::NotChecked if is_done && allow_empty && is_empty(record) => Verdict::Pass.exit_code(),
        it => it.exit_code(),
    };
}

/// Returns whether there was nothing to look at, which is another thing than one of several conditions of which nobody knows.
fn is_empty(record: &RunRecord) -> bool {
    let coverage = &record.coverage;
    coverage.rows.get(Role::Current.as_str()).is_none_or(|it| *it == 0) && coverage.tensors.is_empty()
}
