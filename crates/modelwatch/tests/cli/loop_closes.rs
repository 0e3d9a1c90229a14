//! From import to promotion, refusal and rollback.

use std::fs;

use serde_json::Value;

use crate::support::{Project, check, digits, flip_a_bit, walk};

const GATE: &str = "store = { uses = 'local', with = { path = 'store' } }\n\
                    baseline = { from = 'digits@good', optional = true }\n";

const PROBES: &str = "[[verify]]\nuses = 'metrics'\nwith = { task = 'multiclass' }\n\
                      require = { accuracy = ['>= 0.5', '>= baseline - 0.02'] }\n\
                      [[analyze]]\nuses = 'weights'\n\
                      [on.pass]\nmove = ['good', 'production']\n[on.fail]\nrollback = 'production'\n\
                      [on.error]\nrollback = 'production'\n";

fn gate(model: &str) -> String {
    format!("{}{PROBES}", digits(model).replacen('\n', &format!("\n{GATE}"), 1))
}

fn action<'r>(record: &'r Value, kind: &str, target: &str) -> &'r Value {
    let mut actions = record["actions"].as_array().unwrap().iter();
    actions.find(|it| it["kind"] == kind && it["ref"] == target).unwrap()
}

#[test]
fn a_good_checkpoint_is_promoted_and_a_bad_one_is_rolled_back() {
    let project = Project::new();
    let (code, good) = project.run(&gate("e08"));
    assert_eq!(code, 0, "{good:#}");
    assert_eq!(action(&good, "move", "good")["status"], "done");
    assert_eq!(action(&good, "move", "production")["to"], good["checkpoint"]["id"]);

    // The same again changes nothing.
    let (code, again) = project.run(&gate("e08"));
    assert_eq!((code, &again["checkpoint"]["id"]), (0, &good["checkpoint"]["id"]));
    assert_eq!(action(&again, "move", "good")["status"], "not-needed");

    // Somebody deploys a checkpoint that is not good; the gate takes it out again.
    let file = crate::support::fixtures().join("digits/cnn_series/bad_bitflip.onnx");
    let put = project.modelwatch(&["store", "--store", "store", "put", file.to_str().unwrap(), "digits"]);
    let spec = format!("digits@b3:{}", put.out.trim());
    let set = project.modelwatch(&["store", "--store", "store", "set", "digits@production", &spec]);
    assert_eq!(set.code, 0, "{}", set.err);
    let (code, bad) = project.run(&gate("bad_bitflip"));
    assert_eq!((code, &bad["verdict"]), (1, &"fail".into()));
    assert_eq!(bad["baseline"]["id"], good["checkpoint"]["id"]);
    let rollback = action(&bad, "rollback", "production");
    assert_eq!((&rollback["status"], &rollback["to"]), (&"done".into(), &good["checkpoint"]["id"]));
    let codes: Vec<_> = bad["findings"].as_array().unwrap().iter().map(|it| it["code"].as_str().unwrap()).collect();
    assert!(codes.contains(&"MW-W003"), "{codes:?}");

    // It is not needed a second time.
    let (_, bad) = project.run(&gate("bad_bitflip"));
    assert_eq!(action(&bad, "rollback", "production")["status"], "not-needed");

    let log = project.modelwatch(&["store", "--store", "store", "log", "digits"]);
    assert!(log.out.contains("production") && log.out.contains("fail by test"), "{}", log.out);
    let history = project.modelwatch(&["history"]);
    assert_eq!(history.out.lines().count(), 5, "{}", history.out);
    let report = project.modelwatch(&["report", "last", "--format", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&report.out).unwrap(), bad);
}

