//! The text of an NNEF graph, looked at before tract parses it and again before it is built.
//!
//! tract's parser reads what is in brackets more than once for each level of them, and fragments, which are NNEF's functions, are put in
//! place of their calls without end where they call themselves. Exported models are flat and have neither.

use std::collections::{HashMap, HashSet};

use tract_nnef::{
    ast::{Assignment, Document, Identifier, Invocation, LValue, Literal, RValue, Subscript, parse::parse_document},
    registry::Registry,
};

use crate::tract::{
    guard,
    preflight::{Fault, MAX_NODES, check_order},
};

/// How often characters may be read. Each level of brackets multiplies that by four.
const MAX_READS: u64 = 1 << 28;
/// Operators between two semicolons, each of which is a level in what the parser makes of them.
const MAX_OPERATORS: usize = 200;
/// Nodes that come from fragments. The time to name them grows with the cube.
const MAX_EXPANDED: u64 = 500;

/// How much larger one operator may make what it is given, by the numbers that stand in a call. tract computes what comes of a few
/// constants while it reads the graph.
const MAX_FACTOR: u64 = 1 << 24;
/// The elements that one is spread to.
const MAX_SPREAD: u64 = 1 << 28;

const FLAT: &str = "export it as a flat graph";

/// Parses a graph.
pub(super) fn parse(text: &str) -> Result<Document, Fault> {
    check_text(text)?;
    let doc = parse_document(text).map_err(|e| Fault::damaged(format!("`graph.nnef`: {}", guard::reason(&e))))?;
    check(&doc)?;
    Ok(doc)
}

/// Adds up what the parser will do.
fn check_text(text: &str) -> Result<(), Fault> {
    let (mut depth, mut n_reads, mut n_operators, mut n_statements) = (0u32, 0u64, 0, 0);
    let mut before = ';';
    let mut rest = text.chars();
    while let Some(it) = rest.next() {
        n_reads = n_reads.saturating_add(4u64.saturating_pow(depth));
        match it {
            '\'' | '"' => skip_text(&mut rest, it),
            '#' => _ = rest.by_ref().find(|it| matches!(it, '\r' | '\n')),
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            ';' => (n_statements, n_operators) = (n_statements + 1, 0),
            '!' => n_operators += 1,
            // A sign, unless there is something to its left.
            '+' | '-' if matches!(before, '(' | '[' | ',' | '=' | ':' | 'e' | 'E') => {}
            '+' | '-' | '*' | '/' | '^' | '<' | '>' | '&' | '|' => n_operators += 1,
            _ => {}
        }
        if n_reads > MAX_READS {
            return Err(Fault { what: "expressions are nested too deeply in it".to_owned(), remedy: FLAT });
        }
        if n_operators > MAX_OPERATORS {
            let what = format!("it has a statement with more than {MAX_OPERATORS} operators");
            return Err(Fault { what, remedy: FLAT });
        }
        if n_statements > MAX_NODES {
            let what = format!("it has more than {MAX_NODES} statements");
            return Err(Fault { what, remedy: "export only what inference needs" });
        }
        if !it.is_whitespace() {
            before = it;
        }
    }
    Ok(())
}

/// Goes on after a text that began with `quote`.
fn skip_text(rest: &mut std::str::Chars<'_>, quote: char) {
    while let Some(it) = rest.next() {
        match it {
            '\\' => _ = rest.next(),
            it if it == quote => return,
            _ => {}
        }
    }
}

