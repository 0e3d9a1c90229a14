//! What stays in a store, what goes into it, and what refs may point at.

use std::fs;

use serde_json::Value;

use crate::support::{Ended, Project};

/// A pipeline whose checkpoint is `m.bin` of lineage `digits`, with a policy.
fn policy(rules: &str) -> String {
    format!(
        "name = 'test'\nstore = {{ uses = 'local', with = {{ path = 'store' }} }}\n\
         [[analyze]]\nuses = 'weights'\n[checkpoint]\nimport = 'm.bin'\nname = 'digits'\n{rules}\n"
    )
}

fn store(project: &Project, arguments: &[&str]) -> Ended {
    project.modelwatch(&[&["store", "--pipeline", "pipeline.toml"], arguments].concat())
}

fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.out).unwrap_or_else(|e| panic!("{e}: {}{}", ended.out, ended.err))
}

/// Stores so many checkpoints and returns their ids.
fn stored(project: &Project, n: usize) -> Vec<String> {
    let put = |at: usize| {
        project.write("m.bin", &format!("weights {at}"));
        let put = project.modelwatch(&["store", "--store", "store", "put", "m.bin", "digits"]);
        assert_eq!(put.code, 0, "{}", put.err);
        put.out.trim().to_owned()
    };
    (0..n).map(put).collect()
}

#[test]
fn pruning_says_why_each_one_stays_or_goes() {
    let project = Project::new();
    let ids = stored(&project, 6);
    project.write("pipeline.toml", &policy("keep = { last = 2, grace = '0s' }"));
    let pin = store(&project, &["set", "digits@pinned", &format!("digits@b3:{}", ids[1])]);
    assert_eq!(pin.code, 0, "{}", pin.err);

    let would = store(&project, &["prune", "--dry-run"]);
    assert_eq!(would.code, 0, "{}", would.err);
    assert!(would.out.contains("ref pinned") && would.out.contains("no rule keeps it"), "{}", would.out);
    assert!(would.out.contains("3 of 6 checkpoints would be removed"), "{}", would.out);
    assert!(would.out.contains("or are stored as differences to, would be kept"), "{}", would.out);
    // The day that is the default keeps what was stored just now.
    let young = json(&store(&project, &["prune", "--grace", "24h", "--json"]));
    assert_eq!((&young["removed"], &young["dry_run"]), (&0.into(), &false.into()));

    let pruned = json(&store(&project, &["prune", "digits", "--json"]));
    let stays: Vec<_> = pruned["checkpoints"].as_array().unwrap().iter().map(|it| it["stays"] == true).collect();
    assert_eq!(stays, [false, true, false, false, true, true], "{pruned:#}");
    assert_eq!(pruned["removed"], 3);
    let newest = pruned["checkpoints"][5]["why"].as_array().unwrap();
    assert_eq!(newest, &["newest", "number 1 of the last"]);
    let list = store(&project, &["list", "digits"]);
    assert!(list.out.contains(&ids[1][..12]) && !list.out.contains(&ids[2][..12]), "{}", list.out);
    // Without a grace period what was marked is deleted at once.
    assert!(pruned["collected"]["swept"]["files"].as_u64() > Some(0), "{pruned:#}");
    let collected = json(&store(&project, &["gc", "--grace", "0s", "--json"]));
    assert_eq!(collected["swept"]["files"], 0, "{collected:#}");
    let again = store(&project, &["prune"]);
    assert!(again.out.contains("0 of 3 checkpoints were removed"), "{}", again.out);
    let scrub = store(&project, &["scrub"]);
    assert_eq!(scrub.code, 0, "{}", scrub.out);
    for at in [1, 4, 5] {
        let out = format!("out-{at}");
        let get = store(&project, &["get", &format!("digits@b3:{}", ids[at]), &out]);
        assert_eq!(get.code, 0, "{}", get.err);
    }
}

