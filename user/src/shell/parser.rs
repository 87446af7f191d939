//! Makes lists of pipelines out of tokens.

use super::lexer::{LexError, Part, Token, Word, tokens};

/// Where a descriptor leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `< file`
    Read(Word),
    /// `> file`
    Write(Word),
    /// `>> file`
    Append(Word),
    /// `>& descriptor`
    Duplicate(i32),
}

/// A descriptor and where it is to lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirection {
    /// The descriptor.
    pub fd: i32,
    /// Its new file.
    pub target: Target,
}

/// A program with its arguments and redirections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// `NAME=value` before the program; without a program they set the shell's own variables.
    pub assignments: Vec<(String, Word)>,
    /// The program and its arguments.
    pub words: Vec<Word>,
    /// In the order of the line.
    pub redirections: Vec<Redirection>,
}

/// When a pipeline runs, seen from the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Always.
    Always,
    /// After success.
    AfterSuccess,
    /// After failure.
    AfterFailure,
}

/// Whether the shell waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The shell waits and the job has the terminal.
    Foreground,
    /// The shell goes on.
    Background,
}

/// Commands whose outputs are the next one's inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// When to run it.
    pub condition: Condition,
    /// At least one.
    pub commands: Vec<Command>,
    /// With or without `&`.
    pub place: Place,
}

/// Why a line is no list of commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// It could not be split into tokens.
    Lex(LexError),
    /// An operator stands where a command should.
    MissingCommand,
    /// A redirection has no file.
    MissingFile,
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lex(error) => write!(formatter, "{error}"),
            Self::MissingCommand => write!(formatter, "a command is missing"),
            Self::MissingFile => write!(formatter, "a redirection lacks its file"),
        }
    }
}

/// Parses a line, or several.
///
/// # Errors
///
/// When the text is not a list of pipelines; nothing of it should run then.
pub fn parse(text: &str) -> Result<Vec<Pipeline>, ParseError> {
    let tokens = tokens(text).map_err(ParseError::Lex)?;
    let mut parser = Parser { tokens: tokens.into_iter().peekable() };
    let mut pipelines = Vec::new();
    let mut condition = Condition::Always;
    loop {
        while parser.tokens.next_if_eq(&Token::Semicolon).is_some() {
            if condition != Condition::Always {
                return Err(ParseError::MissingCommand);
            }
        }
        if parser.tokens.peek().is_none() {
            let complete = condition == Condition::Always;
            return if complete { Ok(pipelines) } else { Err(ParseError::MissingCommand) };
        }
        let commands = parser.commands()?;
        let (place, next) = match parser.tokens.next() {
            None | Some(Token::Semicolon) => (Place::Foreground, Condition::Always),
            Some(Token::Ampersand) => (Place::Background, Condition::Always),
            Some(Token::And) => (Place::Foreground, Condition::AfterSuccess),
            Some(Token::Or) => (Place::Foreground, Condition::AfterFailure),
            Some(_) => return Err(ParseError::MissingCommand),
        };
        pipelines.push(Pipeline { condition, commands, place });
        condition = next;
    }
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
}

impl Parser {
    /// Commands up to the end of the pipeline.
    fn commands(&mut self) -> Result<Vec<Command>, ParseError> {
        let mut commands = vec![self.command()?];
        while self.tokens.next_if_eq(&Token::Pipe).is_some() {
            commands.push(self.command()?);
        }
        Ok(commands)
    }

