//! The demonstration on real terminals, as `README.md` has a new user try it: the whole screen while operations are in
//! progress, and at the end.

use std::cell::RefCell;

use crate::support::program::lxmon;
use crate::support::screen::Screen;

/// The operations that are in progress in the middle of the session, and what their rows show besides the time.
const IN_PROGRESS: [(&str, &str); 2] = [("Copying instance", " MB"), ("Downloading image", " %")];

/// The screen, with the numbers replaced that depend on the moment: in live rows the progress, the speed and the time, and
/// in the last line how long the session was.
fn masked(lines: &[String]) -> String {
    let numbers = |text: &str| {
        let words: Vec<_> = text.split_whitespace().map(|word| if is_number(word) { "#" } else { word }).collect();
        words.join(" ")
    };
    let mask = |line: &String| {
        let row = IN_PROGRESS.iter().find(|(name, unit)| is_row(line, name, unit));
        if let Some((before, after)) = row.and_then(|(name, _)| line.split_once(name).zip(Some(name))) {
            return format!("{}{after}  {}", before.0, numbers(before.1));
        }
        match line.strip_prefix("lxmon: ").and_then(|rest| rest.split_once(" s: ")) {
            Some((_, rest)) => format!("lxmon: # s: {rest}"),
            None => line.clone(),
        }
    };
    // The first line comes from another thread than the events, so that it can stand between them.
    let is_first = |line: &&String| line.starts_with("lxmon: LXD ");
    lines.iter().filter(|line| !is_first(line)).map(mask).collect::<Vec<_>>().join("\n")
}

fn is_row(line: &str, name: &str, unit: &str) -> bool {
    line.contains(" … ") && line.split_once(name).is_some_and(|(_, rest)| rest.contains(unit))
}

/// Whether a word is a number or a time, such as `0:12`.
fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b':'))
}

#[test]
fn the_screen_in_the_middle_and_at_the_end() {
    let start = |columns, lines| {
        let screen = Screen::start(&lxmon(["--demo", "--pretty", "--all-projects"]), columns, lines);
        (columns, screen)
    };
    // Both play at the same time, as a session takes twenty seconds.
    let mut screens = [start(80, 24), start(160, 60)];
    for (columns, screen) in &screens {
        let middle = RefCell::new(Vec::new());
        screen.wait_for("two operations in progress", |lines| {
            lines.clone_into(&mut middle.borrow_mut());
            let last = &lines[lines.len().saturating_sub(IN_PROGRESS.len())..];
            let are_rows = IN_PROGRESS.iter().zip(last).all(|((name, unit), line)| is_row(line, name, unit));
            are_rows && last.len() == IN_PROGRESS.len()
        });
        insta::assert_snapshot!(format!("middle_{columns}"), masked(&middle.borrow()));
    }
    for (columns, screen) in &mut screens {
        assert!(screen.program.exit_status().success());
        // The last line is longer than the narrow screen.
        screen.wait_for("its last line", |lines| lines.concat().contains("failures"));
        let history = screen.history();
        assert!(history.iter().any(|line| line == "lxmon: LXD 6.9 (demo), all projects"), "{history:#?}");
        insta::assert_snapshot!(format!("end_{columns}"), masked(&screen.lines()));
        screen.assert_left_clean("the session is over");
    }
}
