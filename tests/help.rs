//! The help at the widths of terminals, and the man page as the programs see it that show man pages.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::CommandFactory as _;
use lxmon::cli::Cli;

use crate::support::program::{finish, lxmon, run};

/// The lines of the help on a terminal of this width.
fn help(option: &str, columns: usize) -> Vec<String> {
    let help = finish(lxmon([option]).env("COLUMNS", columns.to_string()));
    assert_eq!((help.status, &*help.stderr), (0, ""));
    help.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn the_short_help_fits_a_small_terminal() {
    let lines = help("-h", 80);
    assert!(lines.len() <= 40, "{} lines", lines.len());
    let wide: Vec<_> = lines.iter().filter(|line| line.chars().count() > 80).collect();
    assert!(wide.is_empty(), "{wide:#?}");
    // Each option has one line.
    let options = lines.iter().skip_while(|line| *line != "Arguments:").take_while(|line| !line.starts_with("All"));
    for line in options.filter(|line| line.starts_with(' ')) {
        assert!(line.starts_with("  -") || line.starts_with("      --") || line.starts_with("  ["), "wrapped: {line}");
    }
    let last = lines.last().unwrap();
    assert!(last.contains("lxmon --help") && last.contains("lxmon --man | man -l -"), "{last}");
    for option in ["-t", "-a", "-i", "-A", "-p", "-n", "--timeout", "--failed", "--replay", "--record", "--demo", "-q"]
    {
        assert!(lines.iter().any(|line| line.trim_start().starts_with(option)), "{option} is missing");
    }
    assert!(!lines.iter().any(|line| line.contains("--sort-window")), "rare options are not in the short help");
}

#[test]
fn the_long_help_fits_any_terminal() {
    for columns in [60, 80, 200] {
        let lines = help("--help", columns);
        for line in &lines {
            assert!(line.chars().count() <= columns.min(100), "{columns}: {line}");
        }
        let types = lines.iter().skip_while(|line| !line.starts_with("Event types"));
        assert!(types.skip(1).filter(|line| !line.is_empty()).take(12).all(|line| line.starts_with("  ")), "{columns}");
    }
}

#[test]
fn the_long_help_says_what_values_are() {
    let help = run(["--help"]).stdout;
    for words in
        ["logging, log\n", "security, sec\n", "LXD 6.9", "Incus", "{web,db}", "2m30s", "64MiB", "'2026-11-26 14:00'"]
    {
        assert!(help.contains(words), "{words}");
    }
    for (option, default) in [
        ("-t, --type", "all that it sends to this user"),
        ("--project", "the remote's project"),
        ("--format", "the value of `LXMON_FORMAT`, else yaml"),
        ("--color", "auto"),
        ("--time", "local"),
        ("--sort-window", "25ms"),
        ("--buffer", "64MiB"),
    ] {
        let text = help.split(&format!("{option} <")).nth(1).unwrap_or_else(|| panic!("{option}"));
        let default_text = text.split("[default: ").nth(1).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(default_text.starts_with(default), "{option}: {default_text:.60}");
    }
}

/// What a program writes that gets the man page on standard input; `None` if it is not installed.
fn shown_by(program: &str, arguments: &[&str]) -> Option<(String, String)> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // Unlike the output of `eprintln!`, this is shown for a test that passes.
            let notice = format!("NOT TESTED: the man page with {program}, which is not installed\n");
            std::io::stderr().write_all(notice.as_bytes()).unwrap();
            return None;
        }
        child => child.unwrap(),
    };
    let page = run(["--man"]).stdout;
    let mut input = child.stdin.take().unwrap();
    let written = std::thread::spawn(move || input.write_all(page.as_bytes()));
    let output = child.wait_with_output().unwrap();
    written.join().unwrap().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    Some((out, err))
}

#[test]
fn groff_and_mandoc_find_no_fault_with_the_man_page() {
    for width in ["60n", "80n", "120n"] {
        let length = format!("-rLL={width}");
        if let Some((page, warnings)) = shown_by("groff", &["-ww", "-K", "utf8", "-man", "-Tutf8", &length]) {
            assert_eq!(warnings, "", "groff, {width}");
            assert!(page.contains("logrotate(8)"), "{page}");
        }
    }
    if let Some((warnings, errors)) = shown_by("mandoc", &["-Tlint"]) {
        assert_eq!((&*warnings, &*errors), ("", ""), "mandoc");
    }
}

/// The man page as text in one line, without what roff needs.
fn manual() -> String {
    let page = run(["--man"]).stdout;
    let page =
        page.replace("\\fB", "").replace("\\fI", "").replace("\\fR", "").replace("\\-", "-").replace("\\*(Aq", "'");
    let lines = page.lines().filter(|line| !line.starts_with('.') && !line.starts_with("'\\"));
    lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
}

