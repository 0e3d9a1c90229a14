//! What is given to users: the program and its plugins, optimized as a whole, in one folder.

use std::{env::consts, fs};

use anyhow::Result;

use crate::{plugins::file_name, workspace};

pub(crate) fn dist() -> Result<()> {
    let plugins = workspace::plugins()?.into_iter().filter(|it| !it.is_fixture());
    let packages: Vec<String> = plugins.map(|it| it.package).collect();
    let mut arguments = vec!["build", "--release", "--package", "modelwatch"];
    for it in &packages {
        arguments.extend(["--package", it]);
    }
    workspace::run(&mut workspace::cargo(&arguments))?;
    let (from, to) = (workspace::target().join("release"), workspace::target().join("dist"));
    fs::create_dir_all(to.join("plugins"))?;
    let program = format!("modelwatch{}", consts::EXE_SUFFIX);
    fs::copy(from.join(&program), to.join(&program))?;
    for it in &packages {
        fs::copy(from.join(file_name(it)), to.join("plugins").join(file_name(it)))?;
    }
    let mut index = std::process::Command::new(to.join(&program));
    workspace::run(index.args(["plugin", "index"]).arg(to.join("plugins")))?;
    println!("{}", to.display());
    Ok(())
}
