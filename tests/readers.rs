//! Checks that other YAML parsers read lxmon's documents correctly: `PyYAML` (YAML 1.1), and npm's `yaml` and `js-yaml`
//! (YAML 1.2; the 1.1 mode of `yaml` is not tested, as it reads `.` and `e1` as numbers).

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::golden::{events, yaml};

/// Characters that some parser does not treat as plain characters.
const STRANGE: &[&str] = &[
    "\u{2028}",
    "\u{2029}",
    "\u{85}",
    "\u{feff}",
    "\u{a0}",
    "\u{7f}",
    "\u{80}",
    "\u{9f}",
    "\u{fffe}",
    "\u{ffff}",
    "\u{fff9}",
    "\u{200b}",
    "\u{202e}",
    "\u{e0041}",
    "\u{1f600}",
    "\t",
    "\r",
    "\n",
    "\r\n",
    "\0",
    "\u{b}",
    "\u{c}",
    "\u{1b}",
    "\u{d7ff}",
    "\u{e000}",
];

/// Texts with a special meaning in YAML.
const MEANINGFUL: &[&str] = &[
    "y",
    "n",
    "on",
    "0o17",
    "017",
    "0x1F",
    "0b1",
    "1_000",
    "1:30",
    "1e5",
    ".5",
    "5.",
    "+.inf",
    ".NaN",
    "-0",
    "=",
    "<<",
    "~",
    "null",
    "2026-01-02",
    "2026-01-02 03:04:05",
    "- a",
    "? a",
    ": a",
    "-",
    "?",
    ":",
    "&a",
    "*a",
    "!a",
    "!!str a",
    "|",
    ">",
    "%YAML",
    "@",
    "`",
    "{}",
    "[]",
    "a: b",
    "a #b",
    "a:",
    "---",
    "--- a",
    "...",
    "\'",
    "\"",
    "a, b",
    "]",
    "}",
    "__proto__",
    "constructor",
];

