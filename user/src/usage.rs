//! What programs with a help text do with their arguments: [`request`].

use std::process::ExitCode;

/// What `parse` makes of the arguments.
///
/// # Errors
/// The exit status with which to end at once: success after the help that was asked for, 2 after the help that is needed.
pub fn request<R>(
    arguments: &[String],
    help: &str,
    parse: impl FnOnce(&[String]) -> Option<R>,
) -> Result<R, ExitCode> {
    if arguments.iter().any(|argument| argument == "--help") {
        print!("{help}");
        return Err(ExitCode::SUCCESS);
    }
    parse(arguments).ok_or_else(|| {
        eprint!("{help}");
        ExitCode::from(2)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_and_nonsense_end_the_program() {
        let number = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            request(&words, "", |words| words.first()?.parse::<u32>().ok())
        };
        assert_eq!(number(&["7"]), Ok(7));
        assert_eq!(number(&["7", "--help"]), Err(ExitCode::SUCCESS));
        assert_eq!(number(&["seven"]), Err(ExitCode::from(2)));
    }
}
