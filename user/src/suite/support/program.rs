//! Executing programs, most often this one as a helper.

use std::ffi::{CStr, CString, c_char};

use super::{child, pipe, read_all};
use crate::sys::SysResult;
use crate::{ok, sys};

/// The path of this program, found even after a change of root directory's content.
#[track_caller]
pub(in crate::suite) fn own_program() -> CString {
    let path = std::fs::read_link("/proc/self/exe").unwrap();
    CString::new(path.to_str().unwrap()).unwrap()
}

/// The argument vector of some strings: their addresses and a null.
pub(in crate::suite) fn vector(strings: &[&CStr]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

/// execve; returns only on failure.
pub(in crate::suite) fn exec(path: &CStr, arguments: &[&CStr], environment: &[&CStr]) -> SysResult {
    let (arguments, environment) = (vector(arguments), vector(environment));
    sys!(SYS_execve, path, &arguments[..], &environment[..])
}

/// Becomes this program as helper `name` (see `helpers`).
#[track_caller]
pub(in crate::suite) fn exec_helper(name: &str, arguments: &[&CStr]) -> ! {
    let name = CString::new(name).unwrap();
    let mut all = vec![c"suite", c"--helper", name.as_c_str()];
    all.extend(arguments);
    let result = exec(&own_program(), &all, &[c"HELPER=yes"]);
    panic!("execve of this program failed: {result:?}");
}

/// Runs helper `name` in a child after `prepare`; gives its standard output as text.
#[track_caller]
pub(in crate::suite) fn helper_output(
    name: &str,
    arguments: &[&CStr],
    prepare: impl FnOnce(),
) -> String {
    let (read_end, write_end) = pipe(libc::O_CLOEXEC);
    let child = child(|| {
        prepare();
        ok!(SYS_dup2, write_end, 1);
        exec_helper(name, arguments);
    });
    ok!(SYS_close, write_end);
    let output = read_all(read_end);
    ok!(SYS_close, read_end);
    child.success();
    String::from_utf8(output).unwrap()
}
