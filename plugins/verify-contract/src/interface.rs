//! Inputs and outputs against those that callers rely on.

use modelwatch_sdk::{about::Port, report::Finding};

use crate::{
    config::{Axis, PortContract},
    dtype,
    sheet::{error, warning},
};

/// Which side of a model.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Input,
    Output,
}

impl Side {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
        }
    }
}

/// Returns the contract that a model's ports are.
pub(crate) fn contract_of(ports: &[Port]) -> Vec<PortContract> {
    let axis = |it: &Option<u64>| it.map_or_else(|| Axis::Dynamic("n".to_owned()), Axis::Size);
    let one = |it: &Port| PortContract {
        name: it.name.clone(),
        dtype: Some(it.dtype.clone()),
        shape: Some(it.shape.iter().map(axis).collect()),
    };
    ports.iter().map(one).collect()
}

/// Returns what breaks callers who rely on `expected`, which is `whose`: "the contract", "the baseline".
pub(crate) fn breaks(side: Side, expected: &[PortContract], actual: &[Port], whose: &str) -> Vec<Finding> {
    let mut res = Vec::new();
    let extra: Vec<_> = actual.iter().filter(|it| expected.iter().all(|other| other.name != it.name)).collect();
    for it in expected {
        match actual.iter().find(|port| port.name == it.name) {
            Some(port) => {
                res.extend(other_type(side, it, port, whose));
                res.extend(other_shape(side, it, port, whose));
            }
            None => res.push(missing(side, it, &extra, whose)),
        }
    }
    let word = side.word();
    for it in &extra {
        let message = format!("the model has the {word} `{}`, which is not in {whose}", it.name);
        res.push(match side {
            Side::Input => {
                error("MW-C001", &it.name, message, "export the model without it, or tell its callers first")
            }
            Side::Output => {
                warning("MW-C001", &it.name, message, "take it into the contract, so that it is held to it")
            }
        });
    }
    let order = |names: &mut dyn Iterator<Item = &String>| names.cloned().collect::<Vec<_>>();
    let (before, now) = (order(&mut expected.iter().map(|it| &it.name)), order(&mut actual.iter().map(|it| &it.name)));
    if extra.is_empty() && res.is_empty() && before != now {
        let message = format!("the {word}s are in another order than in {whose}: {}", now.join(", "));
        res.push(warning(
            "MW-C001",
            &now[0],
            message,
            "callers that go by position get other values; export them in order",
        ));
    }
    res
}

fn missing(side: Side, it: &PortContract, extra: &[&Port], whose: &str) -> Finding {
    let word = side.word();
    let renamed = match extra {
        [] => String::new(),
        [only] => format!("; was it renamed to `{}`?", only.name),
        several => {
            let names: Vec<_> = several.iter().map(|it| format!("`{}`", it.name)).collect();
            format!("; was it renamed to one of {}?", names.join(", "))
        }
    };
    let message = format!("the model has no {word} `{}`, which {whose} has{renamed}", it.name);
    error("MW-C001", &it.name, message, "export the model with the names that its callers use")
}

fn other_type(side: Side, expected: &PortContract, port: &Port, whose: &str) -> Option<Finding> {
    let wanted = expected.dtype.as_deref()?;
    let wanted = dtype::normal(wanted).unwrap_or(wanted);
    if wanted == dtype::normal(&port.dtype).unwrap_or(&port.dtype) {
        return None;
    }
    let word = side.word();
    let message = format!("{word} `{}` is {}, in {whose} it is {wanted}", port.name, port.dtype);
    Some(error("MW-C002", &port.name, message, "export the model with that type, or tell its callers first"))
}

fn other_shape(side: Side, expected: &PortContract, port: &Port, whose: &str) -> Option<Finding> {
    let wanted = expected.shape.as_ref()?;
    let fits = |(at, (wanted, actual)): (usize, (&Axis, &Option<u64>))| match (wanted, actual) {
        (Axis::Size(a), Some(b)) => a == b,
        // A caller may give, or must take, only what was agreed. What is open in the model is what was agreed, too,
        // where it is an input or the batch.
        (Axis::Size(_), None) => side == Side::Input || at == 0,
        (Axis::Dynamic(_), Some(_)) => side == Side::Output && at > 0,
        (Axis::Dynamic(_), None) => true,
    };
    if wanted.len() == port.shape.len() && wanted.iter().zip(&port.shape).enumerate().all(fits) {
        return None;
    }
    let agreed = wanted.iter().map(|it| match it {
        Axis::Size(it) => it.to_string(),
        Axis::Dynamic(_) => "?".to_owned(),
    });
    let agreed = agreed.collect::<Vec<_>>().join(", ");
    let word = side.word();
    let message = format!("{word} `{}` is [{}], in {whose} it is [{agreed}]", port.name, shape(&port.shape));
    Some(error("MW-C003", &port.name, message, "export the model with that shape, or tell its callers first"))
}

/// Returns the dimensions as text.
pub(crate) fn shape(axes: &[Option<u64>]) -> String {
    let axes: Vec<_> = axes.iter().map(|it| it.map_or_else(|| "?".to_owned(), |it| it.to_string())).collect();
    axes.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(name: &str, dtype: &str, shape: &[Option<u64>]) -> Port {
        Port { name: name.to_owned(), dtype: dtype.to_owned(), shape: shape.to_vec() }
    }

    #[track_caller]
    fn check(side: Side, before: &[Port], now: &[Port], expected: &[&str]) {
        let found = breaks(side, &contract_of(before), now, "the baseline");
        let found: Vec<_> =
            found.iter().map(|it| format!("{} {} {}", it.code, it.severity.as_str(), it.place)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_breaks_callers_is_told() {
        let x = port("x", "f32", &[None, Some(8)]);
        let check = |side, now: &[Port], expected: &[&str]| check(side, std::slice::from_ref(&x), now, expected);
        for side in [Side::Input, Side::Output] {
            check(side, std::slice::from_ref(&x), &[]);
            check(side, &[port("x", "f64", &[None, Some(8)])], &["MW-C002 error x"]);
            check(side, &[port("x", "f32", &[None, Some(9)])], &["MW-C003 error x"]);
            check(side, &[port("x", "f32", &[None])], &["MW-C003 error x"]);
            check(side, &[port("x", "f32", &[Some(1), Some(8)])], &["MW-C003 error x"]);
        }
        let second = port("y", "f32", &[None]);
        check(Side::Input, &[port("z", "f32", &[None, Some(8)])], &["MW-C001 error x", "MW-C001 error z"]);
        check(Side::Input, &[x.clone(), second.clone()], &["MW-C001 error y"]);
        check(Side::Output, &[x.clone(), second.clone()], &["MW-C001 warning y"]);
        // A model that takes more is as good, one that gives more is not.
        check(Side::Input, &[port("x", "f32", &[None, None])], &[]);
        check(Side::Output, &[port("x", "f32", &[None, None])], &["MW-C003 error x"]);
    }

    #[test]
    fn another_order_is_a_warning() {
        let (a, b) = (port("a", "f32", &[None]), port("b", "f32", &[None]));
        check(Side::Output, &[a.clone(), b.clone()], &[b, a], &["MW-C001 warning b"]);
    }

    #[test]
    fn a_renamed_port_is_guessed() {
        let found = breaks(
            Side::Output,
            &contract_of(&[port("y", "f32", &[None])]),
            &[port("z", "f32", &[None])],
            "the contract",
        );
        assert_eq!(found[0].message, "the model has no output `y`, which the contract has; was it renamed to `z`?");
    }
}
