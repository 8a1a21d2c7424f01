//! The man page: its sections in their order.

mod following;
mod output;
mod page;
mod reference;
mod selection;

use std::io;

use clap::CommandFactory as _;
use clap_mangen::Man;

use self::page::Page;
use super::{Cli, help};
use crate::event::Type;

/// When the man page was last changed.
const DATE: &str = "2026-11-27";

/// The man page, as roff.
pub(super) fn source() -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    // The version has no commit here, because the page is a file of the commit.
    let version = concat!("lxmon ", env!("CARGO_PKG_VERSION"));
    let mut command = Cli::command();
    command.build();
    let man = Man::new(command.clone()).title("LXMON").section("1").manual("User Commands").source(version).date(DATE);
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    let mut page = Page::default();
    selection::describe(&mut page);
    page.section("OPTIONS");
    page.options(&command);
    values(&mut page);
    selection::write(&mut page);
    output::write(&mut page);
    following::write(&mut page);
    reference::write(&mut page);
    out.extend_from_slice(page.to_source().as_bytes());
    Ok(without_repeated_preamble(&out))
}

/// What stands for the names of values, as the help says it too.
fn values(page: &mut Page) {
    page.section("VALUES");
    page.terms(&help::VALUES);
    page.term("LEVEL", &help::levels());
    page.section("EVENT TYPES");
    page.text(
        "Every server sends the types of which nothing else is said. A type that is not known is asked for as well, \
         with a notice, and printed like any other.",
    );
    for kind in Type::KNOWN {
        page.term(&help::names(kind), &format!("{}.", kind.meaning()));
    }
}

/// roff defines the apostrophe anew before each part; once is enough.
fn without_repeated_preamble(page: &[u8]) -> Vec<u8> {
    let page = String::from_utf8_lossy(page);
    let mut lines = page.split_inclusive('\n');
    let preamble: String = lines.by_ref().take(2).collect();
    (preamble.clone() + &page.replace(&preamble, "")).into_bytes()
}