/// Adds up what comes of the fragments, and looks for values that are given twice.
fn check(doc: &Document) -> Result<(), Fault> {
    let mut fragments: HashMap<&str, &[Assignment]> = HashMap::new();
    for it in &doc.fragments {
        // The first of a name is the one that is called.
        if let Some(body) = &it.body {
            fragments.entry(&it.decl.id.0).or_insert(body);
        }
    }
    let mut given = HashSet::new();
    for it in &doc.graph_def.body {
        if let Some(twice) = names(&it.left).into_iter().find(|it| !given.insert(*it)) {
            return Err(Fault::damaged(format!("`{twice}` is given twice")));
        }
    }
    for it in statements(doc) {
        for call in calls(&it.right)? {
            check_factor(call, first_name(&it.left))?;
            check_axes(call, first_name(&it.left))?;
        }
    }
    let mut sizes = Sizes { fragments, known: HashMap::new(), open: HashSet::new() };
    let n_expanded = sizes.of(&doc.graph_def.body)?.expanded;
    if n_expanded <= MAX_EXPANDED {
        return Ok(());
    }
    let what = format!("its fragments come to {n_expanded} nodes, more than the {MAX_EXPANDED} that are put in place");
    Err(Fault { what, remedy: FLAT })
}

/// Returns the statements of all fragments, then those of the graph.
fn statements(doc: &Document) -> impl Iterator<Item = &Assignment> {
    doc.fragments.iter().filter_map(|it| it.body.as_ref()).flatten().chain(&doc.graph_def.body)
}

/// What comes of statements.
#[derive(Clone, Copy, Default)]
struct Size {
    /// Calls, of whatever.
    calls: u64,
    /// Those of them that are in fragments.
    expanded: u64,
}

struct Sizes<'a> {
    fragments: HashMap<&'a str, &'a [Assignment]>,
    known: HashMap<&'a str, Size>,
    /// The fragments whose calls are being added up.
    open: HashSet<&'a str>,
}

impl<'a> Sizes<'a> {
    fn of(&mut self, body: &'a [Assignment]) -> Result<Size, Fault> {
        let mut res = Size::default();
        for statement in body {
            for call in calls(&statement.right)? {
                let inner = self.of_fragment(&call.id.0)?;
                res.calls = res.calls.saturating_add(1).saturating_add(inner.calls);
                res.expanded = res.expanded.saturating_add(inner.calls);
            }
        }
        Ok(res)
    }

    fn of_fragment(&mut self, name: &'a str) -> Result<Size, Fault> {
        if let Some(it) = self.known.get(name) {
            return Ok(*it);
        }
        let Some(&body) = self.fragments.get(name) else { return Ok(Size::default()) };
        // A chain of calls is as deep as the thread's stack: there are no more than this many.
        if self.open.len() as u64 >= MAX_EXPANDED || !self.open.insert(name) {
            return Err(Fault::damaged(format!("fragment `{name}` calls itself, or stands in too many others")));
        }
        let size = self.of(body)?;
        self.open.remove(name);
        self.known.insert(name, size);
        Ok(size)
    }
}

/// Refuses a call whose numbers ask for more than any memory: repeats, pads, factors and lengths.
fn check_factor(call: &Invocation, value: &str) -> Result<(), Fault> {
    let operator = &*call.id.0;
    let most = match operator {
        // What these are given is as large as what they give.
        "external" | "variable" | "slice" | "reshape" => return Ok(()),
        "tract_core_broadcast" => MAX_SPREAD,
        _ => MAX_FACTOR,
    };
    match call.arguments.iter().map(|it| product(&it.rvalue)).find(|it| *it > most) {
        Some(it) => {
            let what = format!("`{value}` ({operator}) makes what it is given {it} times as large");
            Err(Fault { what, remedy: "export it with lengths that memory has room for" })
        }
        None => Ok(()),
    }
}

/// Refuses an order of axes that is none: tract goes through them until it has found each.
fn check_axes(call: &Invocation, value: &str) -> Result<(), Fault> {
    if call.id.0 != "transpose" {
        return Ok(());
    }
    let named = call.arguments.iter().find(|it| it.id.as_ref().is_some_and(|it| it.0 == "axes"));
    let axes = named.or_else(|| call.arguments.get(1)).and_then(|it| integers(&it.rvalue));
    let what = match axes.map(|it| check_order(&it, it.len())) {
        Some(Ok(_)) => return Ok(()),
        Some(Err(e)) => e.to_string(),
        None => "its axes are no numbers".to_owned(),
    };
    Err(Fault { what: format!("`{value}` (transpose) has no order of axes: {what}"), remedy: FLAT })
}