#[test]
fn a_damaged_checkpoint_is_no_reason_to_remove_a_sound_one() {
    let project = Project::new();
    let packs = || crate::support::walk(&project.path().join("store/packs"));
    let ids = stored(&project, 2);
    let before = packs();
    // Large enough for its middle to be in what is read.
    let noise: Vec<u8> = (0..4096_u32).map(|it| (it.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(project.path().join("m.bin"), noise).unwrap();
    let put = project.modelwatch(&["store", "--store", "store", "put", "m.bin", "digits"]);
    let newest = put.out.trim();
    crate::support::flip_a_bit(&packs().into_iter().find(|it| !before.contains(it)).unwrap());
    project.write("pipeline.toml", &policy("keep = { last = 1, grace = '0s' }"));
    let pruned = json(&store(&project, &["prune", "--json"]));
    let why: Vec<_> = pruned["checkpoints"].as_array().unwrap().iter().map(|it| it["why"].to_string()).collect();
    let sound = r#"["newest that is not damaged","number 1 of the last"]"#;
    assert_eq!(why, ["[]", sound, r#"["newest","damaged"]"#], "{pruned:#}");
    assert_eq!(store(&project, &["get", &format!("digits@b3:{newest}"), "damaged"]).code, 3);
    let get = store(&project, &["get", &format!("digits@b3:{}", ids[1]), "sound"]);
    assert_eq!(get.code, 0, "{}", get.err);
}

/// Publishes a hand-off of that step and loss.
fn publish(project: &Project, step: u64, loss: &str) -> String {
    let name = format!("step-{step}");
    fs::create_dir(project.path().join(&name)).unwrap();
    project.write(&format!("{name}/weights.bin"), "abc");
    let manifest = format!(
        r#"{{"version": 1, "step": {step}, "time": 2.5, "framework": "x", "metrics": {{"loss": {loss}}},
            "files": [{{"path": "weights.bin", "bytes": 3, "sha256": "{ABC}"}}]}}"#
    );
    project.write(&format!("{name}/checkpoint.json"), &manifest);
    name
}

/// The steps of what is stored; a loss that is not a number is never the best.
const STEPS: [(u64, &str); 7] =
    [(100, "0.9"), (250, "0.2"), (300, "NaN"), (400, "0.5"), (500, "0.1"), (600, "-Infinity"), (700, "0.3")];

#[test]
fn every_rule_keeps_what_it_says_and_the_newest() {
    let project = Project::new();
    project.write("pipeline.toml", &policy(""));
    for (step, loss) in STEPS {
        assert_eq!(store(&project, &["put", &publish(&project, step, loss), "digits"]).code, 0, "{step}");
    }
    for (rule, kept) in [
        ("last = 2", &[600, 700][..]),
        ("best = { metric = 'loss', mode = 'min', n = 2 }", &[250, 500, 700]),
        ("best = { metric = 'loss', mode = 'max', n = 1 }", &[100, 700]),
        ("every_steps = 250", &[100, 250, 500, 700]),
        ("within = '1h'", &[100, 250, 300, 400, 500, 600, 700]),
        ("last = 1, every_steps = 500", &[100, 500, 700]),
    ] {
        project.write("pipeline.toml", &policy(&format!("keep = {{ {rule}, grace = '0s' }}")));
        let would = json(&store(&project, &["prune", "--dry-run", "--json"]));
        let all = would["checkpoints"].as_array().unwrap().iter().zip(STEPS);
        let stays: Vec<_> = all.filter(|it| it.0["stays"] == true).map(|it| it.1.0).collect();
        assert_eq!(stays, kept, "{rule}: {would:#}");
    }
}

#[test]
fn every_rule_stores_what_it_says_and_the_first() {
    for (rule, stored) in [
        ("every_steps = 200", &[100, 300, 500, 700][..]),
        ("every = '1h'", &[100]),
        ("improved = { metric = 'loss', mode = 'min', min_delta = 0.15 }", &[100, 250]),
        ("improved = { metric = 'loss', mode = 'max' }", &[100]),
        ("on_signal = true", &[100]),
        ("on_signal = true, every_steps = 300", &[100, 400, 700]),
    ] {
        let project = Project::new();
        project.write("pipeline.toml", &policy(&format!("save = {{ {rule} }}")));
        let is_stored = |(step, loss)| match store(&project, &["put", &publish(&project, step, loss), "digits"]) {
            Ended { code: 0, .. } => true,
            Ended { code: 4, err, .. } => !err.contains("no rule of `[checkpoint.save]`"),
            Ended { err, .. } => panic!("{rule}, {step}: {err}"),
        };
        let found: Vec<_> = STEPS.into_iter().filter(|it| is_stored(*it)).map(|it| it.0).collect();
        assert_eq!(found, stored, "{rule}");
    }
}

#[test]
fn without_a_policy_nothing_is_pruned() {
    let project = Project::new();
    stored(&project, 2);
    project.write("pipeline.toml", &policy(""));
    for arguments in
        [&["store", "--store", "store", "prune", "digits"][..], &["store", "--pipeline", "pipeline.toml", "prune"]]
    {
        let ended = project.modelwatch(arguments);
        assert_eq!(ended.code, 2, "{}", ended.out);
        assert!(ended.err.contains("[checkpoint.keep]"), "{}", ended.err);
    }
}

#[test]
fn a_run_prunes_where_the_policy_says_so() {
    let project = Project::new();
    stored(&project, 4);
    let gate = |prune: bool| {
        let digits = crate::support::digits("e08");
        let keep = format!(
            "store = {{ uses = 'local', with = {{ path = 'store' }} }}\n\
             checkpoint.keep = {{ last = 1, grace = '0s', prune = {prune} }}\n"
        );
        let digits = digits.replacen("checkpoint = { import = ", "checkpoint.import = ", 1);
        let digits = digits.replacen(", name = 'digits' }", "\ncheckpoint.name = 'digits'", 1);
        format!("{}[[analyze]]\nuses = 'weights'\n", digits.replacen('\n', &format!("\n{keep}"), 1))
    };
    let (code, record) = project.run(&gate(false));
    assert_eq!((code, record["actions"].as_array().unwrap().len()), (0, 0), "{record:#}");
    let (code, record) = project.run(&gate(true));
    assert_eq!(code, 0, "{record:#}");
    let action = &record["actions"][0];
    assert_eq!((&action["kind"], &action["ref"]), (&"prune".into(), &"digits".into()));
    assert_eq!((&action["status"], &action["message"]), (&"done".into(), &"4 of 5 checkpoints were removed".into()));
}

/// SHA-256 of `abc`, from FIPS 180-4.
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

#[test]
fn a_hand_off_is_held_against_its_manifest_before_it_is_stored() {
    let project = Project::new();
    let step = project.path().join("step-7");
    fs::create_dir(&step).unwrap();
    fs::write(step.join("weights.bin"), "abc").unwrap();
    let manifest = format!(
        r#"{{"version": 1, "step": 7, "time": 2.5, "framework": "keras 3", "metrics": {{"loss": NaN, "accuracy": 0.5}},
            "files": [{{"path": "weights.bin", "bytes": 3, "sha256": "{ABC}"}}]}}"#
    );
    fs::write(step.join("checkpoint.json"), manifest).unwrap();
    let put = || project.modelwatch(&["store", "--store", "store", "put", "step-7", "digits"]);
    let first = put();
    assert_eq!(first.code, 0, "{}", first.err);
    // A verdict that was handed back makes no other checkpoint of it.
    fs::write(step.join("verdict.json"), "{}").unwrap();
    assert_eq!(put().out, first.out);
    let show = json(&project.modelwatch(&["store", "--store", "store", "show", "digits@latest", "--json"]));
    assert_eq!((&show["metadata"]["step"], &show["metadata"]["metrics"]["accuracy"]), (&7.into(), &0.5.into()));

    fs::write(step.join("weights.bin"), "abd").unwrap();
    fs::write(step.join("more.bin"), "").unwrap();
    let refused = put();
    assert_eq!(refused.code, 3, "{}", refused.out);
    assert!(refused.err.contains("has SHA-256") && refused.err.contains("more.bin"), "{}", refused.err);
    let list = project.modelwatch(&["store", "--store", "store", "list", "digits"]);
    assert_eq!(list.out.lines().count(), 2, "{}", list.out);
}