#[test]
fn a_baseline_that_is_not_there_yet_is_no_misspelled_one() {
    let project = Project::new();
    // The first run: what compares with the baseline is shown, and decides nothing.
    let (code, first) = project.run(&gate("e08"));
    assert_eq!(code, 0, "{first:#}");
    let mut checks = first["checks"].as_array().unwrap().iter();
    let waits = checks.find(|it| it["requirement"] == ">= baseline - 0.02").unwrap();
    assert_eq!((&waits["status"], &waits["message"]), (&"not-checked".into(), &"there is no baseline yet".into()));
    let gaps = first["coverage"]["gaps"].as_array().unwrap();
    assert!(gaps.iter().any(|it| it["what"] == "`accuracy >= baseline - 0.02`"), "{gaps:#?}");

    // What the pipeline never makes would be missing in every run; `check` says so as well.
    for (spec, help) in [
        ("digits@god", "did you mean `digits@good`?"),
        ("digts@good", "did you mean `digits@good`?"),
        ("digts@god", "did you mean `digits@good`?"),
        ("digits@prod", "write what the pipeline moves, `digits@good` or `digits@production`, or remove `optional`"),
        ("other@champion", "write what the pipeline moves, `digits@good` or `digits@production`, or remove `optional`"),
    ] {
        project.write("pipeline.toml", &gate("e08").replace("from = 'digits@good'", &format!("from = '{spec}'")));
        for command in ["check", "run"] {
            let refused = project.modelwatch(&[command, "pipeline.toml"]);
            let message =
                format!("error[E0029]: the baseline `{spec}` may be missing, and this pipeline never makes it");
            assert_eq!(refused.code, 2, "{}", refused.err);
            assert!(refused.err.contains(&message) && refused.err.contains(help), "{}", refused.err);
        }
    }
    // One that it moves begins like the first one.
    let new = gate("e08").replace("from = 'digits@good'", "from = 'digits@gold'").replace("['good', ", "['gold', ");
    assert_eq!(project.run(&new).0, 0);
}

#[test]
fn a_baseline_that_others_make_may_be_missing_only_until_they_begin() {
    let project = Project::new();
    let actions = PROBES.split_once("[on.pass]").unwrap().1;
    let gate = |model: &str| gate(model).replace(&format!("[on.pass]{actions}"), "");
    // What the pipeline itself moves to what fails is no beginning.
    let reject = |model: &str| format!("{}[on.fail]\nmove = 'rejected'\n", gate(model));
    let (code, record) = project.run(&reject("bad_bitflip"));
    assert_eq!((code, &action(&record, "move", "rejected")["status"]), (1, &"done".into()), "{record:#}");
    for model in ["e06", "e07"] {
        let (code, record) = project.run(&reject(model));
        assert_eq!(code, 0, "{record:#}");
    }
    let set = project.modelwatch(&["store", "--store", "store", "set", "digits@production", "digits@latest"]);
    assert_eq!(set.code, 0, "{}", set.err);
    let (code, record) = project.run(&gate("e08"));
    assert_eq!((code, &record["verdict"]), (3, &"error".into()), "{record:#}");
    assert_eq!(
        check(&record, "baseline", "error")["message"],
        "there is no checkpoint `digits@good`; `digits` has 4 checkpoints and the refs `production`, `rejected`; \
         `optional` excuses none once a ref of its lineage was moved (pipeline.toml:3:21)"
    );
    let (code, record) = project.run(&gate("e08").replace("from = 'digits@good'", "from = 'digits@production'"));
    assert_eq!((code, &record["baseline"]["source"]), (0, &"digits@production".into()), "{record:#}");
}

#[test]
fn what_only_a_missing_baseline_could_judge_does_not_pass() {
    let project = Project::new();
    let relative =
        gate("e08").replace("accuracy = ['>= 0.5', '>= baseline - 0.02']", "accuracy = '>= baseline - 0.02'");
    let when = gate("e08").replace("uses = 'metrics'\n", "uses = 'metrics'\nwhen = 'baseline'\n");
    for (pipeline, waits) in [(relative, "`accuracy >= baseline - 0.02`"), (when, "`metrics`")] {
        let (code, record) = project.run(&pipeline);
        assert_eq!((code, &record["verdict"]), (4, &"not-checked".into()), "{record:#}");
        let why = check(&record, "requirements", "not-checked")["message"].as_str().unwrap();
        assert!(why.starts_with(&format!("{waits}: there is no baseline yet, and nothing else is required;")), "{why}");
        assert_eq!(record["actions"], serde_json::json!([]), "no ref moves to what was not judged");
    }
    // What is only looked at waits for nothing.
    let warning =
        gate("e08").replace("uses = 'metrics'\n", "uses = 'metrics'\nwhen = 'baseline'\nseverity = 'warning'\n");
    assert_eq!(project.run(&warning).0, 0);
}