/// Returns the integers that are the elements of a value.
fn integers(value: &RValue) -> Option<Vec<i64>> {
    let one = |it: &Literal| if let Literal::Numeric(it) = it { it.parse().ok() } else { None };
    match value {
        RValue::Literal(Literal::Array(them)) => them.iter().map(one).collect(),
        RValue::Array(them) => {
            them.iter().map(|it| if let RValue::Literal(it) = it { one(it) } else { None }).collect()
        }
        _ => None,
    }
}

/// Returns the product of the integers that stand in a value, signs and zeros left out.
fn product(value: &RValue) -> u64 {
    match value {
        RValue::Tuple(them) | RValue::Array(them) => them.iter().map(product).fold(1, u64::saturating_mul),
        RValue::Unary(_, it) => product(it),
        RValue::Literal(it) => product_of_literal(it),
        _ => 1,
    }
}

fn product_of_literal(literal: &Literal) -> u64 {
    match literal {
        Literal::Numeric(it) => it.trim_start_matches('-').parse().unwrap_or(1).max(1),
        Literal::Array(them) | Literal::Tuple(them) => them.iter().map(product_of_literal).fold(1, u64::saturating_mul),
        _ => 1,
    }
}

/// Returns the first name that a statement gives; nothing where it gives none.
fn first_name(left: &LValue) -> &str {
    names(left).first().copied().unwrap_or_default()
}

/// Returns the names that a statement gives.
fn names(left: &LValue) -> Vec<&str> {
    let (mut res, mut values) = (Vec::new(), vec![left]);
    while let Some(it) = values.pop() {
        match it {
            LValue::Array(them) | LValue::Tuple(them) => values.extend(them.iter().rev()),
            LValue::Identifier(it) => res.push(&*it.0),
        }
    }
    res
}

/// Returns all calls that a value is made by.
fn calls(value: &RValue) -> Result<Vec<&Invocation>, Fault> {
    let (mut res, mut values) = (Vec::new(), vec![value]);
    while let Some(it) = values.pop() {
        match it {
            RValue::Identifier(_) | RValue::Literal(_) => {}
            RValue::Binary(left, _, right) => values.extend([&**left, &**right]),
            RValue::Unary(_, it) => values.push(it),
            RValue::Tuple(them) | RValue::Array(them) => values.extend(them),
            RValue::Subscript(of, at) => {
                values.push(of);
                match &**at {
                    Subscript::Single(it) => values.push(it),
                    Subscript::Range(from, to) => values.extend(from.iter().chain(to)),
                }
            }
            RValue::IfThenElse(it) => values.extend([&it.cond, &it.then, &it.otherwise]),
            RValue::Comprehension(_) => {
                return Err(Fault { what: "it has a loop, `[for … yield …]`".to_owned(), remedy: FLAT });
            }
            RValue::Invocation(it) => {
                values.extend(it.arguments.iter().map(|it| &it.rvalue));
                res.push(it);
            }
        }
    }
    Ok(res)
}

/// Returns the operators that neither the graph nor a registry defines, each with the value that it is called for.
pub(super) fn unknown(doc: &Document, registries: &[Registry]) -> Result<Vec<(String, String)>, Fault> {
    let own: HashSet<&Identifier> = doc.fragments.iter().filter(|it| it.body.is_some()).map(|it| &it.decl.id).collect();
    let is_defined = |id: &Identifier| own.contains(id) || registries.iter().any(|it| defines(it, id));
    let mut res = Vec::new();
    for it in statements(doc) {
        let name = first_name(&it.left);
        let unknown = calls(&it.right)?.into_iter().filter(|it| !is_defined(&it.id));
        res.extend(unknown.map(|it| (it.id.0.clone(), name.to_owned())));
    }
    Ok(res)
}