#[test]
fn weights_that_are_not_finite_are_refused_where_the_pipeline_says_so() {
    let project = Project::new();
    let mut npy = b"\x93NUMPY\x01\0\x46\0{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }".to_vec();
    npy.resize(79, b' ');
    npy.push(b'\n');
    for value in [1.0, f32::NAN, f32::INFINITY] {
        npy.extend(value.to_le_bytes());
    }
    fs::write(project.path().join("w.npy"), npy).unwrap();
    project.write("pipeline.toml", &policy("refuse_nonfinite = true"));
    let refused = store(&project, &["put", "w.npy", "digits"]);
    assert_eq!(refused.code, 3, "{}", refused.out);
    assert!(refused.err.contains("is NaN at element 1, so that nothing was stored"), "{}", refused.err);
    // What nobody can look into is not known to be finite.
    project.write("m.bin", "no tensors");
    let unknown = store(&project, &["put", "m.bin", "digits"]);
    assert_eq!(unknown.code, 3, "{}", unknown.out);
    assert!(unknown.err.contains("cannot be told"), "{}", unknown.err);
    assert_eq!(store(&project, &["list"]).out.lines().count(), 1);
    project.write("pipeline.toml", &policy(""));
    assert_eq!(store(&project, &["put", "w.npy", "digits"]).code, 0);
}

