//! Files that findings name, as links.

use std::path::{Component, Path};

use modelwatch_sdk::report::Finding;

use super::text::clip;

/// The most files of a finding that are shown.
const MAX_FILES: usize = 20;

/// A file that a finding names.
pub(crate) struct FileView {
    /// Its name, or its whole path where nothing links to it.
    pub(crate) name: String,
    /// How a report refers to it.
    pub(crate) href: Option<String>,
}

/// Returns the files of a finding as a report at `at` shows them; without a place of its own it has no links.
pub(crate) fn files(finding: &Finding, at: Option<&Path>) -> Vec<FileView> {
    let view = |path: &str| {
        let href = at.and_then(|it| href(it, Path::new(path)));
        let name = Path::new(path).file_name().filter(|_| href.is_some());
        FileView { name: clip(&name.map_or_else(|| path.into(), |it| it.to_string_lossy()), 300), href }
    };
    finding.file_paths().take(MAX_FILES).map(view).collect()
}

/// Returns the way from a page to a file; relative, so that both can be moved, and without a character that could mean
/// something. None where there is no such way.
fn href(page: &Path, file: &Path) -> Option<String> {
    let from: Vec<Component<'_>> = page.parent()?.components().collect();
    let to: Vec<Component<'_>> = file.components().collect();
    let n_common = from.iter().zip(&to).take_while(|(left, right)| left == right).count();
    // What is not common must be plain: nobody knows where a step up leads to.
    let names = |it: &[Component<'_>]| it.iter().all(|it| matches!(it, Component::Normal(_)));
    let (up, down) = (&from[n_common..], &to[n_common..]);
    if !names(up) || !names(down) || down.is_empty() || n_common == 0 && (page.has_root() || file.has_root()) {
        return None;
    }
    let down: Option<Vec<String>> = down.iter().map(|it| Some(encoded(it.as_os_str().to_str()?))).collect();
    Some(format!("{}{}", if up.is_empty() { "./".to_owned() } else { "../".repeat(up.len()) }, down?.join("/")))
}

/// Returns a name as a part of an address.
fn encoded(name: &str) -> String {
    let byte = |it: u8| match it {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => char::from(it).to_string(),
        it => format!("%{it:02X}"),
    };
    name.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_relative_and_mean_nothing_else() {
        let href = |page: &str, file: &str| href(Path::new(page), Path::new(file));
        assert_eq!(href("out/a.html", "out/artifacts/r/p/x.onnx").as_deref(), Some("./artifacts/r/p/x.onnx"));
        assert_eq!(href("c/../out/a.html", "c/../out/x y.onnx").as_deref(), Some("./x%20y.onnx"));
        assert_eq!(href("/r/html/a.html", "/r/artifacts/x").as_deref(), Some("../artifacts/x"));
        assert_eq!(href("a.html", "javascript:alert(1)").as_deref(), Some("./javascript%3Aalert%281%29"));
        for (page, file) in [("out/a.html", "/etc/passwd"), ("a.html", "../x"), ("c/../a.html", "x/y"), ("a.html", "")]
        {
            assert_eq!(href(page, file), None, "{page} {file}");
        }
    }
}
