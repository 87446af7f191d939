//! Limine's configuration, in both of its syntaxes.
//!
//! `limine.cfg` at the top level is written as Limine 7 wants it: `KEY=VALUE`, entries behind `:`,
//! places as `boot:///path`. From version 8 on the file is called `limine.conf` and the same things
//! read `key: value`, `/Entry` and `boot():/path`. (See Limine's `CONFIG.md` of either version.)

use std::fmt::Write;

/// The key whose value is the kernel's command line.
const COMMAND_LINE_KEY: &str = "CMDLINE";

/// One line of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    /// A comment, or an empty line, as it stands.
    Comment(String),
    /// An entry of the boot menu: how deep it is nested, and its name.
    Entry { depth: usize, name: String },
    /// A value for a key.
    Assignment { key: String, value: String },
}

/// A configuration, line by line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config(Vec<Line>);

impl Config {
    /// Reads Limine 7's syntax. What is neither entry nor assignment counts as comment.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self(text.lines().map(|line| parse_line(line.trim())).collect())
    }

    /// The same configuration with more words on the kernel's command line.
    #[must_use]
    pub fn with_command_line(mut self, words: &str) -> Self {
        for line in &mut self.0 {
            if let Line::Assignment { key, value } = line
                && key == COMMAND_LINE_KEY
            {
                *value = format!("{value} {words}").trim().to_owned();
            }
        }
        self
    }

    /// The text of `limine.cfg`.
    #[must_use]
    pub fn for_limine_7(&self) -> String {
        self.render(|line, text| match line {
            Line::Comment(comment) => writeln!(text, "{comment}"),
            Line::Entry { depth, name } => writeln!(text, "{}{name}", ":".repeat(*depth)),
            Line::Assignment { key, value } => writeln!(text, "{key}={value}"),
        })
    }

    /// The text of `limine.conf`.
    #[must_use]
    pub fn for_limine_8(&self) -> String {
        self.render(|line, text| match line {
            Line::Comment(comment) => writeln!(text, "{comment}"),
            Line::Entry { depth, name } => writeln!(text, "{}{name}", "/".repeat(*depth)),
            Line::Assignment { key, value } => {
                let value = value.replacen("boot:///", "boot():/", 1);
                writeln!(text, "{}: {value}", key.to_lowercase())
            }
        })
    }

    fn render(&self, write_line: impl Fn(&Line, &mut String) -> std::fmt::Result) -> String {
        let mut text = String::new();
        for line in &self.0 {
            // Writing to a String cannot fail.
            let _ = write_line(line, &mut text);
        }
        text
    }
}

/// Reads one line.
fn parse_line(line: &str) -> Line {
    let name = line.trim_start_matches(':');
    if name.len() < line.len() {
        return Line::Entry { depth: line.len() - name.len(), name: name.trim().to_owned() };
    }
    match line.split_once('=') {
        Some((key, value)) if !line.starts_with('#') => {
            Line::Assignment { key: key.trim().to_uppercase(), value: value.trim().to_owned() }
        }
        _ => Line::Comment(line.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CFG: &str = "# a=comment\nTIMEOUT=0\n\n:Skein\nPROTOCOL=limine\n\
                       KERNEL_PATH=boot:///boot/kernel\nCMDLINE=quiet\n";

    #[test]
    fn limine_7_gets_back_what_was_read() {
        assert_eq!(Config::parse(CFG).for_limine_7(), CFG);
    }

    #[test]
    fn limine_8_gets_its_own_syntax() {
        assert_eq!(
            Config::parse(CFG).for_limine_8(),
            "# a=comment\ntimeout: 0\n\n/Skein\nprotocol: limine\n\
             kernel_path: boot():/boot/kernel\ncmdline: quiet\n"
        );
    }

    #[test]
    fn the_command_line_grows() {
        let config = Config::parse(CFG).with_command_line("init=/bin/x -- a=b");
        assert!(config.for_limine_7().contains("\nCMDLINE=quiet init=/bin/x -- a=b\n"));
    }

    #[test]
    fn the_file_at_the_top_level_names_kernel_and_module() {
        let path = crate::workspace::root().join("limine.cfg");
        let config = Config::parse(&std::fs::read_to_string(path).unwrap());
        let text = config.for_limine_8();
        for line in ["kernel_path: boot():/boot/kernel", "module_path: boot():/boot/rootfs.cpio"] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        assert!(text.contains("\ncmdline:"));
    }
}