/// The gate for the digits network, with one more line at its beginning and its end.
fn gate(model: &str, actions: &str) -> String {
    let store = "store = { uses = 'local', with = { path = 'store' } }\n";
    let digits = crate::support::digits(model).replacen('\n', &format!("\n{store}"), 1);
    // Who asks for nothing verifies nothing.
    let require = if actions.starts_with("require") { "" } else { "require = { accuracy = '>= 0' }\n" };
    format!("{digits}[[verify]]\nuses = 'metrics'\nwith = {{ task = 'multiclass' }}\n{require}{actions}\n")
}

#[test]
fn a_ref_that_flaps_is_held_until_somebody_looks() {
    let project = Project::new();
    let (code, good) = project.run(&gate("e08", "[on.pass]\nmove = ['production']"));
    assert_eq!(code, 0, "{good:#}");
    let file = crate::support::fixtures().join("digits/cnn_series/bad_diverged.onnx");
    let put = store(&project, &["put", file.to_str().unwrap(), "digits"]);
    let bad = format!("digits@b3:{}", put.out.trim());
    let fail = gate("bad_diverged", "require = { accuracy = '>= 0.5' }\n[on.fail]\nrollback = 'production'");
    for held in [false, false, false, true] {
        assert_eq!(store(&project, &["set", "digits@production", &bad, "--force"]).code, 0);
        let (code, record) = project.run(&fail);
        assert_eq!(code, 1, "{record:#}");
        let action = &record["actions"][0];
        assert_eq!(action["status"], if held { "failed" } else { "done" }, "{action}");
        assert!(!held || action["message"].as_str().unwrap().contains("until a person has looked"), "{action}");
    }
    let by_hand = store(&project, &["rollback", "digits@production"]);
    assert_eq!(by_hand.code, 3, "{}", by_hand.out);
    assert!(by_hand.err.contains("rolled back 3 times within 3600 seconds"), "{}", by_hand.err);
    let forced = store(&project, &["rollback", "digits@production", "--force"]);
    assert_eq!(forced.code, 0, "{}", forced.err);
    let log = store(&project, &["log", "digits@production"]);
    assert_eq!(log.out.lines().count(), 10, "{}", log.out);
    assert!(log.out.contains("rollback: fail by run") && !log.out.contains("was stored"), "{}", log.out);
    assert_eq!(store(&project, &["log", "digits@prod"]).code, 2);
}

#[test]
fn a_ref_that_requires_verified_checkpoints_takes_no_others() {
    let project = Project::new();
    let rules = "[refs.production]\nrequire = 'verified'\n";
    let fail = format!("require = {{ accuracy = '>= 1.1' }}\n{rules}[on.fail]\nmove = ['production']");
    let (code, record) = project.run(&gate("e08", &fail));
    assert_eq!((code, &record["actions"][0]["status"]), (1, &"failed".into()), "{record:#}");
    let by_hand = store(&project, &["set", "digits@production", "digits@latest"]);
    assert_eq!(by_hand.code, 3, "{}", by_hand.out);
    assert!(by_hand.err.contains("requires verified checkpoints"), "{}", by_hand.err);
    let (code, record) = project.run(&gate("e08", &format!("{rules}[on.pass]\nmove = ['production']")));
    assert_eq!((code, &record["actions"][0]["status"]), (0, &"done".into()), "{record:#}");
}