fn source(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

#[test]
fn the_numbers_in_the_man_page_are_those_of_the_program() {
    let manual = manual();
    for (file, constant, sentence) in [
        (
            "src/pipeline/endings.rs",
            "AFTER_SIGNAL: (Duration, Duration) = (Duration::from_secs(1),",
            "after a signal, for at most one second",
        ),
        (
            "src/pipeline/endings.rs",
            "AFTER_TIMEOUT: (Duration, Duration) = (Duration::from_secs(10),",
            "at most the same time again and at most 10 s",
        ),
        (
            "src/pipeline/endings.rs",
            "BEFORE_TERMINATION: Duration = Duration::from_millis(500)",
            "unless it ends by itself within half a second",
        ),
        (
            "src/pipeline/command.rs",
            "ON_ITS_WAY: Duration = Duration::from_millis(500)",
            "after half a second in which what is on its way is printed",
        ),
        ("src/pipeline/command.rs", "PATIENCE: Duration = Duration::from_secs(5)", "for no longer than 5 seconds"),
        (
            "src/pipeline/deliver.rs",
            "REASON: Duration = Duration::from_millis(500)",
            "up to half a second is waited for the operation",
        ),
        (
            "src/pipeline/reactions.rs",
            "AFTER_SIGNAL: Duration = Duration::from_secs(5)",
            "the running one is waited for, at most 5 s",
        ),
        ("src/sink/exec/waiting.rs", "MOST_PAUSES: u32 = 10", "at most ten times that length"),
        ("src/sink/exec/run.rs", "SHELL: &str = \"/bin/sh\"", "/bin/sh runs"),
        (
            "src/source/server/follow/mod.rs",
            "CONNECT: Duration = Duration::from_secs(10)",
            "Connecting takes at most 10 s",
        ),
        (
            "src/source/server/follow/mod.rs",
            "SILENCE: Duration = Duration::from_secs(15)",
            "silent for 15 s is sent a ping",
        ),
        ("src/source/server/backoff.rs", "FIRST: Duration = Duration::from_millis(250)", "after 250 ms at first"),
        ("src/source/server/backoff.rs", "LONGEST: Duration = Duration::from_secs(30)", "pauses up to 30 s"),
        (
            "src/source/server/peers.rs",
            "SETTLE: Duration = Duration::from_secs(30)",
            "has been followed for half a minute",
        ),
        ("src/source/server/cluster.rs", "ASK_AGAIN: Duration = Duration::from_secs(60)", "again about once a minute"),
        (
            "src/source/server/version.rs",
            "PATIENCE: Duration = Duration::from_secs(1)",
            "where they answer within a second",
        ),
        (
            "src/render/pretty/running.rs",
            "QUICK: Duration = Duration::from_millis(250)",
            "ends within a quarter of a second has no row",
        ),
        ("src/render/pretty/running.rs", "MAX_ROWS: usize = 8", "in at most 8 rows"),
        ("src/sink/terminal.rs", "INTERVAL: Duration = Duration::from_millis(34)", "at most 30 times a second"),
        ("src/report/summary/text.rs", "SHOWN: usize = 20", "the 20 most important entries"),
        ("src/report/summary/operations.rs", "SLOWEST: usize = 10", "the 10 slowest operations"),
        ("src/report/notice.rs", "MAX_WAITING: usize = 1 << 20", "wait in memory of 1 MiB"),
        ("src/transform/jq/worker.rs", "MEMORY: u64 = 1 << 30", "with 1 GiB of memory"),
        ("src/transform/jq/process.rs", "MOST_TIME: Duration = Duration::from_secs(10)", "10 s for an event"),
        ("src/event/message.rs", "MAX_MESSAGE: usize = 64 << 20", "more than 64 MiB ends the connection"),
        ("src/event/json/mod.rs", "MAX_DEPTH: usize = 256", "more than 256 levels"),
        ("src/report/exit.rs", "Self::Usage => 2,", " 2 The command line"),
        ("src/report/exit.rs", "Self::Gap => 3,", " 3 A gap, with --fail-on-gap."),
        ("src/report/exit.rs", "Self::Failure => 4,", " 4 A failure, with --fail-fast."),
        ("src/report/exit.rs", "Self::Timeout => 124,", " 124 --timeout passed"),
        (
            "src/report/exit.rs",
            "if is_found { 126 } else { 127 }",
            " 126 The command of -- COMMAND cannot be executed. 127 The",
        ),
    ] {
        assert!(manual.contains(sentence), "the man page does not say {sentence:?} any more: correct this test");
        assert!(source(file).contains(constant), "{file}: {constant} has changed, and the man page says {sentence:?}");
    }
}

#[test]
fn the_man_page_has_every_name_of_a_secret() {
    let (manual, names) = (manual(), source("src/transform/redact/names.rs"));
    let lists = names.split("/// The rule for the value").next().unwrap();
    let words: Vec<_> = lists.split('"').skip(1).step_by(2).collect();
    assert!(words.len() > 20, "{words:?}");
    let secrets = manual.split("These are secret:").nth(1).unwrap();
    for word in words {
        // Of a word and its plural, the page has the word.
        let is_plural = word.strip_suffix('s').is_some_and(|one| lists.contains(&format!("\"{one}\"")));
        assert!(is_plural || secrets.contains(word), "the man page lacks {word}");
    }
}

/// The string literals of a source that look like the name of an environment variable, without those of its tests.
fn names_of_variables(text: &str) -> impl Iterator<Item = &str> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let is_name = |word: &&str| {
        word.len() > 2
            && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
            && word.starts_with(|first: char| first.is_ascii_uppercase())
    };
    lines.flat_map(|line| line.split('"').skip(1).step_by(2)).filter(is_name)
}

