//! The colors of the HTML report, light and dark.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{fixture, html};

/// The colors that rules define, by name.
fn defined(css: &str) -> BTreeMap<&str, &str> {
    let (body, _) = css.split_once('}').expect("the rule ends");
    body.split(';').filter_map(|it| it.trim().split_once(':')).map(|(name, value)| (name, value.trim())).collect()
}

fn page() -> String {
    html(&fixture::fail(), Path::new("report.html")).expect("it can be made")
}

/// Returns the colors of both schemes.
fn schemes(page: &str) -> [BTreeMap<&str, &str>; 2] {
    let (_, light) = page.split_once(":root {").expect("there are colors");
    let (_, dark) = light.split_once("@media (prefers-color-scheme: dark) {").expect("there are dark ones");
    let (_, dark) = dark.split_once(":root {").expect("they are those of the whole page");
    [defined(light), defined(dark)]
}

#[test]
fn every_color_is_there_in_light_and_dark() {
    let page = page();
    assert!(page.contains(r#"<meta name="color-scheme" content="light dark">"#));
    let [light, dark] = schemes(&page);
    let names = |it: &BTreeMap<&str, &str>| it.keys().map(|it| (*it).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(names(&light), names(&dark));
    let used = page.split("var(").skip(1).filter_map(|it| it.split([')', ',']).next());
    // How strong a color is does not depend on the scheme.
    let used: BTreeSet<_> = used.filter(|it| *it != "--o").map(str::to_owned).collect();
    assert_eq!(used, names(&light), "what is used is defined, and what is defined is used");
    let same: Vec<_> = light.iter().filter(|(name, value)| dark[*name] == **value).collect();
    assert!(same.is_empty(), "{same:?}");
    // No color is outside of the schemes.
    let (_, rules) = page.split_once("* { box-sizing").expect("there are rules");
    let (rules, _) = rules.split_once("@media print").expect("paper comes last");
    assert!(!rules.contains(": #"), "a color of one scheme alone");
}

/// The relative luminance of `#rgb` or `#rrggbb`, as WCAG 2.2 has it.
fn luminance(color: &str) -> f64 {
    let digits = color.strip_prefix('#').expect("it is a color");
    let digits: String =
        if digits.len() == 3 { digits.chars().flat_map(|it| [it, it]).collect() } else { digits.to_owned() };
    let channel = |at: usize| {
        let it = f64::from(u8::from_str_radix(&digits[at..at + 2], 16).expect("it has hexadecimal digits")) / 255.0;
        if it <= 0.04045 { it / 12.92 } else { ((it + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(0) + 0.7152 * channel(2) + 0.0722 * channel(4)
}

#[test]
fn text_can_be_read_in_light_and_dark() {
    let page = page();
    const PAIRS: [(&str, &str); 10] = [
        ("--ink", "--bg"),
        ("--ink", "--card"),
        ("--dim", "--bg"),
        ("--dim", "--card"),
        ("--dim", "--code"),
        ("--red", "--red-bg"),
        ("--amber", "--amber-bg"),
        ("--green", "--green-bg"),
        ("--blue", "--blue-bg"),
        ("--ink", "--code"),
    ];
    for (scheme, colors) in ["light", "dark"].into_iter().zip(schemes(&page)) {
        for (text, ground) in PAIRS {
            let (a, b) = (luminance(colors[text]), luminance(colors[ground]));
            let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
            // The least of WCAG's level AA.
            assert!(contrast >= 4.5, "{scheme}: {text} on {ground} has a contrast of {contrast:.2}");
        }
    }
}