/// Events with strings that parsers of some YAML version treat specially, each as a value, as a key, in a sequence, and
/// between words that make the line too long.
fn adversarial() -> Vec<String> {
    let forms = |c: &str| {
        vec![
            c.to_owned(),
            format!("a{c}b"),
            format!("{c}a"),
            format!("a{c}"),
            format!("a b{c} c"),
            format!("\n{c}#"),
            format!("a\nb{c}c\n"),
            format!("a{c}\'b: c"),
            format!("a{c}- b"),
            format!("a: {c}b"),
            format!("#{c}x"),
            format!("{c}{c}"),
            format!("{c}---{c}..."),
            format!("a {c} #b"),
            format!(" {c} "),
            format!("\"{c}\\"),
            format!("{}{c}{}", "word ".repeat(18), " word".repeat(18)),
            format!("{}{c}", "x".repeat(130)),
            format!("- {c}\n? {c}\n"),
        ]
    };
    let strings = STRANGE.iter().flat_map(|c| forms(c)).chain(MEANINGFUL.iter().copied().map(str::to_owned));
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    strings
        .map(|text| {
            let text = quoted(&text);
            format!(r#"{{"type":"x",{text}:{text},"metadata":{{"m":{text},{text}:[{text},[{text}],{{{text}:{text}}}],"k":{{{text}:1}}}}}}"#)
        })
        .collect()
}

/// An event whose YAML document is in flow style.
fn flowing() -> String {
    let members: Vec<_> = adversarial().iter().map(|event| event.replacen("\"type\":\"x\",", "", 1)).collect();
    crate::growth::nested(80, &format!("{},1e5,-0.50,null,{}", members.join(","), vec!["0"; 40_000].join(",")))
}

/// Writes each event with its YAML document as a line of JSON.
fn write_pairs(file: &Path) {
    let mut lines = String::new();
    // js-yaml reads a number beyond the range of floats as a string.
    let events = events().into_iter().filter(|event| !event.contains("1E400"));
    for event in adversarial().into_iter().chain([flowing()]).chain(events) {
        let pair = serde_json::json!({ "event": event, "yaml": yaml(&event) });
        writeln!(lines, "{pair}").unwrap();
    }
    std::fs::write(file, lines).unwrap();
}

/// Runs a script that reads the pairs and prints the differences that it finds, then the number of pairs. Asserts that
/// there are no differences.
fn compare(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (differences, errors) = (text(&output.stdout), text(&output.stderr));
    let count = differences.lines().last().and_then(|line| line.strip_suffix(" compared")?.parse().ok());
    assert!(output.status.success() && count > Some(5000) && differences.lines().count() == 1, "{differences}{errors}");
}

/// Returns whether the program can be run on this machine.
fn exists(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    let status = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

const NODE: &str = r"
const fs = require('fs'), yaml = require('yaml'), jsyaml = require('js-yaml');
// lxmon replaces a lone surrogate by U+FFFD.
const formed = value => {
    if (typeof value == 'string') return value.toWellFormed();
    if (Array.isArray(value)) return value.map(formed);
    if (value === null || typeof value != 'object') return value;
    const object = Object.create(null);
    for (const key of Object.keys(value)) object[key.toWellFormed()] = formed(value[key]);
    return object;
};
const same = (a, b) => {
    if (a === null || typeof a != 'object') return a === b;
    if (b === null || typeof b != 'object' || Array.isArray(a) != Array.isArray(b)) return false;
    const keys = Object.keys(a);
    return keys.length == Object.keys(b).length && keys.every(key => Object.hasOwn(b, key) && same(a[key], b[key]));
};
const readers = {
    'yaml': text => yaml.parse(text, { logLevel: 'error', maxAliasCount: 0 }),
    'js-yaml': text => jsyaml.load(text),
};
const lines = fs.readFileSync(process.argv[2], 'utf8').split('\n').slice(0, -1);
let shown = 0;
for (const line of lines) {
    const pair = JSON.parse(line), wanted = formed(JSON.parse(pair.event));
    for (const [name, read] of Object.entries(readers)) {
        let value;
        try { value = formed(read(pair.yaml)); } catch (error) { value = String(error); }
        if (!same(wanted, value) && shown++ < 5)
            console.log(name, JSON.stringify(pair.yaml), JSON.stringify(value), JSON.stringify(wanted));
    }
}
console.log(lines.length + ' compared');
";

const PYTHON: &str = r"
import json, sys, yaml

def formed(value):
    if isinstance(value, str): return ''.join('\ufffd' if 0xd800 <= ord(c) < 0xe000 else c for c in value)
    if isinstance(value, list): return [formed(v) for v in value]
    if isinstance(value, dict): return {formed(k): formed(v) for k, v in value.items()}
    return value

def same(a, b):
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(type(k) is str for k in b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list): return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, (int, float)) and not isinstance(a, bool):
        return isinstance(b, (int, float)) and not isinstance(b, bool) and (a == b or abs(a - b) <= abs(a) * 1e-14)
    return type(a) is type(b) and a == b

count = shown = 0
for line in open(sys.argv[1], encoding='utf-8'):
    pair = json.loads(line)
    wanted = formed(json.loads(pair['event']))
    try: value = yaml.safe_load(pair['yaml'])
    except Exception as error: value = str(error)
    count += 1
    if not same(wanted, value) and shown < 5:
        shown += 1
        print(ascii(pair['yaml']), ascii(value), ascii(wanted))
print(count, 'compared')
";

#[test]
#[ignore = "needs node and npm's registry"]
fn readers_in_javascript_get_every_event_back() {
    if !exists("node", &["--version"]) || !exists("npm", &["--version"]) {
        println!("skipped: node is not installed");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", ".", "yaml@2", "js-yaml"];
    let mut install = Command::new(npm[0]);
    install.args(&npm[1..]).current_dir(&directory).stdin(Stdio::null());
    if !install.status().unwrap().success() {
        println!("skipped: the packages cannot be had");
        return;
    }
    std::fs::write(directory.path().join("read.js"), NODE).unwrap();
    write_pairs(&directory.path().join("pairs"));
    compare(Command::new("node").args(["--stack-size=4000", "read.js", "pairs"]).current_dir(&directory));
}

#[test]
#[ignore = "takes a minute, and needs PyYAML"]
fn readers_in_python_get_every_event_back() {
    if !exists("python3", &["-c", "import yaml"]) {
        println!("skipped: PyYAML is not installed");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("read.py"), PYTHON).unwrap();
    write_pairs(&directory.path().join("pairs"));
    compare(Command::new("python3").args(["read.py", "pairs"]).current_dir(&directory));
}
