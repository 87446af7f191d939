//! Splits a line into words and operators.
//!
//! A word is a list of parts, because what a variable expands to depends on whether it stood in quotes: outside,
//! the value is split at blanks; inside, it stays in one piece.

/// A piece of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text to be taken as it is.
    Text(String),
    /// A variable outside quotes.
    Variable(String),
    /// A variable inside double quotes.
    QuotedVariable(String),
}

/// A word: its parts in order. A word of no parts is an empty argument in quotes.
pub type Word = Vec<Part>;

/// A token of the shell's language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// An argument, a file name, a command.
    Word(Word),
    /// `;` or the end of a line.
    Semicolon,
    /// `&`
    Ampersand,
    /// `&&`
    And,
    /// `||`
    Or,
    /// `|`
    Pipe,
    /// `<`, with the descriptor that it stands for.
    Input(i32),
    /// `>`
    Output(i32),
    /// `>>`
    Append(i32),
    /// `>&`
    Duplicate(i32),
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LexError {
    /// A quote is not closed.
    UnclosedQuote(char),
    /// The line ends after a backslash.
    TrailingBackslash,
    /// `${` without a name and `}`.
    BadVariable,
}

impl std::fmt::Display for LexError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnclosedQuote(quote) => write!(formatter, "unclosed {quote}"),
            Self::TrailingBackslash => write!(formatter, "nothing follows the backslash"),
            Self::BadVariable => write!(formatter, "bad variable name"),
        }
    }
}

/// Splits `text` into tokens; comments are left out.
///
/// # Errors
///
/// When a quote, a backslash or a variable is unfinished.
pub fn tokens(text: &str) -> Result<Vec<Token>, LexError> {
    let mut lexer = Lexer { rest: text.chars().peekable(), tokens: Vec::new() };
    lexer.run()?;
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn run(&mut self) -> Result<(), LexError> {
        while let Some(&next) = self.rest.peek() {
            match next {
                ' ' | '\t' | '\r' => _ = self.rest.next(),
                '\n' => self.operator(Token::Semicolon),
                '#' => while self.rest.next_if(|character| *character != '\n').is_some() {},
                ';' => self.operator(Token::Semicolon),
                '&' => self.one_or_two('&', Token::Ampersand, Token::And),
                '|' => self.one_or_two('|', Token::Pipe, Token::Or),
                '<' => self.operator(Token::Input(0)),
                '>' => self.output(1),
                _ => self.word()?,
            }
        }
        Ok(())
    }

    fn operator(&mut self, token: Token) {
        self.rest.next();
        self.tokens.push(token);
    }

    /// One character, or the same one twice.
    fn one_or_two(&mut self, character: char, one: Token, two: Token) {
        self.rest.next();
        let token = if self.rest.next_if_eq(&character).is_some() { two } else { one };
        self.tokens.push(token);
    }

    /// `>`, `>>` or `>&`, of which the first character is still to come.
    fn output(&mut self, fd: i32) {
        self.rest.next();
        let token = match self.rest.peek() {
            Some('>') => Token::Append(fd),
            Some('&') => Token::Duplicate(fd),
            _ => return self.tokens.push(Token::Output(fd)),
        };
        self.operator(token);
    }

    fn word(&mut self) -> Result<(), LexError> {
        let mut word = Word::new();
        let mut is_plain = true;
        while let Some(&next) = self.rest.peek() {
            match next {
                ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' => break,
                '<' | '>' => {
                    // A digit right before the operator is the descriptor.
                    if let [Part::Text(digit)] = word.as_slice()
                        && is_plain
                        && let ("0" | "1" | "2", Ok(fd)) = (digit.as_str(), digit.parse())
                    {
                        if next == '>' {
                            self.output(fd);
                        } else {
                            self.operator(Token::Input(fd));
                        }
                        return Ok(());
                    }
                    break;
                }
                '\'' => {
                    is_plain = false;
                    self.rest.next();
                    self.single_quotes(&mut word)?;
                }
                '"' => {
                    is_plain = false;
                    self.rest.next();
                    self.double_quotes(&mut word)?;
                }
                '\\' => {
                    is_plain = false;
                    self.rest.next();
                    let escaped = self.rest.next().ok_or(LexError::TrailingBackslash)?;
                    push(&mut word, escaped);
                }
                '$' => {
                    self.rest.next();
                    match self.variable()? {
                        Some(name) => word.push(Part::Variable(name)),
                        None => push(&mut word, '$'),
                    }
                }
                character => {
                    self.rest.next();
                    push(&mut word, character);
                }
            }
        }
        self.tokens.push(Token::Word(word));
        Ok(())
    }

    fn single_quotes(&mut self, word: &mut Word) -> Result<(), LexError> {
        loop {
            match self.rest.next().ok_or(LexError::UnclosedQuote('\''))? {
                '\'' => return Ok(()),
                character => push(word, character),
            }
        }
    }

    fn double_quotes(&mut self, word: &mut Word) -> Result<(), LexError> {
        let unclosed = LexError::UnclosedQuote('"');
        loop {
            match self.rest.next().ok_or(unclosed)? {
                '"' => return Ok(()),
                '\\' => match self.rest.next().ok_or(unclosed)? {
                    escaped @ ('"' | '\\' | '$') => push(word, escaped),
                    other => {
                        push(word, '\\');
                        push(word, other);
                    }
                },
                '$' => match self.variable()? {
                    Some(name) => word.push(Part::QuotedVariable(name)),
                    None => push(word, '$'),
                },
                character => push(word, character),
            }
        }
    }

    /// The name after a `$`, or `None` when the dollar stands for itself.
    fn variable(&mut self) -> Result<Option<String>, LexError> {
        if let Some(special) = self.rest.next_if(|character| matches!(character, '?' | '$')) {
            return Ok(Some(special.to_string()));
        }
        let braces = self.rest.next_if_eq(&'{').is_some();
        let mut name = String::new();
        let is_part = |character: &char| character.is_ascii_alphanumeric() || *character == '_';
        while let Some(character) = self.rest.next_if(is_part) {
            name.push(character);
        }
        if braces && (name.is_empty() || self.rest.next() != Some('}')) {
            return Err(LexError::BadVariable);
        }
        Ok((!name.is_empty()).then_some(name))
    }
}