fn defines(registry: &Registry, id: &Identifier) -> bool {
    registry.primitives.contains_key(id)
        || registry.fragments.contains_key(id)
        || registry.unit_element_wise_ops.iter().any(|it| it.0 == *id)
        || registry.element_wise_ops.iter().any(|it| it.0 == *id)
        || registry.binary_ops.iter().any(|it| it.0 == *id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(before: &str, body: &str) -> String {
        format!("version 1.0;\n{before}\ngraph g(x) -> (y) {{ x = external(shape = [1, 4]); {body} }}")
    }

    fn refusal(before: &str, body: &str) -> Option<String> {
        parse(&graph(before, body)).err().map(|it| it.what)
    }

    #[test]
    fn flat_graphs_and_small_fragments_are_read() {
        let strided =
            "y = max_pool(x, size = [1, 1], padding = [(0, 0), (-1, -1)], border = 'co\\'nst[[[[[[[[[[[[[[[[[');";
        assert_eq!(refusal("", strided), None);
        assert_eq!(refusal("", "# ((((((((((((((((((((((((\n y = relu(-x + 1.0e-3 * x);"), None);
        let twice = "fragment twice(x: tensor<scalar>) -> (y: tensor<scalar>) { y = relu(relu(x)); }";
        assert_eq!(refusal(twice, "a = twice(x); y = twice(a);"), None);
        let dims = vec!["-1.5"; 10_000].join(", ");
        assert_eq!(refusal("", &format!("y = reshape(x, shape = [{dims}]);")), None);
    }

    #[test]
    fn what_takes_for_ever_is_refused() {
        let nested = |n: usize| format!("y = {}x{};", "(".repeat(n), ")".repeat(n));
        assert_eq!(refusal("", &nested(8)), None);
        assert_eq!(refusal("", &nested(40)).unwrap(), "expressions are nested too deeply in it");
        let sum = format!("y = x{};", " + x".repeat(300));
        assert_eq!(refusal("", &sum).unwrap(), "it has a statement with more than 200 operators");
        assert!(refusal("", &format!("y = {}x;", "!".repeat(300))).unwrap().contains("operators"));
        let many: String = (0..20_001).map(|it| format!("v{it} = relu(x);")).collect();
        assert_eq!(refusal("", &many).unwrap(), "it has more than 20000 statements");
        assert_eq!(refusal("", "y = relu(x); y = relu(x);").unwrap(), "`y` is given twice");
        assert_eq!(refusal("", "y = [for i in [1, 2] yield i];").unwrap(), "it has a loop, `[for … yield …]`");
    }

    #[test]
    fn an_order_of_axes_has_each_once() {
        assert_eq!(refusal("", "y = transpose(x, axes = [1, 0]);"), None);
        assert_eq!(refusal("", "y = transpose(x, [0, 2, 1]);"), None);
        let twice = "`y` (transpose) has no order of axes: [0, 0] is no order of 2 axes";
        assert_eq!(refusal("", "y = transpose(x, axes = [0, 0]);").unwrap(), twice);
        assert_eq!(refusal("", "y = transpose(x, [0, 0]);").unwrap(), twice);
        assert!(refusal("", "y = transpose(x, axes = a);").unwrap().contains("no numbers"));
    }

    #[test]
    fn fragments_end() {
        let fragment = |name: &str, body: &str| {
            format!("fragment {name}(x: tensor<scalar>) -> (y: tensor<scalar>) {{ y = {body}; }}\n")
        };
        let endless = fragment("f", "g(x)") + &fragment("g", "relu(f(x))");
        assert!(refusal(&endless, "y = f(x);").unwrap().contains("calls itself"));
        let doubling: String =
            (0..40).map(|it| fragment(&format!("f{}", it + 1), &format!("f{it}(f{it}(x))"))).collect();
        let doubling = fragment("f0", "relu(x)") + &doubling;
        assert!(refusal(&doubling, "y = f40(x);").unwrap().starts_with("its fragments come to"));
    }
}
