//! The fault matrix of the store on real file systems: processes that are killed, disks that fail, fill up and lose
//! power. Each test is a row and is called `row_NUMBER_…`; `cargo xtask crash` runs them for longer.
//!
//! What a row needs and does not find, such as root, loop devices or `strace`, is said by name, and the row is skipped. These tests are about processes and time: they wait, unlike others.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod blocks;
mod calls;
mod harness;
mod kills;
mod limits;
mod mounts;
mod power;
mod recorder;
mod versions;
mod writers;
