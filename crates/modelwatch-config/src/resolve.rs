//! From options as written to settings: defaults, paths, and what two parts of the file say about each other.

mod actions;
mod checkpoint;
mod data;
mod duration;
mod memory;
mod policy;
mod probes;
mod recorded;

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use crate::{
    Component, Diagnostic, Document, FailOn, Pipeline, PluginSettings, Report, RunSettings, code, may_mean,
    options::{ComponentOptions, FailOnOption, PipelineOptions, ReportOptions, RunOptions},
};

pub use duration::parse_span;

/// Returns the settings, as far as they are known, and reports everything that is wrong.
pub(crate) fn pipeline(document: &Document, options: PipelineOptions, diagnostics: &mut Vec<Diagnostic>) -> Pipeline {
    let mut cx = Context { document, root: root(document.path()), diagnostics };
    cx.version(options.version);
    let name = cx.pipeline_name(options.name);
    let store = options.store.and_then(|it| cx.component(it, "/store"));
    let dirs = options.plugins.unwrap_or_default().dirs;
    let dirs = dirs.iter().enumerate().map(|(idx, it)| cx.path(it, &format!("/plugins/dirs/{idx}"))).collect();
    let mut checkpoint = options.checkpoint;
    let keep = checkpoint.as_mut().and_then(|it| it.keep.take()).map(|it| policy::keep(&mut cx, it));
    let save = checkpoint.as_mut().and_then(|it| it.save.take()).map(|it| policy::save(&mut cx, it));
    let refuse_nonfinite = checkpoint.as_ref().is_some_and(|it| it.refuse_nonfinite);
    if refuse_nonfinite {
        policy::imports(&mut cx, "/checkpoint/refuse_nonfinite");
    }
    let signature = checkpoint.as_mut().and_then(|it| it.signature.take());
    checkpoint::signature(&mut cx, "/checkpoint", signature.as_deref());
    let runtime = checkpoint.as_ref().map(|it| checkpoint::runtime_of_checkpoint(&mut cx, it)).unwrap_or_default();
    let checkpoint = checkpoint.and_then(|it| checkpoint::checkpoint(&mut cx, it));
    let baseline = options.baseline.and_then(|it| checkpoint::baseline(&mut cx, it));
    let data = options.data.map(|it| data::data(&mut cx, it));
    let runtime = recorded::check(&mut cx, runtime, baseline.as_ref(), data.as_ref());
    let probes = probes::probes(&mut cx, options.verify, options.analyze);
    let refs = policy::refs(&mut cx, options.refs);
    let on = actions::actions(&mut cx, options.on.unwrap_or_default());
    if let Some(it) = &baseline {
        checkpoint::will_be_made(&mut cx, it, checkpoint.as_ref(), &on);
    }
    let report = cx.report_settings(options.report.unwrap_or_default());
    let run = cx.run_settings(options.run.unwrap_or_default());
    Pipeline {
        // One without a name was reported by its form.
        name: name.unwrap_or_default(),
        file: document.path().map(Path::to_owned),
        root: cx.root,
        plugins: PluginSettings { dirs },
        store,
        checkpoint,
        refuse_nonfinite,
        signature,
        runtime,
        save,
        keep,
        baseline,
        data,
        probes,
        refs,
        on,
        report,
        run,
        fail_on: match options.fail_on {
            None | Some(FailOnOption::Error) => FailOn::Error,
            Some(FailOnOption::Warning) => FailOn::Warning,
            Some(FailOnOption::Never) => FailOn::Never,
        },
    }
}

/// What every part of the resolution needs.
struct Context<'a> {
    document: &'a Document,
    root: PathBuf,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl Context<'_> {
    /// Returns an error at the value, for [`Context::report`].
    fn error(&self, code: &'static str, pointer: &str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(code, pointer, message).place(self.document.place(pointer))
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Returns whether the file has the value, well-formed or not.
    fn has(&self, pointer: &str) -> bool {
        self.document.contains(pointer)
    }

    /// Returns whether the file has the table, or one whose name, which is not known, may be meant for it.
    fn may_have(&self, pointer: &str) -> bool {
        let mut unknown = self.diagnostics.iter().filter(|it| it.code == code::UNKNOWN_KEY);
        self.has(pointer) || unknown.any(|it| may_mean(&it.pointer, pointer))
    }

    /// Reports an empty value.
    fn filled(&mut self, text: &str, pointer: &str) {
        if text.is_empty() {
            let name = crate::tree::dotted(pointer);
            self.report(self.error(code::EMPTY, pointer, format!("`{name}` is empty")).label("nothing here"));
        }
    }

    fn path(&mut self, text: &str, pointer: &str) -> PathBuf {
        self.filled(text, pointer);
        self.root.join(text)
    }

    fn component(&mut self, options: ComponentOptions, pointer: &str) -> Option<Component> {
        Some(Component { uses: options.uses?, with: options.with, pointer: pointer.to_owned() })
    }

    fn version(&mut self, version: Option<u64>) {
        if let Some(version) = version
            && version != 1
        {
            self.report(
                self.error(code::VERSION, "/version", format!("version {version} of the pipeline format is not known"))
                    .label("only version 1 is")
                    .help("write `version = 1`, or use a release of modelwatch that knows this version"),
            );
        }
    }

    fn pipeline_name(&mut self, name: Option<String>) -> Option<String> {
        let name = name?;
        let is_plain = |c: char| c.is_alphanumeric() || "._- ".contains(c);
        if name.trim() != name
            || name.chars().count() > 128
            || !name.chars().all(is_plain)
            || name.starts_with(['.', '-'])
        {
            self.report(
                self.error(code::BAD_NAME, "/name", "the name of the pipeline cannot be used in file names")
                    .help("use up to 128 letters, digits, spaces, `.`, `_` or `-`, and begin with a letter or digit"),
            );
        }
        Some(name)
    }

    fn report_settings(&mut self, options: ReportOptions) -> Report {
        let mut path = |it: Option<String>, key| it.map(|it| self.path(&it, &format!("/report/{key}")));
        let [html, junit, json, markdown, artifacts] = [
            path(options.html, "html"),
            path(options.junit, "junit"),
            path(options.json, "json"),
            path(options.markdown, "markdown"),
            path(options.artifacts, "artifacts"),
        ];
        // Beside what links to them, where there is a choice.
        let report = [&html, &markdown, &json, &junit].into_iter().flatten().next();
        let artifacts = artifacts.or_else(|| Some(report?.with_file_name("artifacts")));
        Report { html, junit, json, markdown, artifacts }
    }

    fn run_settings(&mut self, options: RunOptions) -> RunSettings {
        let count = |it: Option<u64>| it.and_then(|it| usize::try_from(it).ok());
        RunSettings {
            threads: count(options.threads).and_then(NonZeroUsize::new),
            batch_rows: count(options.batch_rows),
            history: options.history.map(|it| self.path(&it, "/run/history")),
            resume: options.resume.map(|it| self.path(&it, "/run/resume")),
            onnxruntime: options.onnxruntime.map(|it| self.path(&it, "/run/onnxruntime")),
        }
    }
}

/// Returns the folder of a file, which is never empty, so that it can be changed to.
fn root(file: Option<&Path>) -> PathBuf {
    match file.and_then(Path::parent) {
        Some(it) if !it.as_os_str().is_empty() => it.to_owned(),
        _ => PathBuf::from("."),
    }
}
