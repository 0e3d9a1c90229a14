//! The suite for verifiers and analyzers.

use arrow_array::RecordBatch;
use serde_json::Value;

use super::{calm, good, hygiene, rows};
use crate::{
    codes::CodeInfo,
    error::{ErrorKind, Result},
    host::{Host, ModelRole},
    probe::{KnownMetric, Need, Probe, Role, RowNeeds},
    report::{Report, Status},
    rows::{Use, columns, layers, outputs},
    tensor::{DType, TensorView},
};

/// A tensor that owns its bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnedTensor {
    /// The name in the checkpoint.
    pub name: String,
    /// The element type.
    pub dtype: DType,
    /// The extent of each axis; empty for a scalar.
    pub shape: Vec<u64>,
    /// The elements, row-major and little-endian.
    pub bytes: Vec<u8>,
}

impl OwnedTensor {
    /// Returns a tensor of `f32`.
    pub fn f32(name: &str, shape: &[u64], values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|it| it.to_le_bytes()).collect();
        Self { name: name.to_owned(), dtype: DType::F32, shape: shape.to_vec(), bytes }
    }

    /// Returns the tensor as a component sees it.
    pub fn view(&self) -> TensorView<'_> {
        TensorView { name: &self.name, dtype: self.dtype, shape: &self.shape, bytes: &self.bytes }
    }
}

/// A probe and something for it to look at.
pub struct ProbeCase<'a> {
    /// Opens an instance; always with the same configuration.
    pub open: &'a dyn Fn() -> Result<Box<dyn Probe>>,
    /// Rows as the host would hand them over, a few dozen at least; see [`crate::rows`].
    pub rows: Vec<(Role, RecordBatch)>,
    /// Tensors, sorted by name, a baseline's before the candidate's of the same name.
    pub tensors: Vec<(ModelRole, OwnedTensor)>,
    /// The codes that the component declares; see [`Manifest::codes`](crate::Manifest::codes).
    pub codes: &'a [CodeInfo],
}

/// Checks that a probe keeps its promises.
///
/// That its needs are stable; that an instance that saw nothing reports nothing as measured or passed; that
/// its state is a function of the rows, not of how they were cut into batches; that states restore,
/// merge associatively and add up to what one instance sees; that damaged states, missing values,
/// empty batches and cancellation are survived; that its report is well-formed, and
/// its findings have codes that it declares.
///
/// Between one instance and several that were merged, numbers may differ by rounding (1e-9, relative);
/// everything else is compared exactly.
///
/// # Panics
/// When a promise is broken; that is how a test fails.
pub fn probe(case: &ProbeCase<'_>) {
    probe_on(&(), case);
}

/// Checks the same of a probe that runs models or calls services: `host` offers them, and gives equal answers to
/// equal questions.
///
/// # Panics
/// When a promise is broken; that is how a test fails.
pub fn probe_on(host: &dyn Host, case: &ProbeCase<'_>) {
    let case = &Suite { host, case };
    hygiene::check_codes(case.codes);
    needs(case);
    untouched(case);
    batches(case);
    if open(case).needs().in_order {
        going_on(case);
    } else {
        merging(case);
    }
    damaged_states(case);
    nasty_rows(case);
    cancellation(case);
}

/// A case and what is lent to each call.
struct Suite<'a> {
    host: &'a dyn Host,
    case: &'a ProbeCase<'a>,
}

impl<'a> std::ops::Deref for Suite<'a> {
    type Target = ProbeCase<'a>;
    fn deref(&self) -> &Self::Target {
        self.case
    }
}

struct Cancelled;

impl Host for Cancelled {
    fn is_cancelled(&self) -> bool {
        true
    }
}

fn open(case: &Suite<'_>) -> Box<dyn Probe> {
    good("opening the probe", case.open)
}

/// Returns an instance that has seen the case's rows, edited, and tensors.
fn fed(case: &Suite<'_>, what: &str, edit: impl Fn(&RecordBatch) -> Vec<RecordBatch>) -> Box<dyn Probe> {
    let mut res = open(case);
    for (role, batch) in &case.rows {
        for it in edit(batch) {
            good(what, || res.update(case.host, *role, &it));
        }
    }
    tensors(case, what, res.as_mut());
    res
}

