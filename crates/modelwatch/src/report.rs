//! Reports of a run: for the terminal, for CI, and as one self-contained page.
//!
//! All of them are functions of the record alone, and everything in it is taken for hostile:
//! names and messages come from data files, models and plugins. Their size depends on what the
//! record lists, never on rows, and is bounded; what is left out is said.

mod files;
mod github;
mod html;
mod human;
mod junit;
mod markdown;
mod svg;
pub(crate) mod text;
mod view;

#[cfg(test)]
mod colors;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

pub(crate) use self::{
    github::{diagnostics, github},
    html::html,
    human::human,
    junit::junit,
    markdown::markdown,
};