#[test]
fn the_man_page_has_every_environment_variable() {
    // Upper-case words in the source that are no variables, or are set while lxmon is built.
    const OTHERS: [&str; 16] = [
        "BIN",
        "CARGO_CRATE_NAME",
        "CARGO_PKG_VERSION",
        "CERTIFICATE",
        "COMPLETER",
        "FALSE",
        "HTTP",
        "HTTPS",
        "LXD",
        "LXMON_VERSION",
        "NULL",
        "OFF",
        "TRUE",
        "VAR",
        "YES",
        "VERSION",
    ];
    let manual = manual();
    let words: Vec<_> = manual.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let (mut folders, mut found) = (vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")], 0);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            // The values of options have such names, the files of tests have other variables, and --debug lists
            // those of libraries too.
            if path.is_dir() && name != "man" {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && name != "tests.rs"
                && !path.ends_with("cli/mod.rs")
                && !["help.rs", "circumstances.rs"].contains(&name)
            {
                let text = std::fs::read_to_string(&path).unwrap();
                for variable in names_of_variables(&text).filter(|word| !OTHERS.contains(word)) {
                    assert!(words.contains(&variable), "the man page lacks {variable} of {}", path.display());
                    found += 1;
                }
            }
        }
    }
    assert!(found > 30, "{found}: the search finds nothing");
}

#[test]
fn the_readme_has_the_defaults_of_the_program() {
    let readme = source("README.md");
    for argument in Cli::command().get_arguments().filter(|argument| argument.get_action().takes_values()) {
        for default in argument.get_default_values() {
            let (name, default) = (argument.get_long().unwrap(), default.to_str().unwrap());
            let row =
                readme.lines().find(|line| line.starts_with('|') && line.contains(&format!("--{name} "))).unwrap();
            assert!(row.contains(&format!("`{default}`")) || row.contains(&format!("default {default}")), "{row}");
        }
    }
}

#[test]
fn readme_and_man_page_have_the_same_glyphs() {
    let (manual, readme) = (manual(), source("README.md"));
    let legend = source("src/render/pretty/glyph.rs");
    let glyphs: Vec<_> = legend.split("glyph(\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(glyphs.len() > 14, "{glyphs:?}");
    for glyph in glyphs.into_iter().filter(|glyph| !glyph.trim().is_empty()) {
        assert!(manual.contains(&format!(" {glyph} ")), "the man page lacks {glyph}");
        assert!(readme.contains(&format!("`{glyph}`")), "the README lacks {glyph}");
    }
}

#[test]
fn the_examples_of_the_man_page_are_understood() {
    // Instead of lxmon and other programs, functions that write down their arguments or do nothing.
    const STUBS: &str = r#"lxmon() { printf '%s\n' "$@" END >> arguments; }; jq() { :; }; zcat() { :; }"#;
    let page = run(["--man"]).stdout;
    let blocks = page.split("\n.EX\n").skip(1).map(|block| block.split("\n.EE\n").next().unwrap());
    let shown = blocks.map(|block| block.replace("\\*(Aq", "'").replace("\\-", "-").replace("\\e", "\\"));
    let mut commands = 0;
    for example in shown.filter(|example| example.contains("lxmon ") || example == "lxmon") {
        let folder = tempfile::tempdir().unwrap();
        let mut shell = Command::new("sh");
        let status = shell.args(["-c", &format!("{STUBS}\n{example}")]).current_dir(folder.path()).status().unwrap();
        assert!(status.success(), "{example}");
        let arguments = std::fs::read_to_string(folder.path().join("arguments")).unwrap();
        let lines: Vec<_> = arguments.lines().collect();
        for words in lines.split(|line| *line == "END").filter(|words| !words.is_empty()) {
            commands += 1;
            let words = std::iter::once("lxmon").chain(words.iter().copied());
            Cli::of_words(words.map(Into::into)).unwrap_or_else(|error| panic!("{example}: {error}"));
        }
    }
    assert!(commands >= 20, "{commands}");
}

#[cfg(feature = "jq")]
#[test]
fn the_example_of_the_jq_variable_has_its_keys() {
    let session = concat!(env!("CARGO_MANIFEST_DIR"), "/src/source/demo/session.ndjson");
    let printed = run(["--replay", session, "-n1", "-f", "json", "--jq", "$lxmon | keys_unsorted | join(\" \")"]);
    let manual = manual();
    let keys: Vec<_> = printed.stdout.split_whitespace().collect();
    assert_eq!(keys.len(), 7, "{printed:?}");
    for key in keys {
        assert!(manual.contains(&format!("\"{key}\":")), "the example in the man page lacks {key}");
    }
}
