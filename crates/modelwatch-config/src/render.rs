//! Shows diagnostics in the look of rustc. The only module that names annotate-snippets.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, normalize_untrusted_str};

use crate::{
    Document,
    diagnostic::{Diagnostic, Origin, Severity, clamp},
};

/// Returns the diagnostics as text for a terminal, separated by blank lines and with a final line break.
///
/// ```
/// let parsed = modelwatch_config::parse("p.toml".as_ref(), "nmae = 'x'", &[]);
/// let text = modelwatch_config::render(&parsed.diagnostics, &parsed.document, false);
/// assert!(text.contains("error[E0002]: unknown key `nmae`\n --> p.toml:1:1\n"));
/// ```
pub fn render(diagnostics: &[Diagnostic], document: &Document, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut res = String::new();
    for diagnostic in diagnostics {
        if !res.is_empty() {
            res.push('\n');
        }
        res.push_str(&renderer.render(&[group(diagnostic, document)]));
        res.push('\n');
    }
    res
}

fn group<'a>(diagnostic: &'a Diagnostic, document: &'a Document) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut res =
        level.primary_title(diagnostic.message.as_str()).id(diagnostic.code).elements(snippets(diagnostic, document));
    if diagnostic.span.is_none() {
        res = res.element(annotate_snippets::Origin::path(document.source(diagnostic.origin).0));
    }
    if let Some(help) = &diagnostic.help {
        res = res.element(Level::HELP.message(normalize_untrusted_str(help)));
    }
    res
}

fn snippets<'a>(
    diagnostic: &'a Diagnostic,
    document: &'a Document,
) -> Vec<Snippet<'a, annotate_snippets::Annotation<'a>>> {
    let primary = diagnostic
        .span
        .iter()
        .map(|span| (diagnostic.origin, AnnotationKind::Primary, span, diagnostic.label.as_deref()));
    let related =
        diagnostic.related.iter().map(|it| (it.origin, AnnotationKind::Context, &it.span, Some(it.label.as_str())));

    // One snippet per text, that of the primary span first.
    let mut res: Vec<(Origin, Snippet<'a, _>)> = Vec::new();
    for (origin, kind, span, label) in primary.chain(related) {
        let (name, text) = document.source(origin);
        let annotation = kind.span(clamp(text, span)).label(label);
        match res.iter().position(|(it, _)| *it == origin) {
            Some(idx) => {
                let (origin, snippet) = res.swap_remove(idx);
                res.insert(idx, (origin, snippet.annotation(annotation)));
            }
            None => res.push((origin, Snippet::source(text).path(name).annotation(annotation))),
        }
    }
    res.into_iter().map(|(_, snippet)| snippet).collect()
}