fn tensors(case: &Suite<'_>, what: &str, to: &mut dyn Probe) {
    for (role, tensor) in &case.tensors {
        good(what, || to.update_tensor(case.host, *role, &tensor.view()));
    }
}

fn whole(batch: &RecordBatch) -> Vec<RecordBatch> {
    vec![batch.clone()]
}

fn state(what: &str, of: &mut dyn Probe) -> Vec<u8> {
    good(&format!("{what}: taking its state"), || of.state())
}

fn report(case: &Suite<'_>, what: &str, of: &mut dyn Probe) -> Report {
    let res = good(&format!("{what}: evaluating"), || of.evaluate(case.host));
    let listed = of.needs().metrics;
    for it in res.metrics.iter().filter(|_| !listed.is_empty()) {
        let known: Vec<_> = listed.iter().filter(|known| known.name == it.name).collect();
        assert!(!known.is_empty(), "{what}: the metric `{}` is not among those that `needs` lists", it.name);
        let alike: Vec<_> = known.iter().filter(|known| known.labels.iter().eq(it.labels.keys())).collect();
        let keys: Vec<_> = it.labels.keys().collect();
        assert!(
            !alike.is_empty(),
            "{what}: the labels {keys:?} of the metric `{}` are not among those that `needs` lists",
            it.name
        );
        let can_have = |known: &KnownMetric| it.labels.iter().all(|(label, value)| known.can_have(label, value));
        assert!(
            alike.iter().any(|known| can_have(known)),
            "{what}: `needs` rules out a value in the labels {:?} of the metric `{}`",
            it.labels,
            it.name
        );
    }
    res
}

/// Returns an instance into which the states were merged in order.
fn merged(case: &Suite<'_>, what: &str, states: &[&[u8]]) -> Box<dyn Probe> {
    let mut res = open(case);
    for it in states {
        good(&format!("{what}: merging a state"), || res.merge(it));
    }
    res
}

fn needs(case: &Suite<'_>) {
    let first = open(case);
    let needs = first.needs();
    assert_eq!(first.needs(), needs, "needs: they change from one question to the next");
    assert_eq!(open(case).needs(), needs, "needs: two instances of one configuration need different things");
    assert_eq!(fed(case, "needs", whole).needs(), needs, "needs: they change with what the probe has seen");
    for (role, wanted) in [(Role::Current, &needs.current), (Role::Reference, &needs.reference)] {
        let mut batches = case.rows.iter().filter(|it| it.0 == role).map(|it| &it.1).peekable();
        let word = role.as_str();
        let Some(wanted) = wanted else {
            assert!(batches.peek().is_none(), "the case has {word} rows, which the probe does not need");
            continue;
        };
        assert!(wanted.optional || batches.peek().is_some(), "the case has no {word} rows, which the probe needs");
        batches.for_each(|it| row_needs(word, wanted, it));
    }
    for (role, wanted) in
        [(ModelRole::Candidate, needs.tensors.candidate), (ModelRole::Baseline, needs.tensors.baseline)]
    {
        let has = case.tensors.iter().any(|it| it.0 == role);
        let word = role.as_str();
        assert!(!has || wanted != Need::No, "the case has tensors of the {word}, which the probe does not need");
        assert!(has || wanted != Need::Required, "the case has no tensors of the {word}, which the probe needs");
    }
}

