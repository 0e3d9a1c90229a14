//! Prints the page `docs/tensorflow-operators.md`, for `cargo xtask codegen`.
#![allow(clippy::print_stdout)]

fn main() {
    print!("{}", modelwatch_infer::tensorflow_operators());
}
