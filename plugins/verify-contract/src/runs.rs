//! Runs the model on the same rows again and again: repeated, on threads, in other batches, in another order.

use std::num::NonZeroUsize;

use modelwatch_sdk::{
    Error, ErrorKind, Host, ModelRole, RecordBatch, Result,
    about::ModelDescription,
    report::{Gap, Metric, float},
    sample::take,
};

use crate::{
    config::Config,
    outputs::{Difference, Outputs, Tolerance, contradicted},
    sheet::{Clause, Sheet, error},
};

/// Repetitions, and what threads give, are equal to the bit.
const EXACT: Tolerance = Tolerance { rtol: 0.0, atol: 0.0 };

/// The orders in which rows are run once more.
pub(crate) const ORDERS: [&str; 2] = ["reversed", "shuffled"];

/// What to do about rows that influence each other.
const MIXED: &str =
    "look for operators that mix rows: normalization in training mode, reductions or reshapes over the batch";

/// Judges the candidate on rows and returns its outputs for them; none where it does not run.
pub(crate) fn judge(
    sheet: &mut Sheet,
    config: &Config,
    host: &dyn Host,
    model: &ModelDescription,
    rows: &RecordBatch,
) -> Result<Option<Outputs>> {
    let n = rows.num_rows();
    let clause = || Clause::new("produced_outputs", "are as the model declares them", n);
    let first = match infer(host, rows) {
        Ok(it) => it,
        Err(e) => {
            sheet.failed(clause(), format!("the model does not run on rows of the data: {}", e.message));
            return Ok(None);
        }
    };
    sheet.judge(
        clause(),
        [first.breaks(&model.outputs), contradicted(&model.declared_outputs, &model.outputs)].concat(),
    );
    let mut subject = Subject { sheet, host, rows, first: &first };
    subject.repeats(config.repeats)?;
    if let Some(threads) = NonZeroUsize::new(config.threads) {
        subject.threads(threads)?;
    }
    let allowed = Tolerance { rtol: config.rtol, atol: config.atol };
    let fixed = model.fixed_batch().map(|it| it as usize);
    for &size in &config.batch_sizes {
        match fixed.filter(|&it| it != size) {
            Some(rows) => subject.cannot_vary(size, rows, config.has_own_sizes()),
            None => subject.batches(size, allowed)?,
        }
    }
    if fixed == Some(1) {
        let why = "the model takes 1 row a call, so that none is beside another";
        subject.sheet.report.gaps.push(Gap::new("the order of rows", why));
        return Ok(Some(first));
    }
    for (word, order) in ORDERS.into_iter().zip([(0..n).rev().collect(), shuffled(n, config.seed)]) {
        subject.order(word, order, allowed)?;
    }
    Ok(Some(first))
}

struct Subject<'a> {
    sheet: &'a mut Sheet,
    host: &'a dyn Host,
    rows: &'a RecordBatch,
    first: &'a Outputs,
}

