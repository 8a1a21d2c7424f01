//! The expression: compiles it, and runs it on one event at a time. Only the process of `worker` does either.

use std::io::Write as _;

use jaq_core::data::JustLut;
use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Term};
use jaq_core::load::{self, Arena, File, Loader};
use jaq_core::native::{self, Fun, bome, v};
use jaq_core::{Compiler, Ctx, Filter, ValT as _, Vars, compile, unwrap_valr};
use jaq_json::{Map, Num, Rc, Val};

use crate::event::json::{Content, Tape, Value};
use crate::report::suggest;

/// The name of the variable for what lxmon has worked out.
pub(super) const CONTEXT: &str = "$lxmon";

/// Filters of the library that are left out: lxmon has no environment and no log for expressions, and `halt` would end
/// them all.
const LEFT_OUT: [&str; 7] = ["env", "halt", "halt_error", "debug", "debug_empty", "stderr", "stderr_empty"];

/// Formats of jq that the library lacks. As in jq, `null` is empty in them.
const FORMATS: &str = r#"
def row(f): [.[] | if . == null then "" elif isboolean or isnumber then tostring
  elif isstring then f else error("an array or object cannot be a cell of a row") end];
def @tsv: row(tsv_cell) | join("\t");
def @csv: row(csv_cell) | join(",");
def ascii: [.] | implode;
def toarray: if isarray then . else [.] end;
"#;

/// How much of an expression is shown around a mistake, in characters on each side.
const AROUND: usize = 30;

type Data = JustLut<Val>;

/// What is wrong with an expression.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) what: String,
    pub(super) hint: String,
}

/// A compiled expression.
pub(super) struct Program {
    filter: Filter<Data>,
    /// Whether no result can be an event, whatever the input is.
    pub(super) makes_no_events: bool,
}

/// A result for one event.
pub(super) enum Output<'a> {
    /// The event itself.
    Unchanged,
    /// A value, as JSON.
    Value(&'a [u8]),
}

fn definitions() -> impl Iterator<Item = Def<&'static str>> {
    let ours = load::parse(FORMATS, |parser| parser.defs()).unwrap_or_default();
    let theirs = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    theirs.filter(|def| !LEFT_OUT.contains(&def.name)).chain(ours)
}

fn functions() -> impl Iterator<Item = Fun<Data>> {
    let theirs = jaq_core::funs::<Data>().chain(jaq_std::funs()).chain(jaq_json::funs());
    theirs.filter(|(name, ..)| !LEFT_OUT.contains(name)).chain(cells())
}

/// The filters that make a string a cell of `@tsv` and `@csv`.
fn cells() -> [Fun<Data>; 2] {
    [
        native::run(("tsv_cell", v(0), |(_, value)| {
            bome(value.try_as_utf8_bytes_owned().map(|text| {
                let mut cell = String::with_capacity(text.len());
                for character in String::from_utf8_lossy(&text).chars() {
                    match character {
                        '\t' => cell.push_str("\\t"),
                        '\n' => cell.push_str("\\n"),
                        '\r' => cell.push_str("\\r"),
                        '\\' => cell.push_str("\\\\"),
                        other => cell.push(other),
                    }
                }
                Val::utf8_str(cell)
            }))
        })),
        native::run(("csv_cell", v(0), |(_, value)| {
            bome(value.try_as_utf8_bytes_owned().map(|text| {
                let quoted = String::from_utf8_lossy(&text).replace('"', "\"\"");
                Val::utf8_str(format!("\"{quoted}\""))
            }))
        })),
    ]
}

impl Program {
    /// Compiles an expression.
    ///
    /// # Errors
    /// It is not valid.
    pub(super) fn compile(expression: &str) -> Result<Self, Mistake> {
        let arena = Arena::default();
        let loaded = Loader::new(definitions()).load(&arena, File { code: expression, path: () });
        let modules = loaded.map_err(|errors| unloadable(expression, errors))?;
        load::import(&modules, |_| Err(String::new())).map_err(|errors| unloadable(expression, errors))?;
        let compiled = Compiler::default().with_funs(functions()).with_global_vars([CONTEXT]).compile(modules);
        let filter = compiled.map_err(|errors| undefined(expression, &errors))?;
        let term = load::parse(expression, |parser| parser.term());
        Ok(Self { filter, makes_no_events: term.is_some_and(|term| makes_no_event(&term)) })
    }

