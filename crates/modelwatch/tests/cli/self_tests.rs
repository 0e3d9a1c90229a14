//! What is kept from one load of a model to the next.

use std::fs;

use serde_json::Value;

use crate::support::{Project, digits};

#[test]
fn what_came_of_a_self_test_is_kept_for_the_user() {
    let project = Project::new();
    let metrics = "[[verify]]\nuses = 'metrics'\nwith = { task = 'multiclass' }\nrequire = { accuracy = '>= 0.5' }\n";
    let pipeline = format!("{}{metrics}", digits("e08"));
    let run = || {
        let (code, record) = project.run(&pipeline);
        assert_eq!(code, 0, "{:#}", record["checks"]);
        record["findings"].as_array().unwrap().iter().map(|it| it["code"].clone()).collect::<Vec<Value>>()
    };
    assert_eq!(run(), Vec::<Value>::new());
    let files: Vec<_> = fs::read_dir(project.cache().join("self-tests")).unwrap().collect();
    let file = files[0].as_ref().unwrap().path();
    let kept = fs::read_to_string(&file).unwrap();
    // A finding does not depend on who found it.
    fs::write(&file, kept.replace(r#""fallback":null"#, r#""fallback":{"node":["a","Relu"]}"#)).unwrap();
    assert_eq!((files.len(), run()), (1, vec![Value::from("MW-R002")]));
    fs::write(&file, kept.replace(r#""rows_are_independent":true"#, r#""rows_are_independent":false"#)).unwrap();
    assert_eq!(run(), vec![Value::from("MW-R003")]);
    fs::write(&file, "damaged").unwrap();
    assert_eq!(run(), Vec::<Value>::new());
}