fn row_needs(role: &str, wanted: &RowNeeds, batch: &RecordBatch) {
    let uses = [
        (wanted.label, Use::Label),
        (wanted.id, Use::Id),
        (wanted.timestamp, Use::Timestamp),
        (wanted.weight, Use::Weight),
    ];
    for (need, what) in uses {
        let has = columns(batch, what).next().is_some();
        assert!(has || need != Need::Required, "the case's {role} rows have no {}, which is needed", what.as_str());
    }
    for (need, model) in
        [(wanted.predictions, ModelRole::Candidate), (wanted.baseline_predictions, ModelRole::Baseline)]
    {
        let has = outputs(batch, model).next().is_some();
        assert!(has || need != Need::Required, "the case's {role} rows have no outputs of the {}", model.as_str());
    }
    for model in [ModelRole::Candidate, ModelRole::Baseline] {
        // Two names may be those of one tensor, so that their number is not asked for.
        let has = layers(batch, model).next().is_some();
        let is_wanted = !wanted.layers_of(model).is_empty();
        assert!(has || !is_wanted, "the case's {role} rows have no layers of the {}", model.as_str());
    }
    for name in &wanted.columns {
        assert!(batch.column_by_name(name).is_some(), "the case's {role} rows have no column `{name}`");
    }
}

/// An instance that saw nothing, on a host that offers nothing, knows nothing.
fn untouched(case: &Suite<'_>) {
    let mut probe = open(case);
    let Ok(report) = calm("an untouched instance", || probe.evaluate(&())) else {
        // Without rows there is a report; without the models that were asked for there need not be.
        report(case, "an untouched instance", open(case).as_mut());
        return;
    };
    for it in &report.metrics {
        assert_eq!(it.n, 0, "an untouched instance reports `{}` over {} rows", it.name, it.n);
    }
    for it in &report.checks {
        assert_ne!(it.status, Status::Pass, "an untouched instance passes the check of `{}`", it.metric);
    }
    hygiene::check(&report, case.codes);
}

type Cut<'a> = &'a dyn Fn(&RecordBatch) -> Vec<RecordBatch>;

fn batches(case: &Suite<'_>) {
    let mut once = fed(case, "all rows at once", whole);
    let expected = state("all rows at once", once.as_mut());
    assert!(!expected.is_empty(), "the state is empty; its first byte is to be its version");
    let report_once = report(case, "all rows at once", once.as_mut());
    hygiene::check(&report_once, case.codes);
    let with_empty = |it: &RecordBatch| vec![it.slice(0, 0), it.clone(), it.slice(it.num_rows(), 0)];
    let cuts: [(&str, Cut<'_>); 4] = [
        ("the same rows again", &whole),
        ("batches of one row", &|it| rows::cut(it, 1)),
        ("batches of seven rows", &|it| rows::cut(it, 7)),
        ("batches without rows in between", &with_empty),
    ];
    for (what, edit) in cuts {
        let mut other = fed(case, what, edit);
        let same = state(what, other.as_mut()) == expected;
        assert!(same, "{what}: the state differs from that of all rows at once");
        let json = hygiene::to_json(&report(case, what, other.as_mut()));
        assert_eq!(json, hygiene::to_json(&report_once), "{what}: the report differs from that of all rows at once");
    }
}

fn merging(case: &Suite<'_>) {
    let mut once = fed(case, "all rows at once", whole);
    let bytes = state("all rows at once", once.as_mut());
    let expected = hygiene::to_json(&report(case, "all rows at once", once.as_mut()));
    let what = "a state in a new instance";
    same(what, &hygiene::to_json(&report(case, what, merged(case, what, &[&bytes]).as_mut())), &expected);

    let parts: Vec<Vec<u8>> = (0..3)
        .map(|idx| {
            let mut part = open(case);
            for (role, batch) in &case.rows {
                good("a third of the rows", || part.update(case.host, *role, &rows::third(batch, idx)));
            }
            // The host hands all tensors to one instance.
            if idx == 0 {
                tensors(case, "tensors", part.as_mut());
            }
            state("a third of the rows", part.as_mut())
        })
        .collect();
    let [a, b, c] = [&parts[0], &parts[1], &parts[2]];
    let ab = state("a·b", merged(case, "a·b", &[a, b]).as_mut());
    let bc = state("b·c", merged(case, "b·c", &[b, c]).as_mut());
    let left = hygiene::to_json(&report(case, "(a·b)·c", merged(case, "(a·b)·c", &[&ab, c]).as_mut()));
    let right = hygiene::to_json(&report(case, "a·(b·c)", merged(case, "a·(b·c)", &[a, &bc]).as_mut()));
    same("merge is not associative: (a·b)·c and a·(b·c)", &left, &right);
    same("three merged thirds and all rows at once", &metrics(&left), &metrics(&expected));
}

/// An instance that sees its rows in order goes on from a state as if it had seen the rows itself.
fn going_on(case: &Suite<'_>) {
    let mut once = fed(case, "all rows at once", whole);
    let expected = (state("all rows at once", once.as_mut()), report(case, "all rows at once", once.as_mut()));
    let mut bytes = state("an instance that saw nothing", open(case).as_mut());
    let what = "a third of the rows after a state of those before";
    for idx in 0..3 {
        let mut part = merged(case, what, &[&bytes]);
        for (role, batch) in &case.rows {
            good(what, || part.update(case.host, *role, &rows::third(batch, idx)));
        }
        if idx == 2 {
            tensors(case, "tensors", part.as_mut());
            let found = hygiene::to_json(&report(case, what, part.as_mut()));
            assert_eq!(
                found,
                hygiene::to_json(&expected.1),
                "{what}: the report differs from that of all rows at once"
            );
        }
        bytes = state(what, part.as_mut());
    }
    assert!(bytes == expected.0, "{what}: the state differs from that of all rows at once");
    let twice = calm("a state after rows", || once.merge(&bytes));
    assert!(twice.is_err(), "an instance that saw rows takes in the state of others, although it needs them in order");
}

/// Returns what does not depend on where the partitions were cut: names, labels, counts and values.
fn metrics(report: &Value) -> Value {
    let mut res = report["metrics"].clone();
    for it in res.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        it.remove("interval");
    }
    res
}

