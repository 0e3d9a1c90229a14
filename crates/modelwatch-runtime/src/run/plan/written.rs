//! What a run writes, held against what it reads and keeps.

use std::path::{Path, PathBuf};

use modelwatch_config::{self as config, Action, Diagnostic, Document, Pipeline, code};
use modelwatch_sdk::ModelRole;

use super::{Plan, models::imported};
use crate::{
    history,
    plugin::LISTING_FILE,
    profile::Source,
    whole_file::{self, replaceable},
};

/// Returns what a run could not write, as far as that can be told without making anything.
pub(super) fn unwritable(document: &Document, pipeline: &Pipeline) -> Vec<Diagnostic> {
    let reports = pipeline.report.files().map(|(key, it)| (config::pointer("/report", key), it));
    let history = pipeline.run.history.iter().map(|it| ("/run/history".to_owned(), it.as_path()));
    let problem = |(pointer, file): (String, &Path)| {
        let above = file.ancestors().skip(1).find(|it| it.exists());
        let message = match above {
            _ if file.is_dir() => format!("`{}` is a folder", file.display()),
            Some(it) if !it.is_dir() => {
                format!("`{}` cannot be in `{}`, which is no folder", file.display(), it.display())
            }
            _ => return None,
        };
        let help = "name a file in a folder that is there or can be made";
        Some(document.at(&pointer, code::MISSING_FILE, message, Some(help)))
    };
    reports.chain(history).filter_map(problem).collect()
}

/// Something that the run reads or keeps, which no report may replace.
struct Kept {
    what: &'static str,
    path: PathBuf,
    /// Whether all below it is a part of it.
    is_folder: bool,
}

impl Kept {
    fn new(what: &'static str, path: &Path, is_folder: bool) -> Self {
        Self { what, path: whole_file::canonical(path), is_folder }
    }

    fn has(&self, path: &Path) -> bool {
        if self.is_folder { path.starts_with(&self.path) } else { path == self.path }
    }
}

/// Returns the reports that would take the place of what the run reads or keeps.
pub(super) fn overwriting(document: &Document, pipeline: &Pipeline, plan: &Plan<'_>) -> Vec<Diagnostic> {
    if pipeline.report.files().next().is_none() {
        return Vec::new();
    }
    let mut kept = all_kept(document, pipeline, plan);
    let mut res = Vec::new();
    for (key, path) in pipeline.report.files() {
        let report = Kept::new("another report", path, false);
        let problem = match kept.iter().find(|it| it.has(&report.path)) {
            Some(it) => Some(format!("`{}` is {}, which the report would replace", path.display(), it.what)),
            None => replaceable(path, key).err().map(|e| format!("cannot write the report `{}`: {e}", path.display())),
        };
        if let Some(it) = problem {
            res.push(document.at(&config::pointer("/report", key), code::OVERWRITES, it, Some("name another file")));
        }
        kept.push(report);
    }
    res
}

fn all_kept(document: &Document, pipeline: &Pipeline, plan: &Plan<'_>) -> Vec<Kept> {
    let file = |what| move |path: &Path| Kept::new(what, path, false);
    let mut res = vec![file("the history")(&history::path_of(pipeline))];
    res.extend(document.path().map(file("the pipeline")));
    let data = plan.data.values().flatten().flat_map(Source::files);
    res.extend(data.map(|it| file("the data")(it)));
    let models = [ModelRole::Candidate, ModelRole::Baseline].into_iter().filter_map(|role| imported(pipeline, role));
    res.extend(models.map(|(it, _)| Kept::new("a checkpoint", it, it.is_dir())));
    res.extend(pipeline.plugins.dirs.iter().map(|it| file("a listing of plugins")(&it.join(LISTING_FILE))));
    let store = pipeline.store.as_ref().and_then(|it| it.with.get("path")?.as_str());
    res.extend(store.map(|it| Kept::new("a part of the store", &pipeline.root.join(it), true)));
    res.extend(notified(pipeline).map(file("a file that is told of each run")));
    res.extend(pipeline.run.resume.as_deref().map(file("the file for a run that is killed")));
    res
}

/// Returns the files to which a run adds a line.
pub(in crate::run) fn notified(pipeline: &Pipeline) -> impl Iterator<Item = &Path> {
    let on = &pipeline.on;
    let actions = [&on.pass, &on.fail, &on.inconclusive, &on.not_checked, &on.error].into_iter().flatten();
    actions.filter_map(|it| if let Action::Notify { file, .. } = it { Some(file.as_path()) } else { None })
}
