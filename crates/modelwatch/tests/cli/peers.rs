//! What broke other tools that watch models and data, as far as it is about the program as a whole.
//!
//! What broke them in the data has its tests beside the analyzers: false alarms of categories, unseen categories, outliers that hide a
//! shift, missing values, constants, huge numbers, whole numbers beyond 2^53 and bad columns in `analyze-drift/tests/hard_columns.rs`,
//! a single NaN weight and layers of zeros in `analyze-weights`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::support::{Project, digits, plugins, repository, walk};

/// deepchecks' outlier check ends at ten projected seconds of wall clock, so that what it finds depends on the load of the machine.
#[test]
fn no_probe_reads_a_clock() {
    const CLOCKS: [&str; 5] = ["SystemTime", "Instant", "Timestamp::now", "Zoned::now", "clock_gettime"];
    let is_probe = |it: &Path| {
        let name = it.file_name().unwrap().to_str().unwrap();
        ["analyze-", "verify-", "estimate-"].iter().any(|kind| name.starts_with(kind))
    };
    let plugins = fs::read_dir(repository().join("plugins")).unwrap().map(|it| it.unwrap().path());
    let mut crates: Vec<PathBuf> = plugins.filter(|it| is_probe(it)).collect();
    assert!(crates.len() >= 12, "{crates:?}");
    // What they are made with.
    crates
        .extend(["sdk", "stats", "profile", "tensors"].map(|it| repository().join(format!("crates/modelwatch-{it}"))));
    for file in crates.iter().flat_map(|it| walk(&it.join("src"))) {
        let text = fs::read_to_string(&file).unwrap();
        let code = text.lines().filter(|it| !it.trim_start().starts_with("//"));
        let found: Vec<_> = code.filter(|it| CLOCKS.iter().any(|clock| it.contains(clock))).collect();
        assert!(found.is_empty(), "{}: {found:?}", file.display());
    }
}

/// Of the others that are installed as a package of Python, most fail at import or need hand-picked versions of theirs.
#[test]
fn the_program_runs_where_nothing_else_is_installed() {
    let project = Project::new();
    let verify = "[[verify]]\nuses = 'metrics'\nwith = { task = 'multiclass' }\nrequire = { accuracy = '>= 0.5' }\n";
    let pipeline = digits("e08") + verify;
    project.write("pipeline.toml", &pipeline);
    let mut command = project.command(&["run", "pipeline.toml", "--quiet"]);
    command.env_clear().env("PATH", "").env("MODELWATCH_PLUGIN_PATH", plugins()).env("HOME", project.path());
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[cfg(all(target_os = "linux", target_pointer_width = "64", target_endian = "little"))]
#[test]
fn the_program_and_its_plugins_need_no_library_beyond_those_of_c() {
    // The loader, the parts of the C library, and what unwinds a panic.
    const OF_C: [&str; 7] = ["ld-linux", "libc.", "libdl.", "libgcc_s.", "libm.", "libpthread.", "librt."];
    let is_library = |it: &PathBuf| it.extension().is_some_and(|it| it == "so");
    let mut files: Vec<_> = walk(&plugins()).into_iter().filter(is_library).collect();
    assert!(!files.is_empty());
    files.push(env!("CARGO_BIN_EXE_modelwatch").into());
    for file in files {
        let needed = elf::needed(&fs::read(&file).unwrap());
        assert!(needed.iter().any(|it| it.starts_with("libc.")), "{}: {needed:?}", file.display());
        let others: Vec<_> = needed.iter().filter(|it| !OF_C.iter().any(|of_c| it.starts_with(of_c))).collect();
        assert!(others.is_empty(), "{}: {others:?}", file.display());
    }
}

/// As much of the format of programs and libraries as says what they are linked with.
#[cfg(all(target_os = "linux", target_pointer_width = "64", target_endian = "little"))]
mod elf {
    const LOAD: u64 = 1;
    const DYNAMIC: u64 = 2;
    const NEEDED: u64 = 1;
    const STRINGS: u64 = 5;

    /// Returns the names of the libraries that a file is to be loaded with.
    pub(super) fn needed(file: &[u8]) -> Vec<String> {
        assert_eq!(&file[..5], b"\x7fELF\x02");
        let number = |at: u64, size: usize| {
            let mut bytes = [0; 8];
            bytes[..size].copy_from_slice(&file[at as usize..at as usize + size]);
            u64::from_le_bytes(bytes)
        };
        let (first, size, n) = (number(32, 8), number(54, 2), number(56, 2));
        // Of each segment: its kind, its place in the file, its address and its length.
        let segments: Vec<[u64; 4]> = (0..n)
            .map(|it| first + it * size)
            .map(|at| [number(at, 4), number(at + 8, 8), number(at + 16, 8), number(at + 32, 8)])
            .collect();
        let [_, start, _, length] = *segments.iter().find(|it| it[0] == DYNAMIC).unwrap();
        let entries: Vec<(u64, u64)> =
            (start..start + length).step_by(16).map(|at| (number(at, 8), number(at + 8, 8))).collect();
        let address = entries.iter().find(|it| it.0 == STRINGS).unwrap().1;
        let holds = |it: &&[u64; 4]| it[0] == LOAD && (it[2]..it[2] + it[3]).contains(&address);
        let [_, offset, at, _] = *segments.iter().find(holds).unwrap();
        let name = |it: u64| {
            let bytes = file[(address - at + offset + it) as usize..].iter().take_while(|it| **it != 0);
            String::from_utf8(bytes.copied().collect()).unwrap()
        };
        entries.iter().filter(|it| it.0 == NEEDED).map(|it| name(it.1)).collect()
    }
}