/// Compares two reports, numbers up to rounding.
#[track_caller]
fn same(what: &str, left: &Value, right: &Value) {
    if let Some(place) = difference("", left, right) {
        panic!("{what}: the reports differ at `{place}`");
    }
}

fn difference(at: &str, left: &Value, right: &Value) -> Option<String> {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() || b.is_f64() => {
            let (a, b) = (a.as_f64()?, b.as_f64()?);
            ((a - b).abs() > 1e-9 * a.abs().max(b.abs()).max(1.0)).then(|| format!("{at}: {a} and {b}"))
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(idx, (a, b))| difference(&format!("{at}/{idx}"), a, b))
        }
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            a.iter().find_map(|(key, a)| difference(&format!("{at}/{key}"), a, &b[key]))
        }
        (a, b) => (a != b).then(|| format!("{at}: {a} and {b}")),
    }
}

fn damaged_states(case: &Suite<'_>) {
    let bytes = state("all rows at once", fed(case, "all rows at once", whole).as_mut());
    let try_merge = |what: &str, bytes: &[u8]| {
        let mut probe = open(case);
        let res = calm(what, || probe.merge(bytes));
        // Damage that still reads as a state may lead to nonsense, but not to a panic.
        if res.is_ok() {
            drop(calm(what, || probe.evaluate(case.host)));
        }
        res
    };
    assert!(try_merge("an empty state", &[]).is_err(), "an empty state is accepted");
    let mut other = bytes.clone();
    other[0] ^= 0x80;
    assert!(try_merge("a state of another version", &other).is_err(), "a state of another version is accepted");
    if bytes.len() > 1 {
        assert!(
            try_merge("a state cut after its version", &bytes[..1]).is_err(),
            "a state without content is accepted"
        );
    }
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..100 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let at = (random >> 8) as usize % bytes.len();
        // A prefix or a flipped bit can be a state by chance (`12` is the start of `123`).
        drop(try_merge(&format!("a state cut to {at} bytes"), &bytes[..at]));
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (random & 7);
        drop(try_merge(&format!("a state with bit {} of byte {at} flipped", random & 7), &flipped));
    }
}

fn nasty_rows(case: &Suite<'_>) {
    for idx in 0..4 {
        let what = ["every other number NaN", "every other value null", "every number NaN", "every value null"][idx];
        let mut probe = open(case);
        let mut fine = true;
        for (role, batch) in &case.rows {
            if let Some(it) = rows::nasty(batch).get(idx) {
                fine &= calm(what, || probe.update(case.host, *role, it)).is_ok();
            }
        }
        if fine {
            let bytes = calm(what, || probe.state());
            if let Ok(bytes) = bytes {
                good(&format!("{what}: merging its own state"), || open(case).merge(&bytes));
            }
            if let Ok(it) = calm(what, || probe.evaluate(case.host)) {
                hygiene::check(&it, case.codes);
            }
        }
    }
}

