//! Snapshots of every report, and what must hold for all of them.

use std::{collections::BTreeMap, path::Path};

use modelwatch_runtime::{
    RunRecord, Verdict,
    record::{ActionStatus, GapRecord, Of, ProbeCoverage, Unmeasured},
};
use modelwatch_sdk::report::{Check, Figure, FigureData, Finding, Interval, Metric, Severity, Status};

use super::{
    fixture::{self, check, figure, of, series},
    *,
};

const HOSTILE: &str = "<script>alert(1)</script>]]>\"'|`\n::error::x\u{1b}[31m\u{0}\u{202e}";

/// A record in which every text is hostile.
fn hostile() -> RunRecord {
    let mut res = fixture::fail();
    let bad = || HOSTILE.to_owned();
    (res.run_id, res.pipeline.name, res.pipeline.file, res.timings.started) = (bad(), bad(), Some(bad()), bad());
    for it in &mut res.checks {
        (it.probe, it.it.metric, it.it.requirement, it.it.message) = (bad(), bad(), bad(), bad());
        it.it.labels.insert(bad(), bad());
    }
    for it in &mut res.metrics {
        (it.probe, it.it.name, it.it.unit) = (bad(), bad(), Some(bad()));
        it.it.labels.insert(bad(), bad());
    }
    for it in &mut res.figures {
        (it.probe, it.it.title, it.it.caption) = (bad(), bad(), bad());
        match &mut it.it.data {
            FigureData::Histogram { series, .. } => series.iter_mut().for_each(|it| it.name = bad()),
            FigureData::Bars { categories, .. } => categories.iter_mut().for_each(|it| *it = bad()),
            FigureData::Lines { x_label, y_label, .. } => (*x_label, *y_label) = (bad(), bad()),
            FigureData::HeatMap { rows, .. } => rows.iter_mut().for_each(|it| *it = bad()),
            FigureData::Table { rows, .. } => rows.iter_mut().flatten().for_each(|it| *it = bad()),
            _ => {}
        }
    }
    let finding = Finding::new(HOSTILE, Severity::Error, HOSTILE, HOSTILE).advice(HOSTILE).evidence(HOSTILE, HOSTILE);
    res.findings = vec![of(HOSTILE, finding)];
    for it in &mut res.actions {
        (it.target, it.message) = (bad(), bad());
    }
    for it in &mut res.coverage.gaps {
        (it.probe, it.what, it.why) = (bad(), bad(), bad());
    }
    for it in &mut res.coverage.probes {
        (it.id, it.kind, it.uses, it.message) = (bad(), bad(), bad(), bad());
        it.unmeasured =
            vec![Unmeasured { labels: [(bad(), bad())].into(), metrics: vec![bad()], why: format!("since {HOSTILE}") }];
    }
    for it in &mut res.models {
        (it.role, it.file, it.inputs) = (bad(), bad(), vec![bad()]);
        it.operators.insert(bad(), 1);
    }
    if let Some(it) = &mut res.checkpoint {
        (it.id, it.lineage, it.source) = (Some(bad()), Some(bad()), bad());
    }
    res
}