impl Subject<'_> {
    fn repeats(&mut self, repeats: usize) -> Result<()> {
        let clause = Clause::new("repeats", format!("{repeats} runs give the same"), self.rows.num_rows());
        let order: Vec<_> = (0..self.rows.num_rows()).collect();
        let mut worst = Difference::default();
        for _ in 1..repeats {
            self.check_cancelled()?;
            match infer(self.host, self.rows).and_then(|it| it.compare(self.first, &order, EXACT)) {
                Ok(it) if it.off > worst.off || worst.rows == 0 => worst = it,
                Ok(_) => {}
                Err(e) => {
                    self.sheet.failed(clause, e.message);
                    return Ok(());
                }
            }
        }
        let metric = Metric::new("repeat_difference", worst.greatest);
        self.conclude(
            clause,
            metric,
            &worst,
            "MW-C010",
            "in another run of the same rows",
            "remove dropout, random operators and unordered sums from the export",
        );
        Ok(())
    }

    /// Runs the model on all rows on every one of some threads at the same time.
    fn threads(&mut self, threads: NonZeroUsize) -> Result<()> {
        let n = self.rows.num_rows();
        let text = threads.to_string();
        let clause = Clause::new("threads", "make no difference", n).label("threads", text.clone());
        self.check_cancelled()?;
        let order: Vec<usize> = (0..threads.get()).flat_map(|_| 0..n).collect();
        let answers = self.host.infer_on_threads(ModelRole::Candidate, self.rows, threads);
        match answers.and_then(|it| Outputs::of(&it)?.compare(self.first, &order, EXACT)) {
            Ok(it) => {
                let metric = Metric::new("thread_difference", it.greatest).label("threads", text);
                let what = format!("on {threads} threads at once");
                let advice = "look for state that runs of the model share, and for sums whose order depends on threads";
                self.conclude(clause, metric, &it, "MW-C011", &what, advice);
            }
            // A host of before does not offer it.
            Err(e) if e.kind == ErrorKind::NotFound => self.sheet.not_checked(clause, &e.message),
            Err(e) => self.sheet.failed(clause, e.message),
        }
        Ok(())
    }

    fn batches(&mut self, size: usize, allowed: Tolerance) -> Result<()> {
        let n = self.rows.num_rows();
        let size_text = size.to_string();
        let clause = Clause::new("batch_size", "makes no difference", n).label("batch_size", size_text.clone());
        // A batch that is larger than the sample has its rows several times.
        let order: Vec<usize> = if size <= n { (0..n).collect() } else { (0..size).map(|it| (it + 1) % n).collect() };
        let compared = if size <= n { self.in_pieces(size) } else { self.in_order(&order) };
        self.check_cancelled()?;
        match compared.and_then(|it| it.compare(self.first, &order, allowed)) {
            Ok(it) => {
                let metric = Metric::new("batch_difference", it.greatest).label("batch_size", size_text);
                let what = format!("in batches of {size}");
                self.conclude(clause, metric, &it, "MW-C009", &what, MIXED);
            }
            Err(e) => self.unanswered(clause, e),
        }
        Ok(())
    }

    /// Says that batches of that size are several calls of a model whose batch is part of it. That is the model's nature: only where the
    /// size was asked for is it left unchecked.
    fn cannot_vary(&mut self, size: usize, rows: usize, is_asked: bool) {
        let text = size.to_string();
        let why = format!("the model takes {rows} rows a call, so that none runs on {size}");
        if is_asked {
            let clause = Clause::new("batch_size", "makes no difference", 0).label("batch_size", text);
            self.sheet.not_checked(clause, &format!("{why}; leave it out of `batch_sizes`"));
        } else {
            self.sheet.report.gaps.push(Gap::new(format!("batches of {size}"), why));
        }
    }

    fn order(&mut self, word: &str, order: Vec<usize>, allowed: Tolerance) -> Result<()> {
        let clause = Clause::new("row_order", "makes no difference", order.len()).label("order", word);
        if order.len() < 2 {
            self.sheet.not_checked(clause, "one row has only one order");
            return Ok(());
        }
        self.check_cancelled()?;
        match self.in_order(&order).and_then(|it| it.compare(self.first, &order, allowed)) {
            Ok(it) => {
                let metric = Metric::new("order_difference", it.greatest).label("order", word);
                let what = format!("when they are {word}");
                self.conclude(
                    clause,
                    metric,
                    &it,
                    "MW-C009",
                    &what,
                    "look for state that is carried from row to row, and for operators that mix rows",
                );
            }
            Err(e) => self.unanswered(clause, e),
        }
        Ok(())
    }

    /// Says why there are no answers to rows that were run in one call, which one by one had some.
    fn unanswered(&mut self, clause: Clause<'_>, e: Error) {
        if e.kind != ErrorKind::MixedRows {
            return self.sheet.failed(clause, e.message);
        }
        let message = "rows that are run in one call influence each other".to_owned();
        self.sheet.judge(clause, vec![error("MW-C009", "", message, MIXED)]);
    }

    /// The answers in batches of a size, each in one call of the model: what the host cuts for itself has one size always.
    fn in_pieces(&self, size: usize) -> Result<Outputs> {
        let n = self.rows.num_rows();
        let piece = |start: usize| at_once(self.host, &self.rows.slice(start, size.min(n - start)));
        let mut res = piece(0)?;
        for start in (size..n).step_by(size) {
            res.append(piece(start)?)?;
        }
        Ok(res)
    }

    fn in_order(&self, order: &[usize]) -> Result<Outputs> {
        at_once(self.host, &take(self.rows, order)?)
    }

    fn conclude(&mut self, clause: Clause<'_>, metric: Metric, it: &Difference, code: &str, what: &str, advice: &str) {
        self.sheet.report.metrics.push(metric.n(it.rows));
        let findings = (it.off > 0).then(|| {
            let message = format!("{} of {} rows have other answers {what}, by up to {}", it.off, it.rows, it.greatest);
            error(code, &it.place, message, advice)
                .evidence("rows", it.off)
                .evidence("greatest_difference", float::to_value(it.greatest))
        });
        self.sheet.judge(Clause { n: it.rows, ..clause }.observed(it.off as f64), findings.into_iter().collect());
    }

    fn check_cancelled(&self) -> Result<()> {
        if self.host.is_cancelled() { Err(self.host.cancelled()) } else { Ok(()) }
    }
}

fn infer(host: &dyn Host, rows: &RecordBatch) -> Result<Outputs> {
    Outputs::of(&host.infer(ModelRole::Candidate, rows)?)
}

fn at_once(host: &dyn Host, rows: &RecordBatch) -> Result<Outputs> {
    Outputs::of(&host.infer_at_once(ModelRole::Candidate, rows)?)
}

/// Returns the rows in an order that depends on the seed alone (Fisher & Yates).
fn shuffled(n: usize, seed: u64) -> Vec<usize> {
    let mut res: Vec<_> = (0..n).collect();
    let mut random = seed ^ 0x9e37_79b9_7f4a_7c15;
    for last in (1..n).rev() {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        res.swap(last, (random % (last as u64 + 1)) as usize);
    }
    res
}
