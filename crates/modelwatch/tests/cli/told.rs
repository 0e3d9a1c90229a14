//! What people are told in few words: summaries, lists of mistakes, and what to do about them.

use crate::support::{Ended, Project, digits};

const METRICS: &str = "[[verify]]\nuses = 'metrics'\nwith = { task = 'multiclass' }\n";

fn run(project: &Project, pipeline: &str, further: &[&str]) -> Ended {
    project.write("pipeline.toml", pipeline);
    project.modelwatch(&[&["run", "pipeline.toml"], further].concat())
}

/// Returns how often a text has the words.
fn count(text: &str, words: &str) -> usize {
    text.matches(words).count()
}

#[test]
fn an_interval_is_missed_where_it_is_asked_for() {
    let project = Project::new();
    let all = ["human", "github", "json"].map(|format| {
        let of = |condition: &str| {
            let pipeline =
                format!("{}{METRICS}require = {{ accuracy = '>= 0.9', ece = '{condition}' }}\n", digits("e08"));
            run(&project, &pipeline, &["--format", format, "--quiet"]).out
        };
        let (asked, unasked) = (of("<= 0.5 with confidence 95%"), of("<= 0.5"));
        (
            count(&asked, "intervals of ece"),
            count(&asked, "ks_statistic[average=macro]:"),
            count(&unasked, "intervals of"),
        )
    });
    assert_eq!(all, [(1, 0, 0); 3]);
}