#[test]
fn no_ref_is_moved_to_a_checkpoint_that_was_failed_unawares() {
    let project = Project::new();
    let (code, record) = project.run(&gate("e08", "require = { accuracy = '>= 1.1' }"));
    assert_eq!(code, 1, "{record:#}");
    let refused = store(&project, &["set", "digits@production", "digits@latest"]);
    assert_eq!(refused.code, 3, "{}", refused.out);
    assert!(refused.err.contains("was failed by `test`") && refused.err.contains("--force"), "{}", refused.err);
    let forced = store(&project, &["set", "digits@production", "digits@latest", "--force", "--reason", "no other"]);
    assert_eq!(forced.code, 0, "{}", forced.err);
    let log = store(&project, &["log", "digits@production"]);
    assert!(log.out.contains("no other (forced: ") && log.out.contains("was failed by `test`"), "{}", log.out);
    // What is there already does not move.
    assert_eq!(store(&project, &["set", "digits@production", "digits@latest"]).code, 0);
    // Judged once more, it is good.
    assert_eq!(project.run(&gate("e08", "")).0, 0);
    assert_eq!(store(&project, &["set", "digits@new", "digits@latest"]).code, 0);
}

#[test]
fn a_rollback_goes_only_where_the_ref_could_be_set() {
    let project = Project::new();
    let rules = "[refs.production]\nrequire = 'verified-by-this-pipeline'\n";
    let strict = |model: &str| {
        gate(model, &format!("require = {{ accuracy = '>= 0.9' }}\n{rules}[on.pass]\nmove = ['production']"))
    };
    // Known to be good, but by what another pipeline asks for.
    let (code, lax) = project.run(&gate("e07", rules));
    assert_eq!(code, 0, "{lax:#}");
    let (code, good) = project.run(&strict("e08"));
    assert_eq!((code, &good["actions"][0]["status"]), (0, &"done".into()), "{good:#}");
    let lax = format!("digits@b3:{}", lax["checkpoint"]["id"].as_str().unwrap());
    let set = store(&project, &["set", "digits@production", &lax]);
    assert!(set.code == 3 && set.err.contains("with other settings"), "{}{}", set.out, set.err);
    let back = store(&project, &["rollback", "digits@production"]);
    assert!(
        back.code == 3 && back.err.contains("passed over") && back.err.contains("with other settings"),
        "{}",
        back.err
    );
    let forced = store(&project, &["rollback", "digits@production", "--force"]);
    assert_eq!(forced.code, 3, "what flaps may be forced, what is not verified not: {}", forced.out);

    // A run goes no further than a person.
    let fail = format!("require = {{ accuracy = '>= 1.1' }}\n{rules}[on.fail]\nrollback = 'production'");
    let (code, record) = project.run(&gate("e08", &fail));
    let action = &record["actions"][0];
    assert_eq!((code, &action["status"]), (1, &"failed".into()), "{record:#}");
    assert!(action["message"].as_str().unwrap().contains("requires verified checkpoints"), "{action}");

    // Judged by this pipeline, it is a place to go back to.
    assert_eq!(project.run(&strict("e07")).0, 0);
    assert_eq!(project.run(&strict("e08")).0, 0);
    let back = store(&project, &["rollback", "digits@production"]);
    assert_eq!(back.code, 0, "{}", back.err);
}

#[test]
fn what_a_rollback_passes_over_is_no_error_and_latest_goes_nowhere() {
    let project = Project::new();
    let packs = || crate::support::walk(&project.path().join("store/packs"));
    let mut before = Vec::new();
    for model in ["e06", "e07", "e08"] {
        let (code, record) = project.run(&gate(model, "[on.pass]\nmove = ['production']"));
        assert_eq!(code, 0, "{record:#}");
        if model == "e07" {
            packs().iter().filter(|it| !before.contains(*it)).for_each(|it| crate::support::flip_a_bit(it));
        }
        before = packs();
    }
    let back = store(&project, &["rollback", "digits@production"]);
    assert_eq!(back.code, 0, "{}", back.err);
    assert!(back.err.contains("passed over") && !back.err.contains("error"), "{}", back.err);
    let newest = || store(&project, &["show", "digits@latest", "--json"]).out;
    let at = newest();
    for command in [&["rollback", "digits@latest"][..], &["set", "digits@latest", "digits@production"]] {
        let refused = store(&project, command);
        assert_eq!(refused.code, 2, "{}", refused.out);
        assert!(
            refused.err.contains("`latest` is always the newest checkpoint; choose another name"),
            "{}",
            refused.err
        );
    }
    assert_eq!(newest(), at);
}

