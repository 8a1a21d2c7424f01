//! Writes a man page as roff, in a form that groff and mandoc have no warnings about.

use clap::builder::StyledStr;
use clap::{Arg, Command};
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

/// A man page that is being written.
#[derive(Default)]
pub(in crate::cli) struct Page {
    roff: Roff,
    /// Whether nothing stands below the last title.
    is_new: bool,
}

/// The longest line of text in the source, in bytes. It has no influence on how the page looks.
const LONGEST: usize = 78;

impl Page {
    /// Begins a section.
    pub(super) fn section(&mut self, title: &str) {
        self.roff.control("SH", [title]);
        self.is_new = true;
    }

    /// Begins a part of a section.
    pub(super) fn part(&mut self, title: &str) {
        self.roff.control("SS", [title]);
        self.is_new = true;
    }

    /// A paragraph.
    pub(super) fn text(&mut self, text: &str) {
        if !std::mem::take(&mut self.is_new) {
            self.roff.control("PP", []);
        }
        self.fill(text);
    }

    /// A name, or several of them on lines of their own, and, indented, what it means.
    pub(super) fn term(&mut self, names: &str, meaning: &str) {
        self.is_new = false;
        let mut macro_name = "TP";
        for name in names.lines() {
            self.roff.control(macro_name, []).text([bold(name)]);
            macro_name = "TQ";
        }
        self.fill(meaning);
    }

    /// Names and what they mean.
    pub(super) fn terms(&mut self, terms: &[(&str, &str)]) {
        for (name, meaning) in terms {
            self.term(name, meaning);
        }
    }

    /// Lines that are printed as they are, indented.
    pub(super) fn lines(&mut self, lines: &str) {
        if !std::mem::take(&mut self.is_new) {
            self.roff.control("sp", []);
        }
        self.roff.control("RS", ["4"]).control("EX", []);
        for line in lines.lines() {
            self.roff.text([roman(line)]);
        }
        self.roff.control("EE", []).control("RE", []);
    }

    /// The options of the program, by their groups. The list that `clap_mangen` makes has empty lines, which groff and mandoc warn
    /// about, and sections in place of parts.
    pub(super) fn options(&mut self, command: &Command) {
        let mut titles = vec![None];
        for title in command.get_arguments().map(Arg::get_help_heading) {
            if !titles.contains(&title) {
                titles.push(title);
            }
        }
        for title in titles {
            if let Some(title) = title {
                self.part(title);
            }
            let of_group = |arg: &&Arg| arg.get_help_heading() == title;
            for arg in command.get_arguments().filter(of_group) {
                self.option(arg);
            }
        }
    }

    fn option(&mut self, arg: &Arg) {
        let short = arg.get_short().map(|short| format!("-{short}"));
        let long = arg.get_long().map(|long| format!("--{long}"));
        let mut name = Vec::new();
        for flag in [short, long].into_iter().flatten() {
            if !name.is_empty() {
                name.push(roman(", "));
            }
            name.push(bold(flag));
        }
        let values = arg.get_num_args().unwrap_or_default();
        if let Some(value) = arg.get_value_names().filter(|_| values.takes_values()).and_then(<[_]>::first) {
            let (begin, end) = if name.is_empty() || values.min_values() == 0 { ("[", "]") } else { ("", "") };
            name.extend((!name.is_empty()).then(|| roman(" ")));
            name.extend([roman(begin), italic(value.as_str()), roman(end)]);
            name.extend((values.max_values() > 1).then(|| roman("...")));
        }
        self.tagged(name);
        let text = |help: &StyledStr| help.to_string().replace('`', "");
        let help = arg.get_long_help().or(arg.get_help()).map(text).unwrap_or_default();
        let mut paragraphs: Vec<_> = help.split("\n\n").map(str::to_owned).collect();
        let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        if values.takes_values() && !defaults.is_empty() {
            paragraphs.push(format!("[default: {}]", defaults.join(", ")));
        }
        for (number, paragraph) in paragraphs.iter().enumerate() {
            if number > 0 {
                self.roff.control("IP", []);
            }
            self.fill(paragraph);
        }
        let possible = arg.get_possible_values();
        if !possible.is_empty() && values.takes_values() && !arg.is_hide_possible_values_set() {
            self.roff.control("RS", []);
            for value in possible {
                self.tagged(vec![bold(value.get_name())]);
                self.fill(&value.get_help().map(text).unwrap_or_default());
            }
            self.roff.control("RE", []);
        }
    }

    fn tagged(&mut self, name: Vec<Inline>) {
        self.is_new = false;
        self.roff.control("TP", []).text(name);
    }

    /// Text that fills lines, with the lines of the source broken.
    fn fill(&mut self, text: &str) {
        let mut line = String::new();
        for word in text.split_whitespace() {
            // A hyphen is two bytes in the source, and an apostrophe five.
            let length = |text: &str| text.len() + text.matches('-').count() + 4 * text.matches('\'').count();
            if !line.is_empty() && length(&line) + 1 + length(word) > LONGEST {
                self.roff.text([roman(std::mem::take(&mut line))]);
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        if !line.is_empty() {
            self.roff.text([roman(line)]);
        }
    }

    /// The source of the page.
    pub(super) fn to_source(&self) -> String {
        self.roff.render()
    }
}