#[test]
fn what_asks_for_nothing_keeps_no_first_run_from_passing() {
    let metrics = PROBES.split_once("[[analyze]]").unwrap().0;
    for more in ["", "[[analyze]]\nuses = 'weights'\nid = 'change'\nwhen = 'baseline'\n"] {
        let pipeline = gate("e08").replace(metrics, more);
        let (code, record) = Project::new().run(&pipeline);
        assert_eq!((code, &action(&record, "move", "good")["status"]), (0, &"done".into()), "{record:#}");
    }
}

#[test]
fn earlier_runs_are_found_where_the_pipeline_keeps_them() {
    let project = Project::new();
    let text = |name: &str, rest: &str| {
        let digits = digits("e08").replace("name = 'test'", &format!("name = '{name}'"));
        format!("{digits}[[analyze]]\nuses = 'weights'\n{rest}")
    };
    std::fs::create_dir(project.path().join("configs")).unwrap();
    project.write("configs/a.toml", &text("a", "[report]\njson = '../target/a.json'\n"));
    project.write("configs/b.toml", &text("b", ""));
    project.write("configs/own.toml", &text("own", "[run]\nhistory = 'own.db'\n"));
    for it in ["a", "b", "own"] {
        let ran = project.modelwatch(&["run", &format!("configs/{it}.toml")]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(it != "a" || ran.err.contains("report: target/a.json"), "{}", ran.err);
    }
    for it in ["a", "b", "own"] {
        let pipeline = format!("configs/{it}.toml");
        let history = project.modelwatch(&["history", &pipeline]);
        assert_eq!((history.code, history.out.lines().count()), (0, 2), "{}{}", history.out, history.err);
        let report = project.modelwatch(&["report", "--pipeline", &pipeline, "--format", "json"]);
        assert_eq!(serde_json::from_str::<Value>(&report.out).unwrap()["pipeline"]["name"], it, "{}", report.err);
    }
    // With what was set for the run.
    let moved = ["run", "configs/b.toml", "--set", "run.history=moved.db", "--set", "name=moved"];
    assert_eq!(project.modelwatch(&moved).code, 0);
    let history = project.modelwatch(&[&["history"], &moved[1..]].concat());
    assert!(history.code == 0 && history.out.contains(" moved "), "{}{}", history.out, history.err);
    let report = project.modelwatch(&[&["report", "--format", "json", "--pipeline"], &moved[1..]].concat());
    assert_eq!(serde_json::from_str::<Value>(&report.out).unwrap()["pipeline"]["name"], "moved", "{}", report.err);
    let wrong = project.modelwatch(&["history", "configs/b.toml", "--set", "run.hitsory=moved.db"]);
    assert!(wrong.code == 2 && wrong.err.contains("did you mean `history`?"), "{}", wrong.err);
    assert_eq!(project.modelwatch(&["history", "--set", "name=b"]).code, 2);
    // What has not run has no last run, and another pipeline's run is none of its own.
    project.write("configs/new.toml", &text("new", ""));
    let b = project.modelwatch(&["history", "configs/b.toml"]);
    let run_of_b = b.out.lines().nth(1).unwrap().split_whitespace().next().unwrap();
    for run in ["last", run_of_b] {
        let report = project.modelwatch(&["report", run, "--pipeline", "configs/new.toml"]);
        assert_eq!((report.code, &*report.out), (2, ""), "{}", report.err);
        assert!(report.err.contains(&format!("there is no run `{run}` of the pipeline `new`")), "{}", report.err);
    }
    // The variable says where runs are kept of which no pipeline is given.
    let own = |arguments: &[&str]| {
        let output = project.command(arguments).env("MODELWATCH_HISTORY", "configs/own.db").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(own(&["history"]).contains(" own "));
    assert!(own(&["history", "configs/b.toml"]).contains(" b "));
    let nowhere = project.modelwatch(&["history"]);
    assert_eq!(nowhere.code, 2);
    assert!(nowhere.err.contains("there is no history `.modelwatch/history.db`; give the pipeline"), "{}", nowhere.err);
}

#[test]
fn a_damaged_checkpoint_is_an_error_and_is_rolled_back() {
    let project = Project::new();
    let (_, first) = project.run(&gate("e07"));
    let (code, second) = project.run(&gate("e08"));
    assert_eq!(code, 0, "{second:#}");
    // One byte of the newest pack flips on the disk.
    let id = second["checkpoint"]["id"].as_str().unwrap();
    let mut packs: Vec<_> = walk(&project.path().join("store/packs"));
    packs.sort_by_key(|it| it.metadata().unwrap().modified().unwrap());
    let newest = packs.last().unwrap();
    flip_a_bit(newest);

    let stored = gate("e08").replacen("checkpoint = {", &format!("checkpoint = {{ from = 'digits@b3:{id}' }}\n#"), 1);
    let (code, record) = project.run(&stored);
    assert_eq!((code, &record["verdict"]), (3, &"error".into()), "{record:#}");
    check(&record, "checkpoint", "error");
    let rollback = action(&record, "rollback", "production");
    assert_eq!((&rollback["status"], &rollback["to"]), (&"done".into(), &first["checkpoint"]["id"]), "{rollback}");
    let scrub = project.modelwatch(&["store", "--store", "store", "scrub"]);
    assert_eq!(scrub.code, 1, "{}", scrub.out);
    let list = project.modelwatch(&["store", "--store", "store", "list", "digits"]);
    assert!(list.out.contains("good") && list.out.contains("production"), "{}", list.out);
    // By hand, too: the damaged one cannot be deployed again.
    let spec = format!("digits@b3:{id}");
    let set = project.modelwatch(&["store", "--store", "store", "set", "digits@production", &spec]);
    assert_eq!(set.code, 3, "{}", set.out);
}

#[test]
fn a_checkpoint_comes_back_as_it_went_in() {
    let project = Project::new();
    let folder = crate::support::fixtures().join("digits/cnn/saved_model");
    let put = project.modelwatch(&["store", "--store", "store", "put", folder.to_str().unwrap(), "saved"]);
    assert_eq!(put.code, 0, "{}", put.err);
    let get = project.modelwatch(&["store", "--store", "store", "get", "saved@latest", "out"]);
    assert_eq!(get.code, 0, "{}", get.err);
    for file in walk(&folder) {
        let name = file.strip_prefix(&folder).unwrap();
        assert_eq!(fs::read(&file).unwrap(), fs::read(project.path().join("out").join(name)).unwrap(), "{name:?}");
    }
    // Where it was put to be run is nobody's business.
    let (code, record) = project.run(&format!(
        "name = 'saved'\nstore = {{ uses = 'local', with = {{ path = 'store' }} }}\ncheckpoint.from = 'saved@latest'\n\
         [data.current]\npath = '{}/digits/data/test.npz'\n[data.columns]\nlabel = 'y'\n\
         [[verify]]\nuses = 'metrics'\nwith = {{ task = 'multiclass' }}\nrequire = {{ accuracy = '>= 0.9' }}\n",
        crate::support::fixtures().display()
    ));
    assert_eq!((code, &record["models"][0]["file"]), (0, &"the checkpoint's folder".into()), "{record:#}");
}

#[test]
fn actions_tell_others() {
    let project = Project::new();
    let told = gate("e08")
        .replace("[on.fail]", "notify = { file = 'told.jsonl' }\nrun = ['sh', '-c', 'cat > told.json']\n[on.fail]");
    let (code, record) = project.run(&told);
    assert_eq!(code, 0, "{record:#}");
    for file in ["told.jsonl", "told.json"] {
        let text = fs::read_to_string(project.path().join(file)).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["run_id"], record["run_id"]);
    }
    // A pass whose action failed is not done, which who is told hears too.
    let failing = gate("e08").replace("[on.fail]", "notify = { file = 'undone.jsonl' }\nrun = ['false']\n[on.fail]");
    assert_eq!(project.run(&failing).0, 3);
    let undone = fs::read_to_string(project.path().join("undone.jsonl")).unwrap();
    let undone = serde_json::from_str::<Value>(&undone).unwrap();
    assert_eq!((&undone["verdict"], &undone["exit_code"]), (&"pass".into(), &3.into()));
}
