//! Does nothing: without it, cargo would not look at `[build-dependencies]`, whose manifest says what they are for.
#![allow(clippy::print_stdout)] // So is cargo told.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
