//! Operators of this project for what takes most of the time in networks: convolutions, products, the largest of a window,
//! normalization, softmax.
//!
//! tract unrolls the input of a convolution as a whole, or for single samples only, and leaves most of a processor's width unused
//! where matrices are small. These are written for many samples of any size, without `unsafe`: [`pulp`] chooses the instructions.
//! They run in the optimized form of a graph alone; the form as written is what they are held against.
//!
//! A NaN that comes to be on the way stays one. Deliberately not here: anything but single precision.

mod chain;
mod convolution;
mod copy;
mod dense;
mod facts;
mod finish;
mod lower;
mod matrix;
mod normalization;
mod op;
mod pairs;
mod planes;
mod replace;
mod rows;
mod shared;
mod softmax;
mod spare;
mod spread;
mod window;

pub(super) use facts::{Matrix, matrix, numbers, only_user};
pub(super) use replace::{join_rounding, replace, rewrite};
pub(super) use spare::forget as forget_spare;
