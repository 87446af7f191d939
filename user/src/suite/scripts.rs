//! Scripts: the `#!` line, its argument, nesting.

use std::ffi::{CStr, CString};

use libc::{AT_EMPTY_PATH, O_CLOEXEC};

use super::elf;
use super::exec::{argc_program, lines};
use super::support::{Status, child, exec, exit_now, own_program, pipe, read_all, vector};
use crate::{fails, ok};

super::area!("scripts":
    script_runs_interpreter,
    script_interpreter_gets_one_argument,
    script_argument_is_trimmed,
    nested_scripts,
    scripts_nested_too_deep,
    script_without_interpreter,
    script_line_without_newline,
    script_by_execveat,
);

/// Writes an executable script.
fn script(name: &str, text: &str) -> CString {
    elf::save(name, text.as_bytes())
}

/// Runs `path` with these arguments in a child; gives its output.
#[track_caller]
fn output_of(path: &CStr, arguments: &[&CStr]) -> String {
    let (read_end, write_end) = pipe(O_CLOEXEC);
    let child = child(|| {
        ok!(SYS_dup2, write_end, 1);
        exec(path, arguments, &[]).unwrap();
    });
    ok!(SYS_close, write_end);
    let output = String::from_utf8(read_all(read_end)).unwrap();
    child.success();
    output
}

/// A directory entry with a short, known path for this program.
fn short_name() -> String {
    let link = std::env::current_dir().unwrap().join("s");
    std::os::unix::fs::symlink(own_program().to_str().unwrap(), &link).unwrap();
    link.to_str().unwrap().to_owned()
}

fn script_runs_interpreter() {
    let counter = argc_program();
    let path = std::env::current_dir().unwrap().join(counter.to_str().unwrap());
    let script = script("script", &format!("#!{}\nignored\n", path.display()));
    // The interpreter's name, the script's, and two of ours; argv[0] is replaced.
    let child = child(|| {
        exec(&script, &[c"zero", c"one", c"two"], &[]).unwrap();
    });
    assert_eq!(child.status(), Status::Exited(4));
}

fn script_interpreter_gets_one_argument() {
    let program = short_name();
    // All words after the interpreter are one argument, which is no option of this program.
    let script = script("script", &format!("#! {program}   --helper arguments \n"));
    let child = child(|| {
        exec(&script, &[c"zero"], &[]).unwrap();
    });
    assert_eq!(child.status(), Status::Exited(2), "`--helper arguments` is one argument");
}

fn script_argument_is_trimmed() {
    let program = short_name();
    let script = script("script", &format!("#!\t {program}\t --helper=arguments \t\nrest"));
    let output = output_of(&script, &[c"zero", c"one"]);
    let expected = [program.as_str(), "--helper=arguments", "script", "one"];
    assert_eq!(lines(&output, "argument "), expected);
}

fn nested_scripts() {
    let program = short_name();
    let here = std::env::current_dir().unwrap();
    let here = here.to_str().unwrap();
    script("arguments", &format!("#!{program} --helper=arguments\n"));
    let outer = script("outer", &format!("#!{here}/arguments inner\n"));
    let output = output_of(&outer, &[c"zero", c"last"]);
    let expected =
        [&program, "--helper=arguments", &format!("{here}/arguments"), "inner", "outer", "last"];
    assert_eq!(lines(&output, "argument "), expected);
}

fn scripts_nested_too_deep() {
    let here = std::env::current_dir().unwrap();
    let here = here.to_str().unwrap();
    let last = argc_program();
    let mut previous = format!("{here}/{}", last.to_str().unwrap());
    for depth in 1..=6 {
        let name = format!("level{depth}");
        let path = script(&name, &format!("#!{previous}\n"));
        previous = format!("{here}/{name}");
        let child = child(|| match exec(&path, &[c"x"], &[]) {
            Err(error) => exit_now(100 + error as i32),
            Ok(_) => unreachable!(),
        });
        let expected = if depth <= 5 { depth + 1 } else { 100 + libc::ELOOP };
        assert_eq!(child.status(), Status::Exited(expected), "depth {depth}");
    }
}

fn script_without_interpreter() {
    for (text, errno) in [
        ("#!/no/such/interpreter\n", libc::ENOENT),
        ("#!\n", libc::ENOEXEC),
        ("#!   \n", libc::ENOEXEC),
        ("#!/\n", libc::EACCES),
        ("#!/dev/null\n", libc::EACCES),
        ("no script at all\n", libc::ENOEXEC),
        ("", libc::ENOEXEC),
        ("#", libc::ENOEXEC),
    ] {
        let path = script("script", text);
        assert_eq!(exec(&path, &[c"x"], &[]).unwrap_err() as i32, errno, "{text:?}");
    }
}

fn script_line_without_newline() {
    let counter = argc_program();
    let path = std::env::current_dir().unwrap().join(counter.to_str().unwrap());
    let short = script("short", &format!("#!{}", path.display()));
    let child = child(|| {
        exec(&short, &[c"x"], &[]).unwrap();
    });
    assert_eq!(child.status(), Status::Exited(2));
    // An interpreter's path that does not end within the first 256 bytes is refused.
    let long = script("long", &format!("#!/{}\n", "x".repeat(300)));
    fails!(ENOEXEC: SYS_execve, long.as_c_str(), &vector(&[c"x"])[..], 0);
    // An argument may be cut off there.
    let cut = script("cut", &format!("#!{} {}\n", path.display(), "y".repeat(300)));
    let child = self::child(|| {
        exec(&cut, &[c"x"], &[]).unwrap();
    });
    assert_eq!(child.status(), Status::Exited(3));
}

fn script_by_execveat() {
    let program = short_name();
    let script = script("script", &format!("#!{program}\n"));
    let fd = ok!(SYS_open, script.as_c_str(), libc::O_RDONLY | O_CLOEXEC);
    // The interpreter could not open a descriptor that exec closes.
    fails!(ENOENT: SYS_execveat, fd, c"", &vector(&[c"x"])[..], 0, AT_EMPTY_PATH);
    let counter = argc_program();
    let path = std::env::current_dir().unwrap().join(counter.to_str().unwrap());
    let script = self::script("other", &format!("#!{}\n", path.display()));
    let fd = ok!(SYS_open, script.as_c_str(), libc::O_RDONLY);
    let child = child(|| {
        ok!(SYS_execveat, fd, c"", &vector(&[c"x"])[..], 0, AT_EMPTY_PATH);
    });
    assert_eq!(child.status(), Status::Exited(2));
}