    fn command(&mut self) -> Result<Command, ParseError> {
        let mut command = Command::default();
        let is_part = |token: &Token| {
            matches!(
                token,
                Token::Word(_)
                    | Token::Input(_)
                    | Token::Output(_)
                    | Token::Append(_)
                    | Token::Duplicate(_)
            )
        };
        while let Some(token) = self.tokens.next_if(is_part) {
            let (fd, make): (i32, fn(Word) -> Option<Target>) = match token {
                Token::Word(word) => {
                    add_word(&mut command, word);
                    continue;
                }
                Token::Input(fd) => (fd, |word| Some(Target::Read(word))),
                Token::Output(fd) => (fd, |word| Some(Target::Write(word))),
                Token::Append(fd) => (fd, |word| Some(Target::Append(word))),
                Token::Duplicate(fd) => (fd, |word| descriptor(&word).map(Target::Duplicate)),
                _ => return Err(ParseError::MissingCommand),
            };
            let Some(Token::Word(word)) = self.tokens.next() else {
                return Err(ParseError::MissingFile);
            };
            let target = make(word).ok_or(ParseError::MissingFile)?;
            command.redirections.push(Redirection { fd, target });
        }
        if command == Command::default() {
            return Err(ParseError::MissingCommand);
        }
        Ok(command)
    }
}

/// A word is an assignment as long as no program has come.
fn add_word(command: &mut Command, mut word: Word) {
    if command.words.is_empty()
        && let Some(Part::Text(first)) = word.first()
        && let Some((name, value)) = first.split_once('=')
        && is_name(name)
    {
        let (name, value) = (name.to_owned(), value.to_owned());
        word[0] = Part::Text(value);
        command.assignments.push((name, word));
    } else {
        command.words.push(word);
    }
}

/// Whether this can be a variable's name.
#[must_use]
pub fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
}

/// The number in a word of digits.
fn descriptor(word: &Word) -> Option<i32> {
    match word.as_slice() {
        [Part::Text(text)] => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &Command) -> Vec<String> {
        command
            .words
            .iter()
            .map(|word| match word.as_slice() {
                [Part::Text(text)] => text.clone(),
                other => format!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn lists_have_conditions() {
        let list = parse("a && b || c; d &").unwrap();
        let shape: Vec<_> = list.iter().map(|entry| (entry.condition, entry.place)).collect();
        assert_eq!(
            shape,
            [
                (Condition::Always, Place::Foreground),
                (Condition::AfterSuccess, Place::Foreground),
                (Condition::AfterFailure, Place::Foreground),
                (Condition::Always, Place::Background),
            ]
        );
    }

    #[test]
    fn pipelines_have_commands() {
        let list = parse("a 1 2 | b | c x").unwrap();
        assert_eq!(list.len(), 1);
        let commands: Vec<_> = list[0].commands.iter().map(words).collect();
        assert_eq!(commands, [vec!["a", "1", "2"], vec!["b"], vec!["c", "x"]]);
    }

    #[test]
    fn redirections_keep_their_order() {
        let list = parse(">out 2>&1 cmd <in arg").unwrap();
        let command = &list[0].commands[0];
        assert_eq!(words(command), ["cmd", "arg"]);
        let fds: Vec<i32> = command.redirections.iter().map(|entry| entry.fd).collect();
        assert_eq!(fds, [1, 2, 0]);
        assert_eq!(command.redirections[1].target, Target::Duplicate(1));
    }

    #[test]
    fn assignments_come_before_the_program() {
        let command = &parse("A=1 B=x=y cmd C=3").unwrap()[0].commands[0];
        let names: Vec<&str> = command.assignments.iter().map(|entry| entry.0.as_str()).collect();
        assert_eq!(names, ["A", "B"]);
        assert_eq!(words(command), ["cmd", "C=3"]);
        assert!(parse("1A=2").unwrap()[0].commands[0].assignments.is_empty());
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["|", "a |", "a && ; b", "a &&", "& a", "a | | b", "|| a"] {
            assert_eq!(parse(text), Err(ParseError::MissingCommand), "{text}");
        }
        for text in ["a >", "a > | b", "a 2>&x", "<"] {
            assert_eq!(parse(text), Err(ParseError::MissingFile), "{text}");
        }
    }

    #[test]
    fn empty_lines_are_empty() {
        for text in ["", "   ", ";", "# only a comment", "\n\n"] {
            assert_eq!(parse(text), Ok(Vec::new()), "{text:?}");
        }
        assert_eq!(parse("a\nb\n").unwrap().len(), 2);
    }
}