/// What a skill is of is a metric, too.
#[test]
fn no_two_columns_of_a_table_have_the_same_head() {
    let mut record = fixture::pass();
    let interval = Interval { low: 0.5, high: 0.7, level: 0.95 };
    let skill = Metric::new("skill", 0.6).n(40).label("metric", "accuracy").interval(Some(interval));
    record.metrics = vec![of("metrics", skill)];
    let page = html(&record, Path::new("report.html")).unwrap();
    assert!(page.contains(r#"<th scope="col">metric</th><th scope="col">name</th>"#), "{page}");
}

#[test]
fn what_was_not_covered_comes_before_the_numbers() {
    let mut record = fixture::fail();
    let gap = |at: usize| GapRecord { probe: format!("p{at}"), what: "a column".to_owned(), why: "gone".to_owned() };
    record.coverage.gaps = (0..3).map(gap).collect();
    let page = html(&record, Path::new("report.html")).unwrap();
    assert!(page.contains("Not covered <i>3</i>"), "{page}");
    let at = |section: &str| page.find(&format!("<section id=\"{section}\"")).unwrap();
    assert!(at("findings") < at("not-covered") && at("not-covered") < at("metrics"));
}

#[test]
fn what_was_not_measured_is_told_unless_the_whole_probe_was_not() {
    let mut record = fixture::fail();
    let why = "none of its rows has a `label`";
    let of_slice = |why: &str| Unmeasured {
        labels: [("slice".to_owned(), "writer=z".to_owned())].into(),
        metrics: vec!["accuracy".to_owned(), "f1".to_owned()],
        why: why.to_owned(),
    };
    let told = |record: &RunRecord| (html(record, Path::new("report.html")).unwrap(), markdown(record, None));
    for it in &mut record.coverage.probes {
        let is_out = it.status == Status::Error;
        it.unmeasured.extend(is_out.then(|| of_slice(&it.message)));
    }
    let (page, text) = told(&record);
    assert!(!page.contains("Not measured") && !text.contains("Not measured"), "{page}{text}");
    record.coverage.probes[0].unmeasured.push(of_slice(why));
    let (page, text) = told(&record);
    let row = "<td>metrics</td><th scope=\"row\">accuracy, f1</th><td>slice=writer=z</td>\
               <td class=\"msg\">none of its rows has a <code>label</code></td>";
    assert!(page.contains("<h3>Not measured</h3>") && page.contains(row), "{page}");
    let line = "### Not measured\n\n- `metrics` · `accuracy[slice=writer=z]`, `f1[slice=writer=z]`: none of its rows has a \\`label\\`\n";
    assert!(text.contains(line), "{text}");
    // It was not looked at, though nothing else is missing.
    record = fixture::pass();
    assert!(told(&record).0.contains("Everything that was to be looked at was."));
    record.coverage.probes[0].unmeasured.push(of_slice(why));
    assert!(!told(&record).0.contains("Everything that was to be looked at was."));
}

#[test]
fn names_in_figures_have_no_backticks() {
    let data = FigureData::Bars { categories: vec!["a".to_owned()], series: vec![series("a", [1.0])] };
    let (title, caption) = ("Drift of column `x`".to_owned(), "fewer than `min_chunk_rows`".to_owned());
    let page = page_of(Figure { title, caption, data });
    let body = &page[page.find("<figure").unwrap()..page.find("</figure>").unwrap()];
    assert!(!body.contains('`') && body.contains("<code>min_chunk_rows</code>"), "{body}");
}

#[test]
fn the_last_line_of_a_terminal_says_the_verdict() {
    for (record, verdict) in [(fixture::pass(), "PASS  "), (fixture::fail(), "ERROR, ")] {
        let text = uncolored(&record, 100);
        let blank = text.trim_end().rfind("\n\n").unwrap();
        assert!(text[blank..].trim_start().starts_with(verdict), "{text}");
    }
}

fn uncolored(record: &RunRecord, width: usize) -> String {
    anstream::adapter::strip_str(&human(record, width)).to_string()
}

fn page_of(figure: Figure) -> String {
    let mut record = fixture::pass();
    record.figures = vec![of("probe", figure)];
    html(&record, Path::new("report.html")).unwrap()
}

#[test]
fn reports_of_a_pass() {
    let record = fixture::pass();
    insta::assert_snapshot!("human_pass", uncolored(&record, 100));
    insta::assert_snapshot!("markdown_pass", markdown(&record, None));
    insta::assert_snapshot!("github_pass", github(&record, &BTreeMap::new()));
    insta::assert_snapshot!("junit_pass", junit(&record).unwrap());
}

#[test]
fn reports_of_trouble() {
    let record = fixture::fail();
    insta::assert_snapshot!("human_fail", uncolored(&record, 80));
    insta::assert_snapshot!("markdown_fail", markdown(&record, None));
    insta::assert_snapshot!("github_fail", github(&record, &BTreeMap::from([("metrics".to_owned(), 12)])));
    insta::assert_snapshot!("junit_fail", junit(&record).unwrap());
}

#[test]
fn probes_of_which_the_same_is_told_are_all_named() {
    let mut record = fixture::fail();
    let ids: Vec<_> = (0..25).map(|it| format!("probe-with-a-long-name-{it:02}")).collect();
    let out = record.coverage.probes.iter().find(|it| it.status == Status::Error).unwrap().clone();
    let its_check = record.checks.iter().find(|it| it.it.message == out.message).unwrap().clone();
    for id in &ids {
        record.coverage.probes.push(ProbeCoverage { id: id.clone(), ..out.clone() });
        record.checks.push(Of { probe: id.clone(), it: its_check.it.clone() });
    }
    let page = html(&record, Path::new("report.html")).unwrap();
    for text in [page, markdown(&record, None), uncolored(&record, 200), github(&record, &BTreeMap::new())] {
        assert!(ids[..19].iter().all(|it| text.contains(it)) && text.contains("6 more"), "{text}");
    }
}

#[test]
fn the_first_line_says_what_the_exit_code_says() {
    let mut record = fixture::pass();
    let ends_with = |record: &RunRecord, but: &str| {
        let verdict = record.verdict.as_str();
        let text = uncolored(record, 100);
        assert!(text.starts_with(&format!("{}, {but}  digits-gate", verdict.to_uppercase())), "{text}");
        assert!(markdown(record, None).starts_with(&format!("## ❌ {verdict}, {but} · ")));
        assert!(junit(record).unwrap().contains("<error "));
        assert!(
            github(record, &BTreeMap::new()).starts_with("::error ")
                && github(record, &BTreeMap::new()).contains(&format!("::{verdict}, {but}: "))
        );
        let page = html(record, Path::new("report.html")).unwrap();
        assert!(
            page.contains(&format!("<title>{verdict}, {but}: "))
                && page.contains(&format!("badge {}\"", view::status(record).as_str()))
        );
    };
    record.exit_code = 3;
    assert_eq!(view::status(&record), Status::Error);
    ends_with(&record, "but not all of it was written down");
    record.actions[0].status = ActionStatus::Conflict;
    ends_with(&record, "but 1 action was not done");
    record.actions.push(record.actions[0].clone());
    ends_with(&record, "but 2 actions were not done");
    // What a failure was to undo, and did not.
    (record.verdict, record.exit_code) = (Verdict::Fail, 1);
    ends_with(&record, "and 2 actions were not done");
    (record.verdict, record.exit_code) = (Verdict::NotChecked, 0);
    ends_with(&record, "which is allowed");
    assert_eq!(view::status(&record), Status::NotChecked);
}

#[test]
fn what_keeps_several_probes_from_running_is_told_once() {
    let mut record = fixture::fail();
    let why = "the current data: there is none (pipeline.toml:3:8)";
    record.checks.retain(|it| it.it.status == Status::Pass);
    record.coverage.gaps.clear();
    for it in &mut record.coverage.probes {
        (it.status, it.message) = (Status::Error, why.to_owned());
        record
            .checks
            .push(of(&it.id, Check { n: 0, ..check(&it.uses, &[], "runs to its end", None, Status::Error, why) }));
        record.coverage.gaps.push(GapRecord {
            probe: it.id.clone(),
            what: "the whole probe".to_owned(),
            why: why.to_owned(),
        });
    }
    let text = uncolored(&record, 100);
    assert!(text.contains(&format!("  ! metrics, drift, golden\n    {why}\n")), "{text}");
    assert!(!text.contains("Not covered") && !text.contains("n = 0"), "{text}");
    let page = html(&record, Path::new("report.html")).unwrap();
    for text in [text, markdown(&record, None), github(&record, &BTreeMap::new())] {
        assert_eq!(text.matches("the current data").count(), 1, "{text}");
    }
    let checks = page.split("id=\"checks\"").nth(1).unwrap().split("</section>").next().unwrap();
    assert_eq!(checks.matches(why).count(), 1, "{checks}");
}

#[test]
fn lines_keep_to_the_width() {
    for width in [40, 80, 120] {
        for record in [fixture::pass(), fixture::fail(), fixture::wide(), hostile()] {
            for line in uncolored(&record, width).lines() {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
        }
    }
}

#[test]
fn a_page_of_200_columns_is_small_and_says_what_is_left_out() {
    let page = html(&fixture::wide(), Path::new("report.html")).unwrap();
    assert!(page.len() < 1_000_000, "{}", page.len());
    assert!(page.contains("more figures are in the record of the run"));
    assert!(page.contains("less severe findings are in the record of the run"));
}

#[test]
fn a_page_of_huge_texts_is_small() {
    let mut record = fixture::wide();
    for it in &mut record.checks {
        it.it.message = "&".repeat(100_000);
    }
    for it in &mut record.findings {
        (it.it.message, it.it.advice) = ("<".repeat(100_000), "\"".repeat(100_000));
    }
    assert!(html(&record, Path::new("report.html")).unwrap().len() < 1_000_000);
    assert!(markdown(&record, None).len() <= 1 << 20);
}

#[test]
fn a_page_says_what_was_judged_and_hides_no_failure() {
    let page = html(&fixture::fail(), Path::new("report.html")).unwrap();
    let header = page.split("<header>").nth(1).unwrap().split("</header>").next().unwrap();
    for name in ["digits abababababab", "digits 121212121212"] {
        assert!(header.contains(&format!("<code>{name}</code>")), "{header}");
    }
    assert!(!page.contains("max-height"));
}

#[test]
fn evidence_and_sentences_are_no_source_text() {
    let mut record = fixture::fail();
    let finding = Finding::new("X-1", Severity::Error, "here", "`a<b` is at `c`, and 5` is a length");
    let evidence =
        [("shares", serde_json::json!([0.904_697_580_664_874_6, 0.5])), ("pairs", serde_json::json!([["0→1", 2]]))];
    let finding = evidence.into_iter().fold(finding, |it, (key, value)| it.evidence(key, value)).advice("set `x`");
    record.findings = vec![of("probe", finding)];
    let page = html(&record, Path::new("report.html")).unwrap();
    assert!(page.contains("<dd>0.904698, 0.5</dd>") && page.contains("<dd>0→1, 2</dd>"), "{page}");
    assert!(page.contains("set <code>x</code>") && page.contains("`a&lt;b` is at `c`, and 5` is a length"), "{page}");
}

#[test]
fn a_label_named_metric_is_no_second_head_and_a_lone_value_is_no_candidate() {
    let mut record = fixture::pass();
    let label =
        |it: Metric| it.n(10).label("metric", "accuracy").interval(Some(Interval { low: 0.1, high: 0.2, level: 0.95 }));
    record.metrics = vec![of("estimates", label(Metric::new("estimated", 0.15)))];
    let page = html(&record, Path::new("report.html")).unwrap();
    let heads = "<th scope=\"col\">metric</th><th scope=\"col\">name</th><th scope=\"col\" class=\"r\">value</th>";
    assert!(page.contains(heads), "{page}");
}

#[test]
fn a_page_needs_nothing_else() {
    for record in [fixture::pass(), fixture::fail(), fixture::wide(), hostile()] {
        let page = html(&record, Path::new("report.html")).unwrap();
        for bad in ["<script", "http://", "https://", "<link", "<img", "url(", "@import", " onload", " src="] {
            assert!(!page.contains(bad), "{bad}");
        }
    }
}

#[test]
fn hostile_text_stays_text() {
    let record = hostile();
    let page = html(&record, Path::new("report.html")).unwrap();
    assert!(page.contains("&#60;script&#62;") && page.contains("&lt;script&gt;"));
    for text in [
        page,
        uncolored(&record, 80),
        markdown(&record, None),
        junit(&record).unwrap(),
        github(&record, &BTreeMap::new()),
    ] {
        assert!(!text.contains(['\u{1b}', '\u{0}', '\u{202e}']));
    }
    for line in github(&record, &BTreeMap::new()).lines() {
        assert!(["::error ", "::warning ", "::notice "].iter().any(|it| line.starts_with(it)), "{line}");
        assert_eq!(
            line.matches("::error::").count(),
            line.splitn(3, "::").nth(2).unwrap().matches("::error::").count()
        );
    }
    assert!(!junit(&record).unwrap().contains("<script"));
}

#[test]
fn annotations_are_ten_of_a_level() {
    let text = github(&fixture::wide(), &BTreeMap::new());
    for level in ["::error ", "::warning "] {
        let lines: Vec<_> = text.lines().filter(|it| it.starts_with(level)).collect();
        assert_eq!(lines.len(), 10, "{level}");
        assert!(lines[9].contains("more in the summary"), "{}", lines[9]);
    }
}

#[test]
fn a_run_without_checks_does_not_look_well() {
    let mut record = fixture::pass();
    (record.verdict, record.exit_code) = (Verdict::NotChecked, 4);
    (record.checks, record.metrics, record.figures) = (Vec::new(), Vec::new(), Vec::new());
    (record.coverage, record.actions) = (Default::default(), Vec::new());
    assert!(junit(&record).unwrap().contains("type=\"not-checked\""));
    assert!(github(&record, &BTreeMap::new()).starts_with("::error "));
    assert!(uncolored(&record, 80).starts_with("NOT-CHECKED"));
    assert!(html(&record, Path::new("report.html")).unwrap().contains("Nothing was checked."));
}

#[test]
fn what_is_not_checked_is_an_error_in_junit() {
    let mut record = fixture::pass();
    record.checks = vec![of("metrics", check("recall", &[], ">= 0.5", None, Status::NotChecked, "no rows"))];
    let text = junit(&record).unwrap();
    assert!(text.contains("type=\"not-checked\"") && !text.contains("<skipped"), "{text}");
}

#[test]
fn what_does_not_count_for_the_verdict_fails_no_report() {
    let mut record = fixture::pass();
    let checks = [
        check("recall", &[], ">= baseline", None, Status::NotChecked, "there is no baseline yet"),
        check("accuracy", &[], ">= 0.99", Some(0.9), Status::Fail, "it does not hold"),
        check("f1", &[], ">= 0.99", None, Status::NotChecked, "no rows"),
        check("auc", &[], ">= 0.99", None, Status::Error, "the plugin panicked"),
    ];
    record.checks = checks.map(|it| of("metrics", it)).into();
    let levels = |record: &RunRecord| {
        let lines = github(record, &BTreeMap::new());
        let level =
            |name: &str| lines.lines().find(|it| it.contains(name)).unwrap().split(' ').next().unwrap().to_owned();
        ["recall", "accuracy", "f1", "auc"].map(level)
    };
    let counts = |text: &str| ["<skipped", "<failure", "<error"].map(|it| text.matches(it).count());
    assert_eq!(counts(&junit(&record).unwrap()), [1, 1, 2]);
    assert_eq!(levels(&record), ["::notice", "::error", "::error", "::error"]);
    for it in &mut record.coverage.probes {
        it.severity = Severity::Warning;
    }
    // What could not be carried out counts all the same.
    assert_eq!(counts(&junit(&record).unwrap()), [3, 0, 1]);
    assert_eq!(levels(&record), ["::notice", "::warning", "::notice", "::error"]);
    assert!(uncolored(&record, 120).contains("does not count for the verdict"));
}

#[test]
fn a_probe_that_broke_is_one_error_in_junit() {
    let mut record = fixture::pass();
    let probe = record.coverage.probes.first_mut().unwrap();
    probe.status = Status::Error;
    let broken = check("metrics", &[], "runs to its end", None, Status::Error, "it is gone");
    record.checks = vec![of(&probe.id, broken)];
    let text = junit(&record).unwrap();
    assert_eq!(text.matches("<error").count(), 1, "{text}");
}

#[test]
fn what_cannot_be_drawn_is_said() {
    let nan = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    let empty = [
        FigureData::Histogram { edges: vec![], series: vec![] },
        FigureData::Histogram { edges: vec![1.0], series: vec![series("a", [])] },
        FigureData::Bars { categories: vec![], series: vec![] },
        FigureData::Bars { categories: vec!["a".to_owned()], series: vec![series("a", nan)] },
        FigureData::Lines { x_label: String::new(), y_label: String::new(), x: vec![], series: vec![] },
        FigureData::Lines {
            x_label: String::new(),
            y_label: String::new(),
            x: nan.into(),
            series: vec![series("a", nan)],
        },
        FigureData::HeatMap {
            y_label: String::new(),
            x_label: String::new(),
            rows: vec![],
            columns: vec![],
            values: vec![],
        },
        FigureData::Reliability { confidence: nan.into(), accuracy: vec![], counts: vec![] },
    ];
    for data in empty {
        let page = page_of(figure("empty", data.clone()));
        assert!(page.contains("there is nothing to draw"), "{data:?}");
    }
}

#[test]
fn columns_of_a_matrix_that_start_alike_are_told_apart() {
    let heads = |columns: &[&str]| {
        let page = page_of(figure(
            "matrix",
            FigureData::HeatMap {
                y_label: "column".to_owned(),
                x_label: "chunk".to_owned(),
                rows: vec!["a".to_owned()],
                columns: columns.iter().map(|it| (*it).to_owned()).collect(),
                values: vec![vec![1.0; columns.len()]],
            },
        ));
        let texts = page.split("class=\"tk\"").skip(1).filter_map(|it| it.split('>').nth(1)?.split('<').next());
        texts.take(columns.len()).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(heads(&["2026-03-02", "2026-03-03"]), ["…-03-02", "…-03-03"]);
    assert_eq!(heads(&["2026-03-02T13", "2026-03-02T14"]), ["…-02T13", "…-02T14"]);
    assert_eq!(heads(&["first kind", "second", "third kind"]), ["first k…", "second", "third k…"]);
}

#[test]
fn a_legend_has_as_many_lines_as_it_needs() {
    let names = ["estimated", "realized", "lower limit", "upper limit", "estimate, lower", "estimate, upper"];
    let (x_label, y_label) = ("chunk".to_owned(), "share".to_owned());
    let series = names.iter().map(|it| series(it, [0.1, 0.2, 0.3])).collect();
    let page = page_of(figure("lines", FigureData::Lines { x_label, y_label, x: vec![0.0, 1.0, 2.0], series }));
    let svg = page.split("<svg").nth(1).unwrap();
    let mut lines = std::collections::BTreeSet::new();
    for it in names {
        let end = svg.find(&format!(">{it}</text>")).unwrap_or_else(|| panic!("{it}: {svg}"));
        let text = &svg[svg[..end].rfind("<text").unwrap()..end];
        let of = |key: &str| text.split_once(&format!("{key}=\"")).unwrap().1.split('"').next().unwrap().to_owned();
        assert!(of("x").parse::<f64>().unwrap() + 6.2 * it.len() as f64 <= 460.0, "{text}");
        lines.insert(of("y"));
    }
    assert_eq!(lines.len(), 2, "{lines:?}");
    // And there are no ticks between whole numbers.
    assert!(!svg.contains(">0.5</text>") && svg.contains(">2</text>"), "{svg}");
}

#[test]
fn dates_and_sentences_are_no_numbers() {
    let row =
        ["2026-03-30", "13:00:01", "16 rows, fewer than 40", "0.5", "1 500", "NaN", "0.97 (0.98)", "2 of 5", "-3e-5"];
    let columns = row.iter().map(|it| (*it).to_owned()).collect();
    let rows = vec![row.iter().map(|it| (*it).to_owned()).collect()];
    let page = page_of(figure("table", FigureData::Table { columns, rows }));
    let is_number = |text: &str| page.contains(&format!("<td class=\"r\">{text}</td>"));
    let numbers: Vec<_> = row.into_iter().filter(|it| is_number(it)).collect();
    assert_eq!(numbers, ["0.5", "1 500", "NaN", "0.97 (0.98)", "2 of 5", "-3e-5"]);
}

#[test]
fn odd_numbers_do_not_get_into_the_geometry() {
    let huge = [f64::MAX, f64::MIN, f64::NAN, 5e-324, 0.0, f64::INFINITY];
    let odd = [
        FigureData::Histogram {
            edges: vec![f64::NEG_INFINITY, 0.0, 1.0, f64::INFINITY],
            series: vec![series("a", [1.0, 2.0])],
        },
        FigureData::Histogram { edges: vec![0.0, 1.0, 1e9], series: vec![series("a", huge)] },
        FigureData::Bars { categories: vec!["a".to_owned(); 60], series: vec![series("a", huge); 9] },
        FigureData::Lines {
            x_label: "x".to_owned(),
            y_label: "y".to_owned(),
            x: (0..6).map(f64::from).collect(),
            series: vec![series("a", huge)],
        },
        FigureData::Lines {
            x_label: "x".to_owned(),
            y_label: "y".to_owned(),
            x: huge.into(),
            series: vec![series("a", [1.0; 6])],
        },
        FigureData::HeatMap {
            y_label: "y".to_owned(),
            x_label: "x".to_owned(),
            rows: vec!["a".to_owned(); 90],
            columns: vec!["b".to_owned(); 90],
            values: vec![huge.into()],
        },
        FigureData::Reliability {
            confidence: vec![0.5, f64::NAN, 9.0],
            accuracy: vec![0.4, 0.1, -3.0],
            counts: vec![u64::MAX],
        },
        FigureData::Table { columns: vec!["a".to_owned()], rows: vec![vec![], vec!["1".to_owned(), "2".to_owned()]] },
    ];
    for data in odd {
        let page = page_of(figure("odd", data.clone()));
        let svg = page.split("<svg").nth(1).and_then(|it| it.split("</svg>").next()).unwrap_or_default();
        for attribute in ["x=\"", "y=\"", "d=\"", "width=\"", "height=\"", "cx=\"", "cy=\""] {
            for value in svg.split(attribute).skip(1).filter_map(|it| it.split('"').next()) {
                assert!(!value.contains("NaN") && !value.contains("inf") && !value.contains('∞'), "{data:?}: {value}");
            }
        }
    }
}

#[test]
fn files_are_linked_from_where_the_report_is() {
    let mut record = fixture::fail();
    let files = ["out/artifacts/run/probe/part.onnx".to_owned(), "<elsewhere>/x".to_owned()];
    record.findings = vec![of("probe", Finding::new("X-1", Severity::Error, "here", "it is so").files(files.into()))];
    let page = html(&record, Path::new("out/report.html")).unwrap();
    assert!(page.contains(r#"<a href="./artifacts/run/probe/part.onnx">part.onnx</a>"#), "{page}");
    assert!(!page.contains("<elsewhere>") && !page.contains("<dt>files</dt>"));
    let text = markdown(&record, Some(Path::new("out/report.md")));
    assert!(text.contains("[part.onnx](./artifacts/run/probe/part.onnx)"), "{text}");
    assert!(markdown(&record, None).contains("`out/artifacts/run/probe/part.onnx`"));
    assert!(uncolored(&record, 80).contains("out/artifacts/run/probe/part.onnx"));
}

#[test]
fn names_that_have_no_room_in_one_line_begin_another() {
    let drawn = |names: &[&str]| {
        let series = names.iter().map(|it| series(it, [1.0, f64::NAN, 2.0])).collect();
        let (x_label, y_label) = ("chunk".to_owned(), "accuracy".to_owned());
        let data = FigureData::Lines { x_label, y_label, x: vec![0.0, 1.0, 2.0], series };
        let figure = Figure { title: String::new(), caption: String::new(), data };
        svg::draw(&figure, 0).unwrap().unwrap()
    };
    let few = drawn(&["estimated", "realized"]);
    assert!(few.svg.contains("viewBox=\"0 0 460 250\""), "{}", few.svg);
    // What is not there is a gap of its line, and nothing that was left out.
    assert_eq!(few.note, "");
    let names = ["estimated", "realized", "lower limit", "upper limit", "estimated - 3 errors", "estimated + 3 errors"];
    let many = drawn(&names).svg;
    for name in names {
        let at = many.find(&format!(">{name}</text>")).unwrap();
        let x = many[..at].rsplit("x=\"").next().and_then(|it| it.split('"').next()).unwrap();
        assert!(x.parse::<f64>().unwrap() + 6.2 * name.len() as f64 <= 460.0, "{name} at {x}");
    }
}