fn cancellation(case: &Suite<'_>) {
    let mut probe = open(case);
    let check = |res: Result<()>| {
        if let Err(e) = res {
            assert_eq!(e.kind, ErrorKind::Cancelled, "a cancelled call ends with another error: {e}");
        }
    };
    for (role, batch) in &case.rows {
        check(calm("a cancelled update", || probe.update(&Cancelled, *role, batch)));
    }
    for (role, tensor) in &case.tensors {
        check(calm("a cancelled update_tensor", || probe.update_tensor(&Cancelled, *role, &tensor.view())));
    }
    check(calm("a cancelled evaluate", || probe.evaluate(&Cancelled).map(drop)));
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::Arc,
    };

    use arrow_array::{ArrayRef, Float64Array};

    use super::*;
    use crate::{
        codes::FindingCode,
        probe::Needs,
        report::{Finding, Metric, Severity},
    };

    #[test]
    fn a_case_has_the_layers_that_are_needed() {
        let column: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
        let batch = RecordBatch::try_from_iter([("x", column)]).unwrap();
        let wanted = RowNeeds { layers: ["penultimate".to_owned()].into_iter().collect(), ..RowNeeds::default() };
        let panic = catch_unwind(AssertUnwindSafe(|| row_needs("current", &wanted, &batch))).unwrap_err();
        let said = panic.downcast_ref::<String>().unwrap();
        assert!(said.contains("the case's current rows have no layers of the candidate"), "{said}");
    }

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Fault {
        None,
        MergeKeepsTheLast,
        MergeIsNotAssociative,
        CountsBatches,
        PanicsOnAnyState,
        TakesAnyVersion,
        PassesUntouched,
        PanicsOnNull,
        ErrsWhenCancelled,
        NamesBadly,
        KeepsACodeToItself,
        KeepsAMetricToItself,
        KeepsALabelToItself,
        HasWhatItNeverHas,
        HasWhatItDoesNotList,
    }

    struct Sum {
        fault: Fault,
        sum: f64,
        n: u64,
    }

    impl Probe for Sum {
        fn needs(&self) -> Needs {
            let listed = if self.fault == Fault::KeepsAMetricToItself { "mean" } else { "total" };
            let listed = Some(listed).filter(|_| self.fault != Fault::NamesBadly);
            let labels: &[&str] = match self.fault {
                Fault::HasWhatItNeverHas | Fault::HasWhatItDoesNotList => &["column"],
                _ => &[],
            };
            let limited = |it: KnownMetric| match self.fault {
                Fault::HasWhatItDoesNotList => it.only("column", ["y"]),
                _ => it.never("column", "x", "name another one"),
            };
            let metrics = KnownMetric::all(listed, labels).map(limited).collect();
            Needs { current: Some(RowNeeds::default()), metrics, ..Needs::default() }
        }
        fn update(&mut self, host: &dyn Host, _: Role, batch: &RecordBatch) -> Result<()> {
            if self.fault == Fault::ErrsWhenCancelled && host.is_cancelled() {
                return Err(crate::Error::input("no"));
            }
            let numbers = crate::rows::numbers(batch.column(0).as_ref())?;
            assert!(self.fault != Fault::PanicsOnNull || numbers.nulls == 0);
            self.sum += numbers.values.iter().sum::<f64>();
            self.n += if self.fault == Fault::CountsBatches { 1 } else { batch.num_rows() as u64 };
            Ok(())
        }
        fn state(&mut self) -> Result<Vec<u8>> {
            let mut bytes = vec![1];
            bytes.extend(self.sum.to_le_bytes());
            bytes.extend(self.n.to_le_bytes());
            Ok(bytes)
        }
        fn merge(&mut self, state: &[u8]) -> Result<()> {
            let fits = state.len() == 17 && (state[0] == 1 || self.fault == Fault::TakesAnyVersion);
            assert!(fits || self.fault != Fault::PanicsOnAnyState);
            if !fits {
                return Err(crate::Error::input("not a state"));
            }
            let sum = f64::from_le_bytes(state[1..9].try_into().unwrap());
            let n = u64::from_le_bytes(state[9..].try_into().unwrap());
            match self.fault {
                Fault::MergeKeepsTheLast => (self.sum, self.n) = (sum, n),
                Fault::MergeIsNotAssociative if self.n > 0 => {
                    (self.sum, self.n) = ((self.sum + sum) / 2.0, self.n.wrapping_add(n));
                }
                _ => (self.sum, self.n) = (self.sum + sum, self.n.wrapping_add(n)),
            }
            Ok(())
        }
        fn evaluate(&mut self, _: &dyn Host) -> Result<Report> {
            let n = self.n + u64::from(self.fault == Fault::PassesUntouched);
            let name = if self.fault == Fault::NamesBadly { "The Sum" } else { "total" };
            let code = if self.fault == Fault::KeepsACodeToItself { "XX-A002" } else { "XX-A001" };
            let finding = Finding::new(code, Severity::Info, "total", "there is a sum").advice("none");
            let findings = if n > 0 { vec![finding] } else { Vec::new() };
            let mut metric = Metric::new(name, self.sum).n(n);
            if matches!(self.fault, Fault::KeepsALabelToItself | Fault::HasWhatItNeverHas | Fault::HasWhatItDoesNotList)
            {
                metric = metric.label("column", "x");
            }
            Ok(Report { metrics: vec![metric], findings, ..Report::default() })
        }
    }

    fn run(fault: Fault) {
        let column: ArrayRef = Arc::new(Float64Array::from_iter_values((0..20).map(f64::from)));
        let batch = RecordBatch::try_from_iter_with_nullable([("x", column, true)]).unwrap();
        let open = || Ok(Box::new(Sum { fault, sum: 0.0, n: 0 }) as Box<dyn Probe>);
        let declared = FindingCode {
            code: "XX-A001",
            severity: Severity::Info,
            title: "there is a sum",
            meaning: "Rows were added up.",
            advice: "Nothing.",
        };
        let codes = &[declared.into()];
        probe(&ProbeCase { open: &open, rows: vec![(Role::Current, batch)], tensors: Vec::new(), codes });
    }

    #[test]
    fn a_correct_probe_passes() {
        run(Fault::None);
    }

    #[test]
    fn each_broken_promise_is_caught() {
        for (fault, words) in [
            (Fault::MergeKeepsTheLast, "three merged thirds"),
            (Fault::MergeIsNotAssociative, "not associative"),
            (Fault::CountsBatches, "the state differs"),
            (Fault::PanicsOnAnyState, "an empty state: it panicked"),
            (Fault::TakesAnyVersion, "another version is accepted"),
            (Fault::PassesUntouched, "an untouched instance reports"),
            (Fault::PanicsOnNull, "value null: it panicked"),
            (Fault::ErrsWhenCancelled, "a cancelled call ends with another error"),
            (Fault::NamesBadly, "not snake_case"),
            (Fault::KeepsACodeToItself, "not among the component's `CODES`"),
            (Fault::KeepsAMetricToItself, "the metric `total` is not among those that `needs` lists"),
            (
                Fault::KeepsALabelToItself,
                "the labels [\"column\"] of the metric `total` are not among those that `needs` lists",
            ),
            (
                Fault::HasWhatItNeverHas,
                "`needs` rules out a value in the labels {\"column\": \"x\"} of the metric `total`",
            ),
            (
                Fault::HasWhatItDoesNotList,
                "`needs` rules out a value in the labels {\"column\": \"x\"} of the metric `total`",
            ),
        ] {
            let payload = catch_unwind(AssertUnwindSafe(|| run(fault))).expect_err("the suite notices");
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let message = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or_default();
            assert!(message.contains(words), "{fault:?}: {message}");
        }
    }
}
