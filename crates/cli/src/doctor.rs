//! `vtap doctor`: what makes this machine lose mirrored packets.

use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Style};
use serde_json::{Value, json};
use vtap_doctor::{Asked, Finding, Host, Machine, Status};

use crate::args::{Doctor, DoctorFormat};
use crate::{Finish, print};

/// Lines are not wrapped narrower than this.
const NARROWEST: usize = 60;
/// Before a remedy, and before the rest of what was found.
const INDENT: &str = "         ";

pub(crate) fn run(args: &Doctor) -> anyhow::Result<Finish> {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("vtap"));
    let asked = Asked {
        interfaces: args.interfaces.clone(),
        ports: args.ports.clone(),
        dir: args.dir.clone(),
        program,
    };
    let findings = vtap_doctor::examine(&Host::new("/", &Machine), &asked);
    match args.format {
        DoctorFormat::Text => print(text(findings.clone(), &Page::of_stdout()).as_bytes())?,
        DoctorFormat::Json => {
            let rows: Value = findings.iter().map(row).collect();
            print(format!("{rows:#}\n").as_bytes())?
        }
    };
    let fails = findings.iter().any(|finding| finding.status == Status::Fail);
    Ok(if fails { Finish::Ailing } else { Finish::Whole })
}

fn row(finding: &Finding) -> Value {
    json!({
        "id": finding.id,
        "subject": finding.subject,
        "status": finding.status.name(),
        "found": finding.found,
        "why": finding.why,
        "mend": finding.mend,
        "keep": finding.keep,
    })
}

/// What is written on.
struct Page {
    /// Columns; `None` where lines are not wrapped, so that a program finds a finding in one.
    width: Option<usize>,
    colour: bool,
}

impl Page {
    fn of_stdout() -> Self {
        let is_terminal = io::stdout().is_terminal();
        let size = terminal_size::terminal_size().filter(|_| is_terminal);
        let width = size.map(|(terminal_size::Width(columns), _)| usize::from(columns));
        // https://no-color.org
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { width, colour: is_terminal && !unwanted }
    }

    fn paint(&self, style: Style, text: &str) -> String {
        if self.colour { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    /// The lines of a text that begins at a column.
    fn wrap(&self, text: &str, column: usize) -> Vec<String> {
        let Some(width) = self.width else { return vec![text.to_owned()] };
        let room = width.max(NARROWEST).saturating_sub(column);
        let mut lines = vec![String::new()];
        for word in text.split(' ') {
            let Some(line) = lines.last_mut() else { break };
            let taken = line.chars().count();
            if taken > 0 && taken + 1 + word.chars().count() > room {
                lines.push(word.to_owned());
            } else {
                if taken > 0 {
                    line.push(' ');
                }
                line.push_str(word);
            }
        }
        lines
    }
}

/// The worst first; below what is not well why it matters and what mends it now. At the end what
/// keeps it mended, and a count.
fn text(mut findings: Vec<Finding>, page: &Page) -> String {
    findings.sort_by_key(|finding| finding.status);
    let names: Vec<_> = findings.iter().map(name).collect();
    let wide = names.iter().map(|name| name.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    let mut ended_with_block = false;
    for (finding, name) in findings.iter().zip(&names) {
        let is_block = finding.status != Status::Ok;
        if !text.is_empty() && (is_block || ended_with_block) {
            text.push('\n');
        }
        ended_with_block = is_block;
        let status = format!("{:<7}", finding.status.name());
        let status = page.paint(style(finding.status), &status);
        let column = INDENT.len() + wide + 2;
        let found = page.wrap(&printable(&finding.found), column);
        // Writing to a string cannot fail.
        let _ =
            writeln!(text, "{status}  {name:<wide$}  {}", found.join(&format!("\n{:column$}", "")));
        if is_block {
            remedy(&mut text, finding, page);
        }
    }
    keep(&mut text, &findings, page);
    let number = |status| findings.iter().filter(|finding| finding.status == status).count();
    let _ = writeln!(
        text,
        "\n{} fail, {} warn, {} unknown, {} ok",
        number(Status::Fail),
        number(Status::Warn),
        number(Status::Unknown),
        number(Status::Ok)
    );
    text
}

fn name(finding: &Finding) -> String {
    match &finding.subject {
        Some(subject) => format!("{} {}", finding.id, printable(subject)),
        None => finding.id.to_owned(),
    }
}

/// Why it matters, wrapped; commands as they are, for they are copied.
fn remedy(text: &mut String, finding: &Finding, page: &Page) {
    let dim = Style::new().dimmed();
    if finding.status != Status::Unknown {
        for line in page.wrap(finding.why, INDENT.len()) {
            let _ = writeln!(text, "{INDENT}{}", page.paint(dim, &line));
        }
    }
    for command in &finding.mend {
        let command = page.paint(Style::new().bold(), &printable(command));
        let _ = writeln!(text, "{INDENT}{command}");
    }
}

/// What keeps all of it mended, in one piece that can be copied.
fn keep(text: &mut String, findings: &[Finding], page: &Page) {
    let commands: Vec<_> = findings.iter().flat_map(|finding| &finding.keep).collect();
    if commands.is_empty() {
        return;
    }
    let title = "To keep it so after a restart:";
    let _ = writeln!(text, "\n{}", page.paint(Style::new().dimmed(), title));
    for command in commands {
        let _ = writeln!(text, "{}", printable(command));
    }
}

const fn style(status: Status) -> Style {
    let colour = match status {
        Status::Fail => AnsiColor::Red,
        Status::Warn => AnsiColor::Yellow,
        Status::Unknown => AnsiColor::Cyan,
        Status::Ok => AnsiColor::Green,
    };
    colour.on_default()
}

/// Names of processes and comments in rules may hold anything, such as what a terminal obeys.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