/// Appends a character to the text at the end of a word.
fn push(word: &mut Word, character: char) {
    if let Some(Part::Text(text)) = word.last_mut() {
        text.push(character);
    } else {
        word.push(Part::Text(character.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> Token {
        Token::Word(vec![Part::Text(text.to_owned())])
    }

    #[test]
    fn words_and_operators_are_told_apart() {
        let expected = [
            word("a"),
            Token::Pipe,
            word("b"),
            Token::And,
            word("c"),
            Token::Or,
            word("d"),
            Token::Ampersand,
            word("e"),
            Token::Semicolon,
        ];
        assert_eq!(tokens("a|b&&c || d& e;# a comment"), Ok(expected.to_vec()));
    }

    #[test]
    fn redirections_know_their_descriptor() {
        let expected = [
            word("a"),
            Token::Output(2),
            word("x"),
            Token::Append(1),
            word("y"),
            Token::Input(0),
            word("z"),
            Token::Duplicate(2),
            word("1"),
        ];
        assert_eq!(tokens("a 2>x >>y <z 2>&1"), Ok(expected.to_vec()));
        assert_eq!(tokens("a2>x").map(|tokens| tokens[0].clone()), Ok(word("a2")));
        assert_eq!(tokens("'2'>x").map(|tokens| tokens[1].clone()), Ok(Token::Output(1)));
    }

    #[test]
    fn quotes_keep_blanks_and_operators() {
        assert_eq!(tokens(r#"'a | b'"#), Ok(vec![word("a | b")]));
        assert_eq!(tokens(r#""a; b"c"#), Ok(vec![word("a; bc")]));
        assert_eq!(tokens(r"a\ b"), Ok(vec![word("a b")]));
        assert_eq!(tokens("''"), Ok(vec![Token::Word(Vec::new())]));
    }

    #[test]
    fn variables_remember_their_quotes() {
        let expected = Token::Word(vec![
            Part::Variable("HOME".to_owned()),
            Part::Text("/".to_owned()),
            Part::QuotedVariable("x_1".to_owned()),
            Part::Variable("?".to_owned()),
        ]);
        assert_eq!(tokens(r#"$HOME/"${x_1}"$?"#), Ok(vec![expected]));
        assert_eq!(tokens("'$HOME'"), Ok(vec![word("$HOME")]));
        assert_eq!(tokens("a$ "), Ok(vec![word("a$")]));
    }

    #[test]
    fn unfinished_lines_are_refused() {
        assert_eq!(tokens("'abc"), Err(LexError::UnclosedQuote('\'')));
        assert_eq!(tokens("\"abc"), Err(LexError::UnclosedQuote('"')));
        assert_eq!(tokens("abc\\"), Err(LexError::TrailingBackslash));
        assert_eq!(tokens("${}"), Err(LexError::BadVariable));
    }
}
