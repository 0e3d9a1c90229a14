//! The codes of findings: declared where they are used, used where they are declared, and never by two plugins.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::Source;

/// The file of a plugin that says what its codes mean.
const DECLARATIONS: &str = "codes.rs";

/// What one plugin names in its sources.
#[derive(Default)]
struct Codes {
    declared: BTreeSet<String>,
    used: BTreeSet<String>,
}

/// Compares what the plugins among the files declare with what they use.
pub(super) fn problems(sources: &[Source]) -> Vec<String> {
    let mut plugins: BTreeMap<String, Codes> = BTreeMap::new();
    for Source { file, text } in sources {
        let Some(plugin) = plugin_of(file) else { continue };
        let found = codes_in(text);
        let codes = plugins.entry(plugin).or_default();
        if file.ends_with(DECLARATIONS) { codes.declared.extend(found) } else { codes.used.extend(found) }
    }
    compare(&plugins)
}

fn compare(plugins: &BTreeMap<String, Codes>) -> Vec<String> {
    let mut res = Vec::new();
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for (plugin, codes) in plugins {
        let file = format!("plugins/{plugin}/src/{DECLARATIONS}");
        res.extend(codes.used.difference(&codes.declared).map(|it| format!("{file}: `{it}` is used and not declared")));
        res.extend(codes.declared.difference(&codes.used).map(|it| format!("{file}: `{it}` is declared and not used")));
        for it in &codes.declared {
            if let Some(other) = owners.insert(it, plugin) {
                res.push(format!("{file}: `{it}` is already a code of `{other}`"));
            }
        }
    }
    res
}

/// Returns the plugin whose source the file is.
fn plugin_of(file: &Path) -> Option<String> {
    let mut parts = file.iter().map(|it| it.to_str().unwrap_or_default());
    let is_source = |it: &str| it == "src" && file.extension().is_some_and(|it| it == "rs");
    match (parts.next()?, parts.next()?, parts.next()?) {
        ("plugins", plugin, it) if is_source(it) => Some(plugin.to_owned()),
        _ => None,
    }
}

/// Returns the codes with which string literals begin: `MW-`, letters and three digits.
fn codes_in(text: &str) -> Vec<String> {
    let quoted = text.split("\"MW-").skip(1).filter_map(|rest| {
        let letters = rest.bytes().take_while(u8::is_ascii_uppercase).count();
        let code = rest.get(..letters + 3)?;
        (letters > 0 && code.bytes().skip(letters).all(|it| it.is_ascii_digit())).then(|| format!("MW-{code}"))
    });
    quoted.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_is_found() {
        let codes = |declared: &str, used: &str| Codes {
            declared: codes_in(declared).into_iter().collect(),
            used: codes_in(used).into_iter().collect(),
        };
        let all = [
            ("a", codes(r#""MW-A001" "MW-A002""#, r#"("MW-A001", "MW-A003 error x", "MW-", "MW-12")"#)),
            ("b", codes(r#""MW-A001""#, r#""MW-A001""#)),
        ];
        let all = all.map(|(name, it)| (name.to_owned(), it)).into();
        let expected = [
            "plugins/a/src/codes.rs: `MW-A003` is used and not declared",
            "plugins/a/src/codes.rs: `MW-A002` is declared and not used",
            "plugins/b/src/codes.rs: `MW-A001` is already a code of `a`",
        ];
        assert_eq!(compare(&all), expected);
    }

    #[test]
    fn plugins_are_told_by_their_folder() {
        let of = |it: &str| plugin_of(Path::new(it));
        assert_eq!(of("plugins/verify-x/src/a/b.rs"), Some("verify-x".to_owned()));
        assert_eq!(of("plugins/verify-x/tests/a.rs"), None);
        assert_eq!(of("crates/x/src/lib.rs"), None);
    }
}