#[test]
fn what_stands_in_for_a_checkpoint_is_said() {
    let project = Project::new();
    let (_, good) = project.run(&gate("e07", "[on.pass]\nmove = ['production']"));
    let good = good["checkpoint"]["id"].as_str().unwrap().to_owned();
    let packs = || crate::support::walk(&project.path().join("store/packs"));
    let before = packs();
    let noise: Vec<u8> = (0..4096_u32).map(|it| (it.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(project.path().join("m.bin"), noise).unwrap();
    let damaged = store(&project, &["put", "m.bin", "digits"]).out.trim().to_owned();
    let pack = packs().into_iter().find(|it| !before.contains(it)).unwrap();
    crate::support::flip_a_bit(&pack);
    assert_eq!(store(&project, &["set", "digits@pinned", &format!("digits@b3:{damaged}")]).code, 3);

    let exact = store(&project, &["get", "digits@latest", "out"]);
    assert_eq!((exact.code, project.path().join("out").exists()), (3, false), "{}", exact.out);
    for policy in ["latest", "last-known-good"] {
        let served = store(&project, &["get", "digits@latest", policy, "--policy", policy, "--json"]);
        assert_eq!(served.code, 0, "{}", served.err);
        let report = json(&served);
        assert_eq!((&report["requested"], &report["served"]), (&damaged.as_str().into(), &good.as_str().into()));
        let skipped = report["skipped"].as_array().unwrap();
        assert_eq!((skipped.len(), &skipped[0]["id"]), (1, &damaged.as_str().into()));
        assert!(!skipped[0]["why"].as_str().unwrap().is_empty(), "{report:#}");
        assert!(project.path().join(policy).join("e07.onnx").is_file());
    }
    // Where it was staged is gone.
    let left = fs::read_dir(project.path()).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
    assert_eq!(left.filter(|it| it.starts_with(".modelwatch-")).count(), 0);
    let said = store(&project, &["get", "digits@latest", "again", "--policy", "latest"]);
    assert!(said.out.contains("was requested") && said.out.contains("passed over"), "{}", said.out);
    // What nothing is wrong with is served as it is.
    let same = json(&store(&project, &["get", "digits@production", "p", "--policy", "last-known-good", "--json"]));
    assert_eq!((&same["served"], &same["skipped"]), (&good.as_str().into(), &serde_json::json!([])));
}

#[test]
fn what_no_rule_wants_is_not_stored() {
    let project = Project::new();
    let rules = "save = { changed = 0.01, every = '1h' }";
    project.write("pipeline.toml", &policy(rules));
    let model = |name: &str| crate::support::fixtures().join(format!("digits/cnn_series/{name}.onnx"));
    let put = |name: &str, more: &[&str]| {
        store(&project, &[&["put", model(name).to_str().unwrap(), "digits"], more].concat())
    };
    assert_eq!(put("e07", &[]).code, 0);
    let same = put("e07", &[]);
    assert_eq!((same.code, same.out.as_str()), (4, ""), "{}", same.err);
    assert!(same.err.contains("seconds old, less than 3600; the weights changed by 0.000e0"), "{}", same.err);
    assert_eq!(put("e07", &["--allow-empty"]).code, 0);
    let changed = put("e08", &[]);
    assert_eq!(changed.code, 0, "{}", changed.err);

    let save = "store = { uses = 'local', with = { path = 'store' } }\n\
                checkpoint.save = { every_steps = 10, improved = { metric = 'loss', mode = 'min' } }\n";
    let digits = crate::support::digits("e07").replacen("checkpoint = { import = ", "checkpoint.import = ", 1);
    let digits = digits.replacen(", name = 'digits' }", "\ncheckpoint.name = 'digits'", 1);
    let digits = digits.replacen('\n', &format!("\n{save}"), 1);
    let text = format!("{digits}[[analyze]]\nuses = 'weights'\n[on.not_checked]\nmove = ['production']\n");
    let (code, record) = project.run(&text);
    assert_eq!((code, &record["verdict"], &record["checkpoint"]), (4, &"not-checked".into(), &Value::Null));
    let why = crate::support::check(&record, "checkpoint", "not-checked")["message"].as_str().unwrap();
    assert!(why.contains("it does not say its step; it has no finite `loss`"), "{why}");
    assert_eq!(record["actions"], serde_json::json!([]));
    let empty = project.modelwatch(&["run", "pipeline.toml", "--allow-empty", "--quiet"]);
    assert_eq!(empty.code, 0, "{}", empty.out);
    let list = store(&project, &["list", "digits"]);
    assert_eq!(list.out.lines().count(), 3, "{}", list.out);
}