    /// Runs the expression on the event `text`, and calls `each` with the results except `null` and `false`. `context` is
    /// the JSON of `$lxmon`, or empty.
    ///
    /// # Errors
    /// The expression fails on this event. There may have been results before.
    pub(super) fn run(&self, text: &str, context: &str, mut each: impl FnMut(Output<'_>)) -> Result<(), String> {
        let input = parsed(text)?;
        let variable = if context.is_empty() { Val::Null } else { parsed(context)? };
        let ctx = Ctx::<Data>::new(&self.filter.lut, Vars::new([variable]));
        let mut json = Vec::new();
        for result in self.filter.id.run((ctx, input.clone())).map(unwrap_valr) {
            let value = result.map_err(|error| match error.into_val() {
                Val::TStr(text) => String::from_utf8_lossy(&text).into_owned(),
                other => other.to_string(),
            })?;
            match (&value, &input) {
                (Val::Null | Val::Bool(false), _) => {}
                (Val::Obj(result), Val::Obj(input)) if Rc::ptr_eq(result, input) => each(Output::Unchanged),
                _ => {
                    json.clear();
                    write(&value, &mut json)?;
                    each(Output::Value(&json));
                }
            }
        }
        Ok(())
    }
}

fn parsed(text: &str) -> Result<Val, String> {
    let mut tape = Tape::default();
    tape.parse(text).map_err(|error| error.to_string())?;
    Ok(value(tape.root(text)))
}

/// The value of JSON. Numbers keep their digits until they are calculated with.
fn value(json: Value<'_>) -> Val {
    match json.content() {
        Content::Null => Val::Null,
        Content::Bool(is_true) => Val::Bool(is_true),
        // As an integer it would lose its sign.
        Content::Number("-0") => Val::Num(Num::Dec(Rc::new("-0".into()))),
        Content::Number(digits) => Val::from_num(digits).unwrap_or_default(),
        Content::String(text) => Val::utf8_str(text.cow().into_owned()),
        Content::Array(items) => items.map(value).collect(),
        Content::Object(members) => {
            let mut map = Map::default();
            for (key, member) in members {
                map.insert(Val::utf8_str(key.cow().into_owned()), value(member));
            }
            Val::obj(map)
        }
    }
}

/// Appends the value as JSON.
fn write(value: &Val, out: &mut Vec<u8>) -> Result<(), String> {
    match value {
        Val::Null => out.extend_from_slice(b"null"),
        Val::Bool(is_true) => out.extend_from_slice(if *is_true { b"true" } else { b"false" }),
        Val::Num(number) => write_number(number, out),
        Val::BStr(text) | Val::TStr(text) => write_string(text, out),
        Val::Arr(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(item, out)?;
            }
            out.push(b']');
        }
        Val::Obj(members) => {
            out.push(b'{');
            for (index, (key, member)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                let (Val::TStr(name) | Val::BStr(name)) = key else {
                    return Err(format!("the key {key} of an object is not a string"));
                };
                write_string(name, out);
                out.push(b':');
                write(member, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn write_string(text: &[u8], out: &mut Vec<u8>) {
    // Writing a string to a Vec cannot fail.
    let _ = serde_json::to_writer(out, &*String::from_utf8_lossy(text));
}

fn write_number(number: &Num, out: &mut Vec<u8>) {
    // The largest number below which each integer is a float.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    // Writing to a Vec cannot fail.
    let _ = match number {
        Num::Int(integer) => write!(out, "{integer}"),
        Num::BigInt(integer) => write!(out, "{integer}"),
        Num::Dec(digits) if serde_json::from_str::<serde::de::IgnoredAny>(digits).is_ok() => write!(out, "{digits}"),
        Num::Dec(digits) => return write_number(&Num::Float(digits.parse().unwrap_or(f64::NAN)), out),
        // As jq.
        Num::Float(float) if float.is_nan() => write!(out, "null"),
        Num::Float(float) if float.is_infinite() => write!(out, "{:?}", f64::MAX.copysign(*float)),
        Num::Float(float) if float.fract() == 0.0 && float.abs() < EXACT => write!(out, "{float:.0}"),
        Num::Float(float) => write!(out, "{float:?}"),
    };
}

/// Whether no result of the term can be an event, which is an object with a `type`.
fn makes_no_event(term: &Term<&str>) -> bool {
    /// Filters whose results are strings, numbers, arrays or booleans.
    const SCALARS: [&str; 16] = [
        "@tsv", "@csv", "@json", "@text", "@sh", "@uri", "@html", "@base64", "tojson", "tostring", "length", "keys",
        "not", "join", "test", "type",
    ];
    match term {
        Term::Num(_)
        | Term::Str(..)
        | Term::Arr(_)
        | Term::Neg(_)
        | Term::BinOp(_, BinaryOp::Cmp(_) | BinaryOp::And | BinaryOp::Or, _) => true,
        Term::Obj(members) => members.iter().all(|(key, _)| match key {
            Term::Str(None, parts) => !matches!(&parts[..], [StrPart::Str("type")]) && is_literal(parts),
            Term::Var(name) => *name != "$type",
            _ => false,
        }),
        Term::BinOp(_, BinaryOp::Pipe(_), right) => makes_no_event(right),
        Term::BinOp(left, BinaryOp::Comma, right) => makes_no_event(left) && makes_no_event(right),
        Term::Def(_, body) => makes_no_event(body),
        Term::Call(name, _) => SCALARS.contains(name),
        _ => false,
    }
}

fn is_literal<T>(parts: &[StrPart<&str, T>]) -> bool {
    parts.iter().all(|part| !matches!(part, StrPart::Term(_)))
}

/// The place of `part` in the expression, in characters from 1; `None` if it is of a definition in the library.
fn place(expression: &str, part: &str) -> Option<usize> {
    let start = part.as_ptr().addr().checked_sub(expression.as_ptr().addr())?;
    Some(expression.get(..start)?.chars().count() + 1)
}

/// The expression with a mark at this place.
fn marked(expression: &str, place: usize) -> String {
    let characters: Vec<_> = expression.chars().collect();
    let at = (place - 1).min(characters.len());
    let (from, to) = (at.saturating_sub(AROUND), (at + AROUND).min(characters.len()));
    let part = |range: &[char]| range.iter().collect::<String>();
    let (before, after) = (part(&characters[from..at]), part(&characters[at..to]));
    let (begin, end) = (if from > 0 { "…" } else { "" }, if to < characters.len() { "…" } else { "" });
    format!("the place is marked with HERE: {begin}{before}<HERE>{after}{end}")
}

fn unloadable(expression: &str, errors: load::Errors<&str, ()>) -> Mistake {
    let (wanted, found) = match errors.into_iter().next() {
        Some((_, load::Error::Lex(errors))) => match errors.into_iter().next() {
            Some((expect, found)) => (expect.as_str().to_owned(), found),
            None => (String::new(), ""),
        },
        Some((_, load::Error::Parse(errors))) => match errors.into_iter().next() {
            Some((expect, found)) => (expect.as_str().to_owned(), found),
            None => (String::new(), ""),
        },
        Some((_, load::Error::Io(_))) | None => {
            return Mistake {
                what: "modules cannot be imported or included".into(),
                hint: "write all definitions into the expression: def f: …; …".into(),
            };
        }
    };
    let place = place(expression, found).unwrap_or(1);
    let found = match found.chars().next() {
        Some(first) if first.is_alphanumeric() => found.chars().take(AROUND).collect(),
        Some(first) => first.to_string(),
        None => "the end".into(),
    };
    Mistake {
        what: format!("syntax error at character {place}: expected {wanted}, found {found}"),
        hint: marked(expression, place),
    }
}

fn undefined(expression: &str, errors: &compile::Errors<&str, ()>) -> Mistake {
    let Some((name, kind)) = errors.iter().flat_map(|(_, errors)| errors).next() else {
        return Mistake { what: "it cannot be compiled".into(), hint: "see jq(1)".into() };
    };
    let place = place(expression, name).map_or(String::new(), |place| format!(" at character {place}"));
    let (what, arguments) = match kind {
        compile::Undefined::Filter(0) => (format!("unknown filter {name}"), 0),
        compile::Undefined::Filter(arity) => {
            (format!("unknown filter {name} with {arity} argument{}", if *arity == 1 { "" } else { "s" }), *arity)
        }
        other => (format!("unknown {} {name}", other.as_str()), 0),
    };
    let hint = match *name {
        "env" | "$ENV" => "an expression has no access to the environment; let the shell put the value in".into(),
        "input" | "inputs" | "input_filename" => "an expression is run for each event, and sees only that one".into(),
        "halt" | "halt_error" => "to end after a number of events: -n".into(),
        "debug" | "stderr" => "there is no log for expressions; put the value into the result".into(),
        name if name.starts_with('$') => format!("the only variable that lxmon defines is {CONTEXT}"),
        name => near(name, arguments),
    };
    Mistake { what: format!("{what}{place}"), hint }
}

/// A hint with the filters whose names are near `name`.
fn near(name: &str, arguments: usize) -> String {
    let arities: Vec<(String, usize)> = definitions()
        .map(|def| (def.name.to_owned(), def.args.len()))
        .chain(functions().map(|(name, args, _)| (name.to_owned(), args.len())))
        .collect();
    let same: Vec<_> = arities.iter().filter(|(known, _)| known == name).map(|(_, arity)| arity.to_string()).collect();
    if !same.is_empty() {
        return format!("{name} takes {} arguments, and is given {arguments}", same.join(" or "));
    }
    let mut names: Vec<_> =
        arities.iter().map(|(known, _)| &**known).filter(|known| !known.ends_with("_cell")).collect();
    names.sort_unstable();
    names.dedup();
    match &suggest::nearest(name, names)[..] {
        [] => "the filters are those of jq(1), without input, environment and halt".into(),
        names => format!("near it: {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_with(expression: &str, text: &str, context: &str) -> Result<Vec<String>, String> {
        let program = Program::compile(expression).map_err(|mistake| mistake.what)?;
        let mut results = Vec::new();
        program.run(text, context, |output| {
            results.push(match output {
                Output::Unchanged => "unchanged".into(),
                Output::Value(json) => String::from_utf8(json.to_vec()).unwrap(),
            });
        })?;
        Ok(results)
    }

    fn run(expression: &str, text: &str) -> Vec<String> {
        run_with(expression, text, "").unwrap_or_else(|error| vec![format!("error: {error}")])
    }

    const EVENT: &str = r#"{"type":"lifecycle","metadata":{"action":"instance-started","source":"/1.0/instances/c1"},"n":1.50,"big":123456789012345678901234567890,"zero":-0,"far":1e400}"#;

    #[test]
    fn filters_and_reshapes() {
        for (expression, results) in [
            (".", &["unchanged"][..]),
            (r#"select(.metadata.action == "instance-started")"#, &["unchanged"]),
            (r#"select(.metadata.action == "x")"#, &[]),
            ("empty", &[]),
            ("null, false", &[]),
            ("., 1", &["unchanged", "1"]),
            (".metadata.action", &[r#""instance-started""#]),
            ("{type, a: .metadata.action}", &[r#"{"type":"lifecycle","a":"instance-started"}"#]),
            (r"[.type, null, 7, .metadata.source] | @tsv", &[r#""lifecycle\t\t7\t/1.0/instances/c1""#]),
            (r#"["a\tb\\", "c\"d"] | @tsv, @csv"#, &[r#""a\\tb\\\\\tc\"d""#, r#""\"a\tb\\\",\"c\"\"d\"""#]),
            // Numbers keep their digits until they are calculated with.
            ("[.n, .big, .zero, .far]", &["[1.50,123456789012345678901234567890,-0,1e400]"]),
            (
                "[.n + 1, .n * 2, 7 / 2, 10 / 5, .big + 1, nan, 1e1000]",
                &["[2.5,3,3.5,2,123456789012345678901234567891,null,1e1000]"],
            ),
            ("[infinite, -infinite] | map(. > 0)", &["[true,false]"]),
            (r#"{"\(1)": 1} | keys"#, &[r#"["1"]"#]),
            (".metadata.x = 1 | .metadata | has(\"x\")", &["true"]),
            (r#""a\u0000\u001b😀""#, &["\"a\\u0000\\u001b😀\""]),
            ("def f: 1; f, f", &["1", "1"]),
            ("error(\"x\")", &["error: x"]),
            (".metadata.action.x", &["error: cannot index \"instance-started\" with \"x\""]),
            ("{(1): 2}", &["error: the key 1 of an object is not a string"]),
            ("try error(\"x\") catch .", &["\"x\""]),
            ("now | type", &["\"number\""]),
        ] {
            assert_eq!(run(expression, EVENT), results, "{expression}");
        }
    }

    #[test]
    fn strings_that_go_would_replace_are_replaced() {
        assert_eq!(run(".s", r#"{"type":"x","s":"\ud83d\u00e9"}"#), ["\"\u{fffd}é\""]);
        assert_eq!(run(".a", r#"{"a":1,"\u0061":2}"#), ["2"]);
    }

    #[test]
    fn the_variable_has_what_lxmon_has_worked_out() {
        let context = r#"{"instance":"c1","duration_ms":null}"#;
        assert_eq!(run_with("$lxmon.instance", EVENT, context), Ok(vec!["\"c1\"".into()]));
        assert_eq!(run_with("$lxmon", EVENT, ""), Ok(vec![]));
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (expression, what, hint) in [
            ("", "syntax error at character 1: expected term, found the end", "<HERE>"),
            (".metadata | | x", "syntax error at character 13: expected term, found |", ".metadata | <HERE>| x"),
            (".a[", "syntax error at character 4: expected closing bracket, found the end", ".a[<HERE>"),
            ("é | (.a", "", ""),
            (".a \"", "", ""),
            ("& x", "", "<HERE>& x"),
            (". | foo", "unknown filter foo at character 5", "floor"),
            (
                "map(1; 2)",
                "unknown filter map with 2 arguments at character 1",
                "map takes 1 arguments, and is given 2",
            ),
            ("$x", "unknown variable $x at character 1", "$lxmon"),
            ("$ENV.PATH", "unknown variable $ENV at character 1", "environment"),
            ("env.PATH", "unknown filter env at character 1", "environment"),
            ("input", "unknown filter input at character 1", "that one"),
            ("[inputs]", "unknown filter inputs at character 2", "that one"),
            ("input_filename", "unknown filter input_filename at character 1", "that one"),
            ("debug", "unknown filter debug at character 1", "log"),
            ("debug(1)", "unknown filter debug with 1 argument at character 1", "log"),
            ("stderr", "unknown filter stderr at character 1", "log"),
            ("halt", "unknown filter halt at character 1", "-n"),
            ("halt_error", "unknown filter halt_error at character 1", "-n"),
            ("include \"x\"; .", "modules cannot be imported or included", "def"),
            ("import \"/etc/passwd\" as $x; .", "modules cannot be imported or included", "def"),
            ("selct(.a)", "unknown filter selct with 1 argument at character 1", "near it: select"),
        ] {
            let mistake = Program::compile(expression).err().unwrap_or_else(|| panic!("{expression} is valid"));
            assert!(mistake.what.starts_with(what), "{expression}: {mistake:?}");
            assert!(mistake.hint.contains(hint), "{expression}: {mistake:?}");
        }
    }

    #[test]
    fn it_is_known_that_some_expressions_make_no_events() {
        for expression in [
            ".metadata | @tsv",
            "[.type]",
            "1",
            "\"\\(.type)\"",
            "{a: 1}",
            "{metadata}",
            "1, 2",
            ".a == 1",
            "def f: .; 1",
            ".a and .b",
            "{} | keys",
            "{$lxmon}",
            "@text \"x\"",
        ] {
            assert!(Program::compile(expression).unwrap_or_else(|e| panic!("{e:?}")).makes_no_events, "{expression}");
        }
        for expression in [
            ".",
            "select(.a)",
            "{type}",
            "{type: 1}",
            "{(.a): 1}",
            ".metadata",
            "if .a then 1 else . end",
            "1, .",
            "{\"type\": 1}",
            "1 as $type | {$type}",
            "{\"\\(.a)\": 1}",
            ".. | numbers",
            "fromjson",
        ] {
            assert!(!Program::compile(expression).unwrap_or_else(|e| panic!("{e:?}")).makes_no_events, "{expression}");
        }
    }
}
